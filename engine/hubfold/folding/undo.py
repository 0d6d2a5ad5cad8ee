"""Takes a run back: every path gets its own file again, with content, mode, owner, times and xattrs as they were.

Needs the journal and the disk, not the index. The bytes come from what the link reads, and are hashed on the way: a
copy whose hash is not the one of the journal is never put in place. A path that the user changed since is left alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

import xxhash

from hubfold import errors
from hubfold.content import TEMPORARY_PREFIX, LinkKind
from hubfold.disk import exchange
from hubfold.disk.directory import Directory
from hubfold.disk.exchange import UNFINISHED
from hubfold.disk.held import WRITE_BITS, HeldFile
from hubfold.disk.locks import take_lock
from hubfold.errors import Away, Busy, LeftAlone, NoSpace
from hubfold.journal.journal import Journal
from hubfold.journal.keepers import restore_keepers
from hubfold.journal.on_disk import is_link
from hubfold.journal.others import ALONE, Others
from hubfold.journal.presence import check_there
from hubfold.journal.records import Intent, KeeperChange
from hubfold.journal.run_log import RunLog
from hubfold.progress import Progress, Stop
from hubfold.reading import compare
from hubfold.reports.outcomes import Failed, Left
from hubfold.vault import objects
from hubfold.vault.names import of_object


@dataclass(slots=True)
class Undone:
    """Paths by what became of them; `bytes_needed` is what the copies take, by allocated blocks."""

    restored: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    #: Restored paths of which something stays as the user has it now.
    kept: list[Left] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    #: Paths that nothing was done about, since they or their content cannot be looked at now.
    waiting: list[Left] = field(default_factory=list)
    bytes_needed: int = 0


def preview(log: RunLog, others: Others = ALONE) -> Undone:
    """What taking `log` back would do. Reads names only, no content; raises `NoSpace` where the copies do not fit."""
    changes = log.keepers if others.changes is None else others.changes
    undone = Undone()
    room: dict[int, list[int]] = {}
    payloads: set[str] = set()
    for intent in _folded(log):
        try:
            _check(log, intent, others.refolded)
            if intent.payload not in payloads:
                _check_content(log, intent, others)
        except Away as reason:
            undone.waiting.append(Left(intent.path, errors.describe(reason)))
            continue
        except Busy as reason:
            undone.failed.append(Failed(intent.path, str(reason)))
            continue
        except LeftAlone as reason:
            undone.left.append(Left(intent.path, str(reason)))
            continue
        except OSError as error:
            undone.failed.append(Failed(intent.path, errors.describe(error)))
            continue
        undone.restored.append(intent.path)
        kept = _kept_mode(intent, _through(intent), changes)
        if kept is not None:
            undone.kept.append(_told(intent, kept))
        if intent.link is not LinkKind.REFLINK and intent.payload not in payloads:
            payloads.add(intent.payload)
            folder = os.path.dirname(intent.path)
            space = os.statvfs(folder)
            takes = _takes(intent)
            room.setdefault(os.stat(folder).st_dev, [space.f_bavail * space.f_frsize, 0])[1] += takes
            undone.bytes_needed += takes
    for free, needed in room.values():
        if needed > free:
            raise NoSpace(
                f"taking the run back needs {needed:,} bytes where {free:,} are free",
                "free some space and run the same command again; nothing was changed",
            )
    return undone


def take_back(
    log: RunLog,
    journal: Journal,
    others: Others = ALONE,
    *,
    rest_failed: bool = False,
    progress: Progress,
    stop: Stop,
) -> Undone:
    """Take `log` back, journalled in `journal` (its own, reopened).

    With `rest_failed`, something else of the run could not be taken back: it stays one that can be undone.

    Raises `NoSpace` before anything is changed, `Interrupted` between two paths when a stop was asked for; the same
    call goes on from there.
    """
    undone = Undone(bytes_needed=preview(log, others).bytes_needed)
    intents = _folded(log)
    progress.start("restoring", sum(i.size for i in intents), "bytes")
    journal.append("undo")
    journal.sync()
    undo = _Undo(log, journal, others, progress)
    try:
        for intent in intents:
            stop.check()
            undo.path(intent, undone)
        undone.failed += restore_keepers(log, others)
        if not (undone.failed or undone.waiting or rest_failed):
            journal.append("undone")
        journal.sync()
    finally:
        progress.finish()
    return undone


class _Undo:
    """One run on its way back."""

    def __init__(self, log: RunLog, journal: Journal, others: Others, progress: Progress) -> None:
        self._log = log
        self._journal = journal
        self._others = others
        self._changes = log.keepers if others.changes is None else others.changes
        self._progress = progress
        #: (root, path) of the first restored name of each payload.
        self._restored = _restored_before(log)

    def path(self, intent: Intent, undone: Undone) -> None:
        """Restore one path, and note in `undone` what became of it."""
        try:
            _check(self._log, intent, self._others.refolded)
            if intent.payload not in self._restored:
                _check_content(self._log, intent, self._others)
            kept = self._restore(intent)
        except Away as reason:
            undone.waiting.append(Left(intent.path, errors.describe(reason)))
        except Busy as error:
            undone.failed.append(Failed(intent.path, str(error)))
        except LeftAlone as reason:
            undone.left.append(Left(intent.path, str(reason)))
            self._journal.append("kept", number=intent.number, reason=str(reason))
            self._log.states[intent.number] = "kept"
        except OSError as error:
            undone.failed.append(Failed(intent.path, errors.describe(error)))
        else:
            undone.restored.append(intent.path)
            if kept is not None:
                undone.kept.append(_told(intent, kept))

    def _restore(self, intent: Intent) -> int | None:
        """Restore one path; the mode that it keeps of its user's, if any."""
        made: dict[str, int] = {}
        kept = _kept_mode(intent, _through(intent), self._changes)
        if intent.link is not LinkKind.REFLINK:
            with ExitStack() as held:
                for lock in intent.locks:
                    held.callback(take_lock(lock, intent.root).release)
                directory, name = Directory.parent_of(intent.root, intent.path)
                held.callback(directory.close)
                wanted = intent if kept is None else replace(intent, mode=kept)
                made["inode"] = self._put_back(wanted, directory, name)
        self._restored.setdefault(intent.payload, (intent.root, intent.path))
        # Earlier runs may have kept the file that this one replaced: what is there now is another inode.
        self._journal.append("restored", number=intent.number, **made)
        self._journal.sync()
        self._log.states[intent.number] = "restored"
        return kept

    def _put_back(self, intent: Intent, directory: Directory, name: str) -> int:
        """Put one file back; its inode."""
        temporary = f"{TEMPORARY_PREFIX}{self._log.run}-{intent.number}-undo"
        self._journal.append("restore", number=intent.number, temporary=temporary)
        self._journal.sync()
        displaced = ""
        try:
            if intent.payload in self._restored:
                _link_to(directory, temporary, *self._restored[intent.payload])
            else:
                source = _open_content(directory, name, self._log, intent, self._others)
                _copy_back(directory, source, temporary, intent, self._progress)
            if not is_link(directory, name, intent):
                raise LeftAlone("it was changed since; the change stays")
            inode = directory.lstat(temporary).st_ino
            displaced = exchange.swap_in(directory, temporary, name)
            if not is_link(directory, displaced, intent):
                raise LeftAlone("it was changed while it was being restored; the change stays")
            directory.sync()
            directory.unlink(displaced)
        except (LeftAlone, OSError):
            if displaced:
                _swap_back(directory, temporary, name, displaced=displaced, intent=intent, inode=inode)
            else:
                for unused in (temporary, temporary + UNFINISHED):
                    with suppress(FileNotFoundError):
                        directory.unlink(unused)
            directory.sync()
            self._journal.append("done", number=intent.number)  # as before the undo
            self._journal.sync()
            raise
        return inode


def _folded(log: RunLog) -> list[Intent]:
    """What is still folded of a run, newest first."""
    return [
        log.intents[number] for number in sorted(log.intents, reverse=True) if log.states[number] == "done"
    ]


def _takes(intent: Intent) -> int:
    """Bytes that the copy takes, by allocated blocks: it has the holes of what it is read from, and those that the file
    had before."""
    now = _through(intent)
    return intent.allocated if now is None else min(intent.allocated, now.st_blocks * 512)


def _check(log: RunLog, intent: Intent, refolded: Mapping[str, str]) -> None:
    """Raise `Busy` if a later run has to be taken back first, `LeftAlone` if the user changed or removed the path
    since the run, `Away` if that cannot be seen now, `OSError` if it cannot be told."""
    if intent.link is LinkKind.REFLINK:
        return
    if intent.path in refolded:
        run = refolded[intent.path]
        raise Busy(f"run {run} has replaced it again since: `hubfold undo {run}` first")
    try:
        directory, name = Directory.parent_of(intent.root, intent.path)
    except FileNotFoundError:
        check_there(log.places, intent.root, intent.mount)
        raise LeftAlone("it was deleted since") from None
    with directory:
        if is_link(directory, name, intent):
            return
    check_there(log.places, intent.root, intent.mount)
    raise LeftAlone("it was changed since; the change stays")


def _check_content(log: RunLog, intent: Intent, others: Others) -> None:
    """Raise `Away` if what a link reads is not there and not seen to be gone."""
    if intent.link is not LinkKind.SYMLINK or any(map(os.path.lexists, _sources(intent, others))):
        return
    check_there(log.places, intent.keeper_root)
    vault = of_object(intent.target)
    if not objects.is_vault(vault):
        check_there(log.places, vault)


def _restored_before(log: RunLog) -> dict[str, tuple[str, str]]:
    """What an undo that was cut short had restored, as far as it is as it was left: (root, path) by payload."""
    found: dict[str, tuple[str, str]] = {}
    wanted = {intent.payload for intent in _folded(log)}
    for number, intent in log.intents.items():
        if log.states[number] == "restored" and intent.payload in wanted and intent.payload not in found:
            with suppress(OSError, LeftAlone):
                if _is_restored(intent):
                    found[intent.payload] = intent.root, intent.path
    return found


def _is_restored(intent: Intent) -> bool:
    held = HeldFile(intent.root, intent.path, lease=False)
    try:
        if (held.signature.size, held.signature.mtime_ns) != (intent.size, intent.mtime_ns):
            return False
        digest = xxhash.xxh3_128()
        compare.compare(held, [held], update=digest.update, tick=lambda _: None)
        return digest.hexdigest() == intent.xxh3_128
    finally:
        held.close()


def _through(intent: Intent) -> os.stat_result | None:
    """What the path reads now; None for shared extents, and where it reads nothing."""
    if intent.link is LinkKind.REFLINK:
        return None
    try:
        directory, name = Directory.parent_of(intent.root, intent.path)
        with directory:
            return directory.stat_through(name)
    except (OSError, LeftAlone):
        return None


def _kept_mode(intent: Intent, now: os.stat_result | None, changes: Sequence[KeeperChange]) -> int | None:
    """The mode that a path gets instead of its old one, since its user gave it one while it was folded.

    None where the kept file has a mode that hubfold gave it or found on it, or is not known, or another owner's: he may
    not open up what was closed. Write bits that only hubfold took away come back.
    """
    if now is None or intent.keeper_mode < 0 or (now.st_ino, now.st_uid) != (intent.keeper_inode, intent.uid):
        return None
    ours = {intent.keeper_mode, intent.keeper_mode & ~WRITE_BITS}
    ours.update(mode for change in changes if change.inode == now.st_ino for mode in change.mode)
    mode = stat.S_IMODE(now.st_mode)
    if mode in ours:
        return None
    if any(mode & WRITE_BITS == known & WRITE_BITS for known in ours):
        mode = mode & ~WRITE_BITS | intent.mode & WRITE_BITS
    return None if mode == intent.mode else mode


def _told(intent: Intent, mode: int) -> Left:
    return Left(
        intent.path,
        f"its mode was changed since the run and stays: {mode:03o}, where it was {intent.mode:03o}",
    )


def _swap_back(
    directory: Directory, temporary: str, name: str, *, displaced: str, intent: Intent, inode: int
) -> None:
    """Put the link back, unless somebody saved another file there since; `inode` is what was put in its place."""

    def is_restored(candidate: str) -> bool:
        st = directory.lstat_or_none(candidate)
        return st is not None and st.st_ino == inode

    try:
        exchange.swap_back(directory, temporary, name, displaced, ours=is_restored)
    except LeftAlone:
        # The link is no loss, as its content is behind it; a user's file that was displaced stays beside the newer one.
        if not is_link(directory, displaced, intent):
            raise
        directory.unlink(displaced)


def _link_to(directory: Directory, temporary: str, root: str, path: str) -> None:
    """Another name of a payload that is restored already: they were one file before the run."""
    first, first_name = Directory.parent_of(root, path)
    with first:
        directory.link_from(first, first_name, temporary)


def _copy_back(directory: Directory, source: int, temporary: str, intent: Intent, progress: Progress) -> None:
    """Copy what the descriptor `source` reads, which is closed."""
    digest = xxhash.xxh3_128()
    try:
        target = directory.create_file(temporary + UNFINISHED)
        try:
            compare.copy_bytes(
                source,
                target,
                update=digest.update,
                tick=progress.advance,
                holes=intent.allocated < intent.size,
            )
            if digest.hexdigest() != intent.xxh3_128:
                raise LeftAlone(
                    f"the content behind {intent.target} was changed since the run; the link stays"
                )
            intent.attributes.give_to(target)
            os.fsync(target)
        finally:
            os.close(target)
        directory.move(temporary + UNFINISHED, directory, temporary)
    finally:
        os.close(source)


def _sources(intent: Intent, others: Others) -> Sequence[str]:
    """Where the content of a link may lie: where it led when it was made, and where its vault is now."""
    now = others.object_now(intent)
    return (intent.target, intent.keeper, *(() if now is None else (now,)))


def _open_content(directory: Directory, name: str, log: RunLog, intent: Intent, others: Others) -> int:
    """The bytes that the path reads; where its link dangles, the keeper's, which the hash will judge."""
    if intent.link is LinkKind.HARDLINK:
        return directory.open_file(name)
    for path in _sources(intent, others):
        folder, last = os.path.split(path)
        with suppress(FileNotFoundError), Directory.open(folder) as parent:
            return parent.open_file(last)
    _check_content(log, intent, others)
    raise LeftAlone(f"nothing is left of its content: neither {intent.target} nor {intent.keeper} is there")
