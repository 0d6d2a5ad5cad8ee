"""Gives the folder of a program more names of files of a cache, and the notes that the program reads.

Each is announced before (``put``), known again by inode or bytes, and taken back by undo. A name that is new is made by
one call; what takes the place of something is made beside it and renamed. Content goes only while the file that it was
linked to is there as the same file, fsynced right before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from hubfold import errors
from hubfold.content import TEMPORARY_PREFIX, Signature
from hubfold.disk.directory import Directory, make_folders
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import WRITE_BITS, HeldFile
from hubfold.disk.locks import passing_lock
from hubfold.errors import LeftAlone
from hubfold.farm.store import LAST, StorePlan, WantedName
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.journal.on_disk import is_put
from hubfold.journal.records import Put
from hubfold.progress import Progress, Stop
from hubfold.reports.outcomes import Failed

CHANGED = "it was changed meanwhile"

#: The lock files that the program takes before it replaces a path.
Locks = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the layout is asked right before a path changes, under its locks."""

    locks: Locks
    #: Whether something else in the folder needs what lies at a path.
    is_needed: Callable[[str], bool]


def give(plan: StorePlan, journal: Journal, asked: Asked, *, progress: Progress, stop: Stop) -> list[Failed]:
    """Carry out the part of `plan` that is no symlink; what could not be done.

    Raises `Interrupted` between two names, `OSError` of the journal.
    """
    failed: list[Failed] = []
    make_folders(plan.root.path)
    giver = _Giver(plan, journal, asked)
    items = [*((item, None) for item in plan.add), *plan.replace]
    # Contents first: a note tells of what is there.
    items.sort(key=lambda pair: pair[0].content is not None)
    broken: set[str] = set()
    progress.start("linking", len(items), "files")
    try:
        for item, before in items:
            stop.check()
            if item.content is not None and item.of in broken:
                continue
            try:
                giver.put(item, before)
            except (LeftAlone, OSError) as error:
                broken.add(item.of)
                failed.append(Failed(os.path.join(plan.root.path, item.name), errors.describe(error)))
            progress.advance(1)
        for put in plan.remove:
            stop.check()
            if put.of not in broken:
                try:
                    giver.remove(put)
                except (LeftAlone, OSError) as error:
                    broken.add(put.of)
                    failed.append(Failed(put.path, errors.describe(error)))
    finally:
        progress.finish()
    return failed


class _Giver:
    """Makes the names of one folder under one journal."""

    def __init__(self, plan: StorePlan, journal: Journal, asked: Asked) -> None:
        self._root = plan.root
        self._journal = journal
        self._asked = asked
        self._mount = FileSystems().at(plan.root.path).mount
        self._number = 0
        #: Signatures of files that this run has changed the mode and the names of, by payload.
        self._ours: dict[tuple[int, int], Signature] = {}

    def put(self, item: WantedName, before: Put | None) -> None:
        """Make one name, in the place of what `before` tells of. Raises as `give` tells."""
        path = os.path.join(self._root.path, item.name)
        with ExitStack() as held:
            for lock in self._asked.locks(path):
                held.enter_context(passing_lock(lock, self._root.path))
            folder = held.enter_context(Directory.make_below(self._root.path, os.path.dirname(path)))
            if item.content is not None:
                self._note(folder, path, item, before)
            else:
                self._file(folder, path, item, before)
            folder.sync()

    def _file(self, folder: Directory, path: str, item: WantedName, before: Put | None) -> None:
        expected = item.signature
        payload = None if expected is None else (expected.device, expected.inode)
        source = HeldFile(
            item.source_root, item.source, self._ours.get(payload, expected) if payload else None
        )
        try:
            self._read_only(source, item.source_root)
            put = self._put_of(path, item, source.signature.inode, source.signature.size)
            name = os.path.basename(path)
            if before is None:
                self._announce(put)
                folder.link_from(source.directory, source.name, name)
            else:
                temporary = self._temporary(path)
                self._announce(put)
                folder.link_from(source.directory, source.name, temporary)
                self._exchange(folder, temporary, name, before)
            if not source.is_here(folder, name) or not source.unchanged():
                folder.unlink(name)
                raise LeftAlone(CHANGED)
            if payload is not None:
                self._ours[payload] = Signature.of(os.fstat(source.fd))
        finally:
            source.close()

    def _read_only(self, source: HeldFile, root: str) -> None:
        """Let nobody write to the file by its old name, or by the new one."""
        now = source.attributes
        os.fsync(source.fd)
        if not now.mode & WRITE_BITS:
            return
        self._journal.place(root)
        keepers.announce(self._journal, source, root, mode=now.mode & ~WRITE_BITS, mtime_ns=now.mtime_ns)
        self._journal.sync()
        if not keepers.make_read_only(source):
            raise LeftAlone("it cannot be made read-only, and a program could write to it by either name")

    def _note(self, folder: Directory, path: str, item: WantedName, before: Put | None) -> None:
        content = item.content or b""
        name = os.path.basename(path)
        temporary = self._temporary(path)
        try:
            fd = folder.create_file(temporary, 0o644)
            try:
                folder.own_file(fd)
                with open(fd, "wb", closefd=False) as file:
                    file.write(content)
                os.fsync(fd)
                st = os.fstat(fd)
            finally:
                os.close(fd)
            self._announce(self._put_of(path, item, st.st_ino, st.st_size))
            if before is None:
                folder.move(temporary, folder, name)
            else:
                self._exchange(folder, temporary, name, before)
        finally:
            with suppress(FileNotFoundError):
                folder.unlink(temporary)

    def _temporary(self, path: str) -> str:
        """A name beside `path`, announced."""
        self._number += 1
        name = f"{TEMPORARY_PREFIX}{self._journal.run}-{self._number}"
        temporary = os.path.join(os.path.dirname(path), name)
        self._journal.announce("make", path=path, root=self._root.path, temporary=temporary)
        self._journal.sync()
        return name

    def _put_of(self, path: str, item: WantedName, inode: int, size: int) -> Put:
        return Put(
            path=path,
            root=self._root.path,
            backend=self._root.backend,
            text="",
            inode=inode,
            size=size,
            source=item.source,
            mount=self._mount,
            of=item.of,
            digest=item.digest,
        )

    def _announce(self, put: Put) -> None:
        for place in (self._root.path, self._mount):
            self._journal.place(place)
        self._journal.append("put", **put.as_record())
        self._journal.sync()

    def _exchange(self, folder: Directory, temporary: str, name: str, before: Put) -> None:
        """Let the new file take the place of what a run had put there; nothing is left of it where that fails."""
        try:
            self._check_goes(folder, name, before)
            folder.rename(temporary, name)
        except (LeftAlone, OSError):
            folder.unlink(temporary)
            raise

    def _check_goes(self, folder: Directory, name: str, put: Put) -> None:
        """Raise `LeftAlone` unless that is there as a run put it, and a content of it at another name for good."""
        if not is_put(folder, name, put):
            raise LeftAlone(CHANGED)
        if put.source:
            _keep_other_name(folder, name, put)

    def remove(self, put: Put) -> None:
        """Remove what a run had put there and the program is to have no more, with folders that are empty then."""
        with ExitStack() as held:
            for lock in self._asked.locks(put.path):
                held.enter_context(passing_lock(lock, self._root.path))
            folder, name = Directory.parent_of(put.root, put.path)
            held.callback(folder.close)
            self._journal.append("remove", path=put.path, bytes=0)
            self._journal.sync()
            if put.source and self._asked.is_needed(put.path):
                raise LeftAlone("another model there needs it")
            self._check_goes(folder, name, put)
            folder.unlink(name)
            folder.sync()
        self._remove_empty(os.path.dirname(put.path))

    def _remove_empty(self, path: str) -> None:
        with suppress(OSError, LeftAlone):
            while len(path) > len(self._root.path):
                folder, name = Directory.parent_of(self._root.path, path)
                with folder:
                    folder.rmdir(name)
                    folder.sync()
                path = os.path.dirname(path)


def _keep_other_name(folder: Directory, name: str, put: Put) -> None:
    """Raise `LeftAlone` unless the file has the name too that it was linked by, which is on the disk then."""
    try:
        other = HeldFile(os.path.dirname(put.source), put.source, lease=False)
    except (FileNotFoundError, NotADirectoryError, LeftAlone):
        raise LeftAlone(LAST) from None
    try:
        if not other.is_here(folder, name):
            raise LeftAlone(LAST)
        os.fsync(other.fd)
        other.directory.sync()
        # Both take their time where there is much to write, and anybody may remove the other name meanwhile.
        if not other.is_here(other.directory, other.name):
            raise LeftAlone(LAST)
        if not other.is_here(folder, name):
            raise LeftAlone(CHANGED)
    finally:
        other.close()
