"""The other copy of each file that goes because a cache has it too: shown to be one, byte by byte, before it goes.

Of a local copy the cache's (`removal/redundant`); of a model that was brought to another root of the same layout, or
back from it, the one there (`mirrored`).

What is taken for another copy may be none: a link to the file that goes, the same file seen by another mount, another
file by now, or on a drive that was pulled out. So, for a copy as a whole and under the locks of its client::

    both files of each pair opened, held with read leases, and no name of one another
    compared byte for byte
    the cache's file and the folders above it fsynced        what stays outlives a power cut

and right before each name goes, both are looked at again. Anything else leaves the whole copy alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hubfold.backend.changes import Removal
from hubfold.content import Signature
from hubfold.disk import seen_twice
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems, Shows
from hubfold.disk.held import HeldFile
from hubfold.disk.paths import hops, plain, upwards, within
from hubfold.errors import LeftAlone, describe
from hubfold.progress import Progress, Stop
from hubfold.reading.compare import compare

#: What fsync says where nothing can be waiting to be written.
_NOTHING_TO_WRITE = frozenset({errno.EROFS, errno.EINVAL, errno.EBADF})


@dataclass(frozen=True, slots=True)
class Twin:
    """A file, or link, of a copy, and what a cache gives programs for the same name; `root` is the cache."""

    path: str
    kept: str
    root: str


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two files that were found equal. Signatures without the ctime: removing another name of one moves that."""

    kept: str
    #: Where `kept` leads to.
    file: str
    of_kept: tuple[int, ...]
    of_mine: tuple[int, ...]


def mirrored(removal: Removal, other: str, told: Collection[str] = ()) -> tuple[Twin, ...] | str:
    """The twin of each file that goes in `other`, a root of the same layout; else a path that has none there.

    A link has one by its text, and nothing of it is compared; what is empty says that there is nothing, and needs none;
    nor does what was `told` of. As far as names and sizes tell: the bytes are compared by `Twins`.
    """
    found = []
    for path in removal.files:
        kept = os.path.join(other, os.path.relpath(path, removal.root))
        try:
            if path in told or not os.path.lexists(path):
                continue
            if os.path.islink(path):
                if os.readlink(path) != os.readlink(kept):
                    return path
            elif size := os.stat(path).st_size:
                if os.stat(kept).st_size != size:
                    return path
                found.append(Twin(path, kept, other))
        except OSError:
            return path
    return tuple(found)


def no_copy(path: str, kept: str, going: Collection[str]) -> str | None:
    """Why what is at `kept` is no other copy of the file at `path`, as far as names tell; None if it may be.

    `going` are all the paths that are to go: none of them may be what `kept` is read through. Raises `OSError`.
    """
    there, name = os.path.realpath(kept), os.path.basename(path)
    if any(here in going for here in (kept, plain(kept), *hops(kept), there)):
        return f"{kept} is a link to {name}"
    mine, other = os.stat(path), os.stat(there)
    if not os.path.samestat(mine, other) or os.path.islink(path):
        return None
    one, two = os.stat(os.path.dirname(plain(path))), os.stat(os.path.dirname(there))
    if mine.st_nlink < 2 or (os.path.samestat(one, two) and os.path.basename(there) == name):
        return f"{kept} is {name} itself, by another path"
    return None


@dataclass(slots=True)
class Twins:
    """Compares the files of local copies, by their folders, with their twins; what was compared is remembered."""

    of: Mapping[str, Sequence[Twin]]
    progress: Progress
    stop: Stop
    _compared: dict[str, _Compared] = field(default_factory=dict)
    _filesystems: FileSystems = field(default_factory=FileSystems)

    def compare(self, copy: str) -> None:
        """Compare all of one copy. Raises `LeftAlone` where a file has no twin, `OSError`, `Interrupted`."""
        twins = self.of.get(copy, ())
        if not twins:
            return
        going = {twin.path for found in self.of.values() for twin in found}
        self.progress.start("comparing", sum(2 * os.stat(twin.path).st_size for twin in twins), "bytes")
        try:
            for twin in twins:
                self.stop.check()
                reason = no_copy(twin.path, twin.kept, going)
                if reason is not None:
                    raise LeftAlone(reason)
                self._compared[twin.path] = self._compare(twin)
            _make_durable(twins)
        finally:
            self.progress.finish()

    def _compare(self, twin: Twin) -> _Compared:
        with _opened(twin.kept) as kept, _opened(twin.path) as mine:
            _check_owner(twin, mine, kept)
            if mine.signature[:2] != kept.signature[:2]:
                self._check_views(mine, kept)
                wrong = compare(kept, [mine], update=lambda data: None, tick=self._tick)
                if mine in wrong:
                    raise LeftAlone(f"{twin.path}: {describe(wrong[mine])}")
            if not (kept.unchanged() and mine.unchanged()):
                raise LeftAlone(f"{twin.path} changed while it was compared")
            with _as_far_as_it_is_written():
                os.fsync(kept.fd)
            kept.directory.sync()
            return _Compared(twin.kept, kept.path, kept.signature[:4], mine.signature[:4])

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()

    def _check_views(self, mine: HeldFile, kept: HeldFile) -> None:
        """Raise `LeftAlone` where the two may be one file that two mounts show."""
        shown = {self._filesystems.of(os.path.dirname(held.path)).shows for held in (mine, kept)}
        one_device = mine.signature.device == kept.signature.device
        if Shows.OTHERS not in shown and (one_device or shown == {Shows.OWN}):
            return
        found = seen_twice.views(mine, [kept])
        if found is None:
            raise LeftAlone(f"{kept.path} may be the same file, seen by another mount: that cannot be told")
        if found:
            raise LeftAlone(f"{kept.path} is the same file, seen by another mount")

    @contextmanager
    def beside(self, path: str) -> Iterator[None]:
        """While `path` is removed: both files are what was compared. Raises `LeftAlone`, `OSError`."""
        known = self._compared.get(path)
        if known is None:
            yield
            return
        if os.path.realpath(known.kept) != known.file:
            raise LeftAlone(f"{known.kept} leads somewhere else now; it stays")
        if Signature.of(os.stat(known.file))[:4] != known.of_kept:
            raise LeftAlone(f"{known.kept} changed since it was compared; it stays")
        with _opened(path) as mine:
            if mine.signature[:4] != known.of_mine:
                raise LeftAlone(f"{path} changed since it was compared; it stays")
            yield


@contextmanager
def _opened(path: str) -> Iterator[HeldFile]:
    """The file that `path` leads to, held with a read lease. Raises `LeftAlone`, `OSError`."""
    real = os.path.realpath(path)
    held = HeldFile(os.path.dirname(real), real)
    try:
        yield held
    finally:
        held.close()


def _check_owner(twin: Twin, mine: HeldFile, kept: HeldFile) -> None:
    """Root may give up no user's file for one that another user may take away, or keep to himself."""
    if mine.attributes.uid not in (kept.attributes.uid, os.geteuid()):
        raise LeftAlone(f"{twin.kept} is another user's file")


def _make_durable(twins: Sequence[Twin]) -> None:
    """The names by which the cache has what stays, up to its root."""
    folders = {
        folder
        for twin in twins
        for folder in upwards(os.path.dirname(twin.kept))
        if within(folder, twin.root)
    }
    for path in sorted(folders, key=len, reverse=True):
        with Directory.open(path) as folder, _as_far_as_it_is_written():
            folder.sync()


@contextmanager
def _as_far_as_it_is_written() -> Iterator[None]:
    """Where nothing can be waiting to be written, nothing has to be synced."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOTHING_TO_WRITE:
            raise
