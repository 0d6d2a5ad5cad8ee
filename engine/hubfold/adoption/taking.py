"""How content of a folder comes into a cache without a second copy, and what is announced of it before."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, cast

from hubfold.adoption.plan import TakePlan
from hubfold.adoption.sources import Source
from hubfold.backend.boundary import GuardedBackend
from hubfold.content import Signature
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import WRITE_BITS, HeldFile
from hubfold.errors import LeftAlone
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.journal.records import Put
from hubfold.reading import compare, extents
from hubfold.transfer.archive import Listed, Part
from hubfold.transfer.restore import Means

CHANGED = "it changed since it was read; run the same command again"


@dataclass(slots=True)
class Taker:
    """Gives a restore its content out of a folder: the `Reader` that it reads, and the `Means` by which it does."""

    planned: TakePlan
    journal: Journal
    #: What is shared gets read-only, since its folder's user may write to it; a cache's clients do not.
    read_only: bool = True
    _filesystems: FileSystems = field(default_factory=FileSystems)

    @property
    def means(self) -> Means:
        return Means(self._share, self._coming, self.journal.sync)

    # the reader

    def read_list(self, backends: Mapping[str, GuardedBackend]) -> Listed:
        """What a backup would have: the model of the plan."""
        return Listed(self.planned.restore.models)

    def objects(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, IO[bytes]]]:
        """The content of what is copied; a file is opened when it is read, and only then."""
        for sha256 in wanted:
            note = self.planned.notes.get(sha256)
            if note is not None:
                yield sha256, io.BytesIO(note)
            else:
                with _Opened(self.planned.sources[sha256]) as source:
                    yield sha256, cast(IO[bytes], source)

    # the means

    def _coming(self, part: Part, path: str, st: os.stat_result | None) -> None:
        source = self.planned.sources.get(part.sha256) if st is not None else None
        root = self.planned.root
        mount = self._filesystems.at(root.path).mount
        for place in (root.path, mount):
            self.journal.place(place)
        put = Put(
            path=path,
            root=root.path,
            backend=root.backend,
            text=part.link or "",
            inode=st.st_ino if st is not None else 0,
            size=st.st_size if st is not None else 0,
            source=source.real if source is not None else "",
            mount=mount,
        )
        self.journal.append("put", **put.as_record())

    def _share(self, folder: Directory, name: str, part: Part) -> bool:
        source = self.planned.sources.get(part.sha256)
        how = self.planned.how.get(part.sha256)
        if source is None or how not in ("reflink", "hardlink"):
            return False
        held = HeldFile(os.path.dirname(source.real), source.real, source.signature)
        try:
            if how == "hardlink":
                return self._hardlink(held, folder, name)
            return _reflink(held, folder, name, part)
        finally:
            held.close()

    def _hardlink(self, held: HeldFile, folder: Directory, name: str) -> bool:
        """One more name for the file, which gets read-only; False where the file system has none for it."""
        now = held.attributes
        try:
            os.fsync(held.fd)
            if self.read_only and now.mode & WRITE_BITS:
                root, mode = os.path.dirname(held.path), now.mode & ~WRITE_BITS
                self.journal.place(root)
                keepers.announce(self.journal, held, root, mode=mode, mtime_ns=now.mtime_ns)
                self.journal.sync()
                if not keepers.make_read_only(held):
                    return False
            folder.link_from(held.directory, held.name, name)
        except LeftAlone:
            raise
        except OSError:
            return False
        if not held.is_here(folder, name) or not held.unchanged():
            folder.unlink(name)
            raise LeftAlone(CHANGED)
        return True


def _reflink(held: HeldFile, folder: Directory, name: str, part: Part) -> bool:
    """A file of its own with the same extents, read once it is made; False where extents cannot be shared."""
    target = folder.create_file(name, 0o644)
    try:
        folder.own_file(target)
        extents.clone_extents(held.fd, target)
        digest = hashlib.sha256()
        compare.read_all(folder, name, update=digest.update)
        if digest.hexdigest() != part.sha256:
            raise LeftAlone(CHANGED)
        os.utime(target, ns=(part.mtime_ns, part.mtime_ns))
        os.fsync(target)
    except (LeftAlone, OSError) as error:
        with suppress(FileNotFoundError):
            folder.unlink(name)
        if isinstance(error, LeftAlone):
            raise
        return False
    finally:
        os.close(target)
    return True


class _Opened:
    """A file that is opened at the first read, and has to be what was read of it before."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, amount: int = -1) -> bytes:
        if self._file is None:
            self._file = open(self._source.real, "rb")  # noqa: SIM115 - closed by `__exit__`
            if Signature.of(os.fstat(self._file.fileno())) != self._source.signature:
                raise LeftAlone(CHANGED)
        return self._file.read(amount)
