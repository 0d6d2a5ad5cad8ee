"""An adoption taken back: what it made goes, as long as the folder has the bytes.

The last made goes first: refs, snapshots, listings, content. Content goes only where it lies as it was put, no other
revision needs it, and the file that it came from is there with the same bytes: compared, fsynced and announced right
before. A model with content that is the last copy by now stays as it is, with all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from hubfold import errors
from hubfold.adoption import renewing
from hubfold.disk.directory import Directory
from hubfold.disk.held import HeldFile
from hubfold.disk.locks import passing_lock
from hubfold.errors import Away, Busy, LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.on_disk import is_put
from hubfold.journal.others import Others
from hubfold.journal.presence import check_there
from hubfold.journal.records import Before, Put
from hubfold.journal.run_log import RunLog
from hubfold.reading import compare
from hubfold.reports.outcomes import Failed, Left

#: The paths among these that something of their root (path, backend) needs now.
Needed = Callable[[str, str, Collection[str]], Collection[str]]
#: The lock files of a path in a root (path, backend).
Locks = Callable[[str, str, str], Sequence[str]]

_LAST = "it is the last copy of its content: its folder has it no more"


@dataclass(slots=True)
class TakenBack:
    """What went, what stays and why, and what an error keeps from being done."""

    removed: list[str] = field(default_factory=list)
    #: Notes that say again what they said.
    restored: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    waiting: list[Left] = field(default_factory=list)


def preview(log: RunLog, others: Others) -> TakenBack:
    """What `take_back` would do, as far as names tell; bytes are compared when it is done."""

    def there(put: Put) -> None:
        if not os.path.isfile(put.source):
            raise LeftAlone(_LAST)

    done = TakenBack()
    for put in _going(log, others, done, there):
        (done.removed if put.before is None else done.restored).append(put.path)
    gone = set(done.removed)
    for folder in _folders(log):
        with suppress(OSError):
            names = {os.path.join(folder, name) for name in os.listdir(folder)}
            if names <= gone:
                gone.add(folder)
                done.folders.append(folder)
    return done


def take_back(log: RunLog, journal: Journal, others: Others, needed: Needed, locks: Locks) -> TakenBack:
    """Remove what the run put into a root. Raises `OSError` of the journal."""
    done = TakenBack()
    stays: set[str] = set()
    for put in _going(log, others, done, lambda put: _other(put).close()):
        if put.of in stays:
            done.left.append(Left(put.path, "a note that tells of it is there still"))
            continue
        before = len(done.removed)
        with _Noting(put.path, done):
            if put.before is not None:
                _put_back(put, put.before, journal, locks)
                done.restored.append(put.path)
            elif _remove(put, journal, needed, locks):
                done.removed.append(put.path)
        if len(done.removed) == before and put.of and not put.source:
            stays.add(put.of)
    for folder in _folders(log):
        with suppress(OSError, LeftAlone):
            directory, name = Directory.parent_of(log.puts[0].root, folder)
            with directory:
                directory.rmdir(name)
                directory.sync()
                done.folders.append(folder)
    return done


def _going(log: RunLog, others: Others, done: TakenBack, check: Callable[[Put], None]) -> list[Put]:
    """What is still as it was put, the last one first; models of which a content stays are left whole.

    `check` raises for content that has to stay; what keeps anything is noted in `done`.
    """
    found: list[Put] = []
    whole: set[str] = set()
    for put in reversed(log.puts):
        with _Noting(put.path, done):
            if not _is_there(log, put, others):
                continue
            found.append(put)
            if put.source:
                try:
                    check(put)
                except (LeftAlone, OSError):
                    whole.add(_top(put))
                    raise
    return [put for put in found if _top(put) not in whole]


def _top(put: Put) -> str:
    """What a put is a part of: what its run says, else the folder of the root it lies in: of a cache, its model."""
    return put.of or os.path.relpath(put.path, put.root).partition(os.sep)[0]


class _Noting:
    """Notes in a `TakenBack` what keeps one path from being taken back."""

    def __init__(self, path: str, done: TakenBack) -> None:
        self._path = path
        self._done = done

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        path = self._path
        if isinstance(error, Away):
            self._done.waiting.append(Left(path, errors.describe(error)))
        elif isinstance(error, Busy):
            self._done.failed.append(Failed(path, str(error)))
        elif isinstance(error, LeftAlone):
            self._done.left.append(Left(path, str(error)))
        elif isinstance(error, OSError):
            self._done.failed.append(Failed(path, errors.describe(error)))
        else:
            return False
        return True


def _is_there(log: RunLog, put: Put, others: Others) -> bool:
    """Whether there is something to take back; raises as `_Noting` tells."""
    if put.path in others.refolded:
        run = others.refolded[put.path]
        raise Busy(f"run {run} has replaced it since: `hubfold undo {run}` first")
    try:
        directory, name = Directory.parent_of(put.root, put.path)
    except FileNotFoundError:
        check_there(log.places, put.root, put.mount)
        return False
    with directory:
        if is_put(directory, name, put):
            return True
        if directory.lstat_or_none(name) is None:
            check_there(log.places, put.root, put.mount)
            return False
        if put.before is not None and renewing.text_of(put.path) == put.before.text:
            return False  # it came no further, or undo was here already
    raise LeftAlone("it was changed since; the change stays")


def _put_back(put: Put, before: Before, journal: Journal, locks: Locks) -> None:
    with ExitStack() as held:
        for lock in locks(put.root, put.backend, put.path):
            held.enter_context(passing_lock(lock, put.root))
        directory, _ = Directory.parent_of(put.root, put.path)
        held.callback(directory.close)
        renewing.put_back(put, before, directory, journal)


def _remove(put: Put, journal: Journal, needed: Needed, locks: Locks) -> bool:
    with ExitStack() as held:
        other: HeldFile | None = None
        if put.source:
            for lock in locks(put.root, put.backend, put.path):
                held.enter_context(passing_lock(lock, put.root))
            if needed(put.root, put.backend, (put.path,)):
                raise LeftAlone("another revision needs it")
            other = _other(put)
            held.callback(other.close)
        directory, name = Directory.parent_of(put.root, put.path)
        held.callback(directory.close)
        journal.append("take", path=put.path, source=put.source)
        journal.sync()
        if not is_put(directory, name, put):
            raise LeftAlone("it was changed since; the change stays")
        # What came since may have taken the folder's own file away.
        if other is not None and not other.is_here(other.directory, other.name):
            raise LeftAlone(_LAST)
        directory.unlink(name)
        directory.sync()
    return True


def _other(put: Put) -> HeldFile:
    """The folder's file, which has the bytes and has them for good. Raises `LeftAlone` where it is not."""
    try:
        other = HeldFile(os.path.dirname(put.source), put.source)
    except (FileNotFoundError, NotADirectoryError):
        raise LeftAlone(_LAST) from None
    try:
        if other.signature.inode != put.inode or os.stat(put.path).st_dev != other.signature.device:
            mine = HeldFile(put.root, put.path)
            try:
                if compare.compare(mine, [other], update=lambda data: None, tick=lambda amount: None):
                    raise LeftAlone("its folder has other bytes by now: it is the last copy of its content")
            finally:
                mine.close()
        os.fsync(other.fd)
        other.directory.sync()
    except BaseException:
        other.close()
        raise
    return other


def _folders(log: RunLog) -> Iterator[str]:
    """The folders between what was put and its root, the deepest first."""
    found: set[str] = set()
    for put in log.puts:
        folder = os.path.dirname(put.path)
        while len(folder) > len(put.root):
            found.add(folder)
            folder = os.path.dirname(folder)
    return iter(sorted(found, key=lambda folder: (-folder.count("/"), folder)))
