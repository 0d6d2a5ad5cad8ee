"""Settles what a crash left: every replacement that was announced and not finished is rolled back or found done.

It needs the journal and the disk, not the index. Rolling back is preferred to finishing: it needs no trust in a keeper
that may have changed since it was compared. Whatever a user did in the meantime wins, and is told.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import xxhash

from hubfold.care import exchange
from hubfold.content import LinkKind
from hubfold.disk import directory as fsops
from hubfold.disk.directory import SPARE_SUFFIX, UNFINISHED, Directory
from hubfold.errors import LeftAlone
from hubfold.farm import build
from hubfold.journal.journal import Journal
from hubfold.journal.records import Intent, KeeperChange
from hubfold.journal.run_log import RunLog
from hubfold.reading import compare
from hubfold.removal import empty
from hubfold.reports.runs import Failed, Left

UNDECIDED = ("intent", "restore")


@dataclass(slots=True)
class Settled:
    """Paths by what became of them."""

    finished: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    #: Something cannot be looked at now, or not be put right: it is tried again.
    waiting: bool = False


def settle(
    log: RunLog,
    journal: Journal,
    used_elsewhere: Collection[int] = (),
    changes: Sequence[KeeperChange] | None = None,
    *,
    forget: bool = False,
) -> Settled:
    """Settle every open number of `log` and write down how, in `journal` (its own, reopened).

    A path that cannot be looked at now (its drive is away) stays open for the next time; with `forget` it is given up.
    `used_elsewhere` are the inodes of keepers that other runs rely on: their mode and mtime stay. `changes` are for
    `restore_keepers`.
    """
    settled = Settled()
    for number in log.open_numbers:
        intent = log.intents[number]
        try:
            state, reason = _settle_number(log, number, intent)
        except (OSError, LeftAlone) as error:
            if not forget:
                settled.left.append(Left(intent.path, f"cannot be looked at now: {fsops.describe(error)}"))
                settled.waiting = True
                continue
            # Whatever is there keeps its content: as long as nobody can look, it counts as the link.
            state, reason = "kept", f"given up, it cannot be looked at: {fsops.describe(error)}"
        told: dict[str, object] = {"reason": reason} if reason else {}
        if state == "restored":
            told |= _inode_of(intent)
        journal.append(state, number=number, **told)
        log.states[number] = state
        if reason and state in ("kept", "dropped"):
            settled.left.append(Left(intent.path, reason))
        elif state in ("done", "restored"):
            settled.finished.append(intent.path)
        else:
            settled.rolled_back.append(intent.path)
    build.settle(log)
    emptied = empty.settle(log, forget=forget)
    settled.left += emptied.left
    mends = exchange.settle(log, journal, forget=forget)
    settled.left += mends.left
    if not (log.farm_links or log.made):
        for failure in restore_keepers(log, used_elsewhere, changes):
            settled.waiting = True
            settled.left.append(
                Left(failure.path, f"its mode and time cannot be put back now: {failure.error}")
            )
    settled.waiting |= emptied.waiting or mends.waiting
    if log.undone_but_for_the_end and not settled.waiting:
        journal.append("undone")
        log.undone = True
    elif not log.open_numbers and log.ended is None and not (mends.waiting or emptied.waiting):
        journal.append("recovered")
    journal.sync()
    return settled


def _settle_number(log: RunLog, number: int, intent: Intent) -> tuple[str, str]:
    """(state, reason) of an open number. Raises `OSError` or `LeftAlone` if its path cannot be looked at."""
    undoing = log.states[number] == "restore"
    try:
        return _settle_restore(intent, log.restores[number]) if undoing else _settle_intent(intent)
    except FileNotFoundError:
        if not os.path.ismount(intent.mount):
            raise OSError(errno.ENODEV, f"its drive is not there ({intent.mount})") from None
        if os.path.lexists(os.path.dirname(intent.path)):
            raise
        return "kept" if undoing else "dropped", "its folder was deleted since"


def is_original(st: os.stat_result | None, intent: Intent) -> bool:
    """Whether this is the file that the run found at the path."""
    return (
        st is not None
        and stat.S_ISREG(st.st_mode)
        and (st.st_ino, st.st_size, st.st_mtime_ns) == (intent.inode, intent.size, intent.mtime_ns)
    )


def is_link(directory: Directory, name: str, intent: Intent) -> bool:
    """Whether `name` is the link that the run made for this path."""
    st = directory.lstat_or_none(name)
    if st is None:
        return False
    if intent.link is LinkKind.SYMLINK:
        return stat.S_ISLNK(st.st_mode) and directory.readlink(name) == intent.text
    return stat.S_ISREG(st.st_mode) and (st.st_ino, st.st_size) == (intent.keeper_inode, intent.size)


def _written_through(directory: Directory, name: str, intent: Intent) -> bool:
    """Whether somebody changed the content behind the link since it was made."""
    try:
        st = directory.stat_through(name)
    except FileNotFoundError:
        return False
    return (st.st_size, st.st_mtime_ns) != (intent.size, intent.keeper_mtime_ns)


def _settle_intent(intent: Intent) -> tuple[str, str]:
    """(state, reason) of a replacement that a crash cut short."""
    if intent.link is LinkKind.REFLINK:
        return "dropped", ""
    directory, name = Directory.parent_of(intent.root, intent.path)
    with directory:
        for temporary in (intent.temporary + SPARE_SUFFIX, intent.temporary):
            reason = _settle_temporary(directory, name, temporary, intent)
            if reason:
                return "dropped", reason
        directory.sync()
        if is_link(directory, name, intent):
            return "done", ""
        if is_original(directory.lstat_or_none(name), intent):
            return "dropped", ""
        return "dropped", "it was changed since; the change stays"


def _settle_temporary(directory: Directory, name: str, temporary: str, intent: Intent) -> str:
    """Put back or remove what lies under a temporary name; a reason if it has to stay."""
    st = directory.lstat_or_none(temporary)
    if st is None:
        return ""
    if is_link(directory, temporary, intent):
        return _remove_link(directory, temporary, intent)
    if not is_original(st, intent):
        return f"{temporary} beside it is not what hubfold made; it stays"
    if is_original(directory.lstat_or_none(name), intent):
        directory.unlink(temporary)  # a second name of the file at the path
        return ""
    # A path that is missing gets its file back: a user's deletion is done again sooner than a loss is mended.
    missing = directory.lstat_or_none(name) is None
    if not missing and (not is_link(directory, name, intent) or _written_through(directory, name, intent)):
        return f"it was changed since; the file as it was before lies beside it as {temporary}"
    directory.rename(temporary, name)
    directory.sync()
    return ""


def _remove_link(directory: Directory, name: str, intent: Intent) -> str:
    """Remove a link of ours, unless it has become the last name of the keeper's bytes."""
    if intent.link is LinkKind.HARDLINK and directory.lstat(name).st_nlink == 1:
        return f"{name} beside it holds the last copy of the content; it stays"
    directory.unlink(name)
    return ""


def _settle_restore(intent: Intent, temporary: str) -> tuple[str, str]:
    """(state, reason) of a copy that was being put back when a crash came; "done" is the state before the undo."""
    directory, name = Directory.parent_of(intent.root, intent.path)
    with directory:
        if directory.lstat_or_none(temporary + UNFINISHED) is not None:
            directory.unlink(temporary + UNFINISHED)
        linked = is_link(directory, name, intent)
        for candidate in (temporary + SPARE_SUFFIX, temporary):
            if directory.lstat_or_none(candidate) is None:
                continue
            if is_link(directory, candidate, intent):
                reason = _remove_link(directory, candidate, intent)
                if reason:
                    return "kept", reason
            elif linked or _has_the_bytes(directory, candidate, intent):
                directory.unlink(candidate)  # a copy that hubfold was writing
            else:
                # A file that was saved there right before the swap, and displaced by it.
                return "kept", f"{candidate} beside it is not what hubfold made; it stays"
        directory.sync()
        if is_link(directory, name, intent):
            return "done", ""
        now = directory.lstat_or_none(name)
        if now is not None and (now.st_size, now.st_mtime_ns) != (intent.size, intent.mtime_ns):
            return "kept", "it was changed since; the change stays"
        return "restored", ""


def _has_the_bytes(directory: Directory, name: str, intent: Intent) -> bool:
    st = directory.lstat(name)
    if not stat.S_ISREG(st.st_mode) or st.st_size != intent.size:
        return False
    digest = xxhash.xxh3_128()
    compare.read_all(directory, name, update=digest.update)
    return digest.hexdigest() == intent.xxh3_128


def _inode_of(intent: Intent) -> dict[str, object]:
    """The inode of a restored path, for the journal; nothing where the user took it away."""
    try:
        directory, name = Directory.parent_of(intent.root, intent.path)
        with directory:
            return {"inode": directory.lstat(name).st_ino}
    except (OSError, LeftAlone):
        return {}


def still_links(intent: Intent) -> bool:
    """Whether the path is still the link that the run made. What cannot be looked at now is taken for one."""
    try:
        directory, name = Directory.parent_of(intent.root, intent.path)
    except FileNotFoundError:
        return not os.path.ismount(intent.mount)
    except (OSError, LeftAlone):
        return True
    with directory:
        try:
            return is_link(directory, name, intent)
        except OSError:
            return True


def restore_keepers(
    log: RunLog, used_elsewhere: Collection[int], changes: Sequence[KeeperChange] | None = None
) -> list[Failed]:
    """Give keepers that nothing links to any more the mode and mtime that they had before any run; what failed.

    `changes` are those of all runs, oldest first (default: of this one). The last run to let go of a keeper need not
    be the one that changed it.
    """
    linked = {
        intent.keeper_inode
        for number, intent in log.intents.items()
        if log.states[number] in ("done", *UNDECIDED)
        or (log.states[number] == "kept" and still_links(intent))
    }
    ours = {i.keeper_inode for i in log.intents.values()} | {change.inode for change in log.keepers}
    failed: list[Failed] = []
    for change in reversed(log.keepers if changes is None else changes):
        if change.inode in ours and change.inode not in linked and change.inode not in used_elsewhere:
            try:
                _restore_keeper(change)
            except LeftAlone:
                continue
            except OSError as error:
                # Deleted, or a link now: nothing to give back.
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    failed.append(Failed(change.path, fsops.describe(error)))
    return failed


def _restore_keeper(change: KeeperChange) -> None:
    directory, name = Directory.parent_of(change.root, change.path)
    with directory:
        fd = directory.open_file(name)
    try:
        st = os.fstat(fd)
        if st.st_ino != change.inode:
            return
        if stat.S_IMODE(st.st_mode) == change.mode[1] != change.mode[0]:
            fsops.set_mode(fd, change.mode[0])
        if st.st_mtime_ns == change.mtime_ns[1] != change.mtime_ns[0]:
            os.utime(fd, ns=(st.st_atime_ns, change.mtime_ns[0]))
    finally:
        os.close(fd)
