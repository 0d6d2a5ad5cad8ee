"""Files to read, and what of them lies in the page cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hubfold.content import Signature
from hubfold.reading import page_cache
from hubfold.reading.digests import Job

MIB = 1 << 20


def noise(size: int, seed: bytes = b"") -> bytes:
    return hashlib.shake_128(seed + b"%d" % size).digest(size)


def job(path: Path, *algorithms: str) -> Job:
    return Job(str(path), Signature.of(os.lstat(path)), algorithms)


def drop_from_cache(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident_pages(path: Path) -> int:
    size = path.stat().st_size
    with open(path, "rb") as file:
        return page_cache.pages(file.fileno(), 0, size) or 0


class Seen:
    """Collects what a reader is told."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.ticks: list[int] = []

    def update(self, view: memoryview) -> None:
        self.bytes += view

    def tick(self, amount: int) -> None:
        assert amount > 0
        self.ticks.append(amount)

    @property
    def total(self) -> int:
        return sum(self.ticks)
