"""What a move copies: the files that a model is made of, read where they lie, at the speed that the user allows."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from hubfold import errors
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import ModelPart
from hubfold.content import IndexedReplica
from hubfold.disk.held import Lease
from hubfold.errors import BackupError, LeftAlone
from hubfold.progress import Stop
from hubfold.transfer.archive import LATEST_NS, Listed, Part, pour

#: What the index knows of the file at a path.
Known = Callable[[str], IndexedReplica | None]
#: Seconds that are slept at a time, so that a stop is soon heard.
_NAP = 0.5
#: What is said of content that is not what it should be.
DAMAGED = "it is damaged, or was changed meanwhile"


class Pace:
    """Keeps a copy at `limit` bytes a second; None for as fast as it goes."""

    def __init__(self, limit: int | None, stop: Stop, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._stop = stop
        self._clock = clock
        self._began = 0.0
        self._bytes = 0

    @property
    def step(self) -> int:
        """The most bytes that are read at once, so that a slow pace is an even one."""
        return max(self._limit // 4, 4096) if self._limit is not None else 1 << 62

    def went(self, amount: int) -> None:
        """Wait until `amount` more bytes are due. Raises `Interrupted`."""
        if self._limit is None:
            return
        self._began = self._began or self._clock()
        self._bytes += amount
        while (early := self._began + self._bytes / self._limit - self._clock()) > 0:
            self._stop.wait(min(early, _NAP))
            self._stop.check()


class _Paced(io.RawIOBase):
    """An open file that is read at a pace."""

    def __init__(self, fd: int, pace: Pace) -> None:
        super().__init__()
        self.fd = fd
        self._pace = pace

    def read(self, size: int = -1) -> bytes:
        data = os.read(self.fd, min(size, self._pace.step))
        self._pace.went(len(data))
        return data


@dataclass(slots=True)
class Originals:
    """The contents of models by their sha256, as `restore` reads a backup."""

    #: sha256 → where the content lies.
    paths: Mapping[str, str]
    pace: Pace

    def read_list(self, backends: Mapping[str, GuardedBackend]) -> Listed:
        """Nobody asks: the plan has the models."""
        return Listed(())

    def objects(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, IO[bytes]]]:
        """(sha256 it is said to have, its bytes). A file that a program writes to, or that is gone, is passed over."""
        for sha256 in wanted:
            try:
                fd = os.open(self.paths[sha256], os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                lease = Lease(fd)
            except LeftAlone:
                os.close(fd)
                continue
            try:
                yield sha256, _Paced(fd, self.pace)  # type: ignore[misc]
            finally:
                lease.release()
                os.close(fd)


def parts_of(
    parts: Sequence[ModelPart], known: Known, sums: dict[tuple[int, int], str], stop: Stop
) -> tuple[tuple[Part, ...], dict[str, str]]:
    """(the parts with their sha256, where each content lies). What nothing states a sha256 of is read.

    `sums` are those of inodes that were read before. Raises `LeftAlone` for what cannot be read or is not
    what its name says.
    """
    found: list[Part] = []
    paths: dict[str, str] = {}
    for part in parts:
        if part.text is not None:
            found.append(Part(part.name, link=part.text))
            continue
        stop.check()
        try:
            with open(part.source, "rb") as source:
                st = os.fstat(source.fileno())
                if not stat.S_ISREG(st.st_mode):
                    raise LeftAlone(f"{part.source} is no file")
                sha256 = sums.get((st.st_dev, st.st_ino)) or _sha256(part.source, source, st.st_size, known)
        except BackupError:
            raise LeftAlone(f"{part.source}: it became shorter while it was read") from None
        except OSError as error:
            raise LeftAlone(f"{part.source}: {errors.describe(error)}") from error
        sums[st.st_dev, st.st_ino] = sha256
        paths.setdefault(sha256, part.source)
        found.append(Part(part.name, sha256, st.st_size, min(max(st.st_mtime_ns, 0), LATEST_NS)))
    return tuple(found), paths


def _sha256(path: str, source: IO[bytes], size: int, known: Known) -> str:
    """What the layout or the index states, else what the file has, with its git-sha1 held against its name."""
    replica = known(os.path.realpath(path))
    digests = replica.digests if replica is not None else {}
    if "sha256" in digests:
        return digests["sha256"]
    git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    sha256 = pour(source, git.update, size, lambda amount: None)
    if digests.get("git-sha1", git.hexdigest()) != git.hexdigest():
        raise LeftAlone(f"{path}: its bytes are not the {digests['git-sha1']} that it is said to be")
    return sha256
