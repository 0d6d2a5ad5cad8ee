"""Digests of files: several algorithms in one read, without pushing the user's page cache out.

How the bytes are read: `blocks`.

`read` is a plain function of picklable arguments, so that any `concurrent.futures.Executor` can run it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import threading
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import xxhash

from hubfold.content import Signature, signature_tuple
from hubfold.disk import open_flags
from hubfold.errors import Interrupted
from hubfold.reading.blocks import ALIGNMENT, Blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hubfold.progress import Stop

#: The pseudo-algorithm of a few blocks: equal samples mean nothing, different ones mean different contents.
SAMPLE = "sample"
#: Files up to this size are read whole at once: sampling would read half of them.
SMALL = 256 << 10

#: Files up to this size, if they are read by xxh3 alone, are read in one go.
AT_ONCE = 16 << 10
_XXH3 = ("xxh3_128",)

_SAMPLES = 5
_SAMPLE_BLOCK = 16 << 10
_xet_import = threading.Lock()
_FLAGS = open_flags.READ | open_flags.NOFOLLOW | open_flags.NONBLOCK


class Job(NamedTuple):
    """One payload to read, by one of its names, as it was when its signature was taken."""

    path: str
    signature: Signature
    #: Names of `content.ALGORITHMS`, or `SAMPLE`.
    algorithms: tuple[str, ...]


class Reading(NamedTuple):
    """What came of a job. Digests are there only if every byte was read while the signature stood still."""

    job: Job
    #: Algorithm → hex.
    digests: Mapping[str, str] = MappingProxyType({})
    bytes_read: int = 0
    #: Why the file could not be read: never equal to anything (invariant 5).
    unreadable: str | None = None
    #: The file was not there.
    missing: bool = False
    #: The file is not, or did not stay, as the signature says.
    changed: bool = False


def available(algorithm: str) -> bool:
    """Whether this machine can compute the algorithm: ``xet`` needs the package hf_xet."""
    if algorithm == "xet":
        # Looked for, not imported: the import alone is slow and opens a log file.
        from importlib.util import find_spec

        return find_spec("hf_xet") is not None
    return algorithm in ("sha256", "git-sha1", "xxh3_128", "md5", SAMPLE)


def read(job: Job, advance: Callable[[int], object] | None = None, stop: Stop | None = None) -> Reading:
    """Read a file and digest it. `advance` is told of bytes as they are read.

    Raises `Interrupted` where `stop` is set; every other failure is part of the result.
    """
    if job.signature.size <= AT_ONCE and job.algorithms == _XXH3:
        reading = _read_at_once(job)
        if advance is not None and reading.bytes_read:
            advance(reading.bytes_read)
        if stop is not None:
            stop.check()
        return reading
    counter = _Counter(advance, stop)
    try:
        fd = os.open(job.path, _FLAGS)
    except OSError as error:
        return _unreadable(job, error, 0)
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or Signature.of(st) != job.signature:
            return Reading(job, changed=True)
        digests = _digests(fd, job, counter)
        if counter.short or Signature.of(os.fstat(fd)) != job.signature:
            return Reading(job, bytes_read=counter.bytes, changed=True)
        return Reading(job, digests, counter.bytes)
    except OSError as error:
        return _unreadable(job, error, counter.bytes)
    finally:
        os.close(fd)


def read_many(
    jobs: Sequence[Job], advance: Callable[[int], object] | None = None, stop: Stop | None = None
) -> list[Reading]:
    """`read` of several files in one task; where `stop` is set, those that were read by then."""
    readings = []
    for job in jobs:
        try:
            readings.append(read(job, advance, stop))
        except Interrupted:
            break
    return readings


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def _read_at_once(job: Job) -> Reading:
    """`read` of a file that is so small that what goes along with reading it counts for more.

    Through the page cache, without asking what is in there: a few pages are what the kernel keeps of the inode anyway.
    """
    try:
        fd = os.open(job.path, _FLAGS)
    except OSError as error:
        return _unreadable(job, error, 0)
    data = b""
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or signature_tuple(st) != job.signature:
            return Reading(job, changed=True)
        data = os.read(fd, job.signature.size)
        if len(data) < job.signature.size or signature_tuple(os.fstat(fd)) != job.signature:
            return Reading(job, bytes_read=len(data), changed=True)
    except OSError as error:
        return _unreadable(job, error, len(data))
    finally:
        os.close(fd)
    return Reading(job, {"xxh3_128": xxhash.xxh3_128_hexdigest(data)}, len(data))


def _unreadable(job: Job, error: OSError, bytes_read: int) -> Reading:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Reading(job, bytes_read=bytes_read, missing=True, unreadable="is not there")
    if error.errno == errno.ELOOP:
        return Reading(job, bytes_read=bytes_read, changed=True)
    return Reading(job, bytes_read=bytes_read, unreadable=error.strerror or str(error))


@dataclass(slots=True)
class _Counter:
    advance: Callable[[int], object] | None
    stop: Stop | None
    bytes: int = 0
    #: The file ended before its size.
    short: bool = False

    def add(self, count: int) -> None:
        self.bytes += count
        if self.advance is not None:
            self.advance(count)
        if self.stop is not None:
            self.stop.check()


def _digests(fd: int, job: Job, counter: _Counter) -> dict[str, str]:
    size = job.signature.size
    if job.algorithms == (SAMPLE,):
        return {SAMPLE: _sample(fd, size, counter)}
    hashes: dict[str, _Hash] = {}
    for algorithm in job.algorithms:
        if algorithm == "sha256":
            hashes[algorithm] = hashlib.sha256(usedforsecurity=False)
        elif algorithm == "git-sha1":
            # As `git hash-object` does, which is how the Hub names files that are not in LFS.
            hashes[algorithm] = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        elif algorithm == "md5":
            hashes[algorithm] = hashlib.md5(usedforsecurity=False)
        elif algorithm == "xxh3_128":
            hashes[algorithm] = xxhash.xxh3_128()
    digests = {}
    if hashes:
        for block in _blocks(fd, size, counter):
            for one in hashes.values():
                one.update(block)
        digests = {algorithm: one.hexdigest() for algorithm, one in hashes.items()}
    if "xet" in job.algorithms and available("xet"):
        digests["xet"] = _xet(fd, size, counter)
    return digests


def _xet(fd: int, size: int, counter: _Counter) -> str:
    # By the descriptor, so that it is this very file whatever has become of the name.
    (found,) = _xet_hash_files()([f"/proc/self/fd/{fd}"])
    if found.file_size != size:
        counter.short = True
    counter.add(size)
    return str(found.hash)


def _xet_hash_files() -> Callable[[list[str]], list[Any]]:
    with _xet_import:
        quiet = "hf_xet" not in sys.modules and "HF_XET_LOG_DEST" not in os.environ
        if quiet:
            # A scan leaves no log of somebody else's library in the user's HF_HOME.
            os.environ["HF_XET_LOG_DEST"] = os.devnull
        try:
            from hf_xet import hash_files
        finally:
            if quiet:
                del os.environ["HF_XET_LOG_DEST"]
    return cast("Callable[[list[str]], list[Any]]", hash_files)


def _sample(fd: int, size: int, counter: _Counter) -> str:
    """Blocks at even distances from the head to the tail: fine-tunes of one base differ in the middle."""
    digest = xxhash.xxh3_128()
    length = min(_SAMPLE_BLOCK, size)
    with Blocks(fd) as blocks:
        for number in range(_SAMPLES):
            offset = (size - length) * number // (_SAMPLES - 1) // ALIGNMENT * ALIGNMENT
            wanted = length if number < _SAMPLES - 1 else size - offset
            for data in _span(blocks, offset, wanted, counter):
                digest.update(data)
    return digest.hexdigest()


def _blocks(fd: int, size: int, counter: _Counter) -> Iterator[memoryview]:
    with Blocks(fd) as blocks:
        yield from _span(blocks, 0, size, counter)


def _span(blocks: Blocks, offset: int, length: int, counter: _Counter) -> Iterator[memoryview]:
    """The bytes from `offset` on, counted; `counter.short` where the file ends early."""
    left = length
    for data in blocks.span(offset, length):
        counter.add(len(data))
        left -= len(data)
        yield data
    counter.short |= left > 0
