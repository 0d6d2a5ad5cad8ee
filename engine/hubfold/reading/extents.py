"""Extents that files share: cloning, FIDEDUPERANGE, and what FIEMAP says of where a file lies."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from hubfold.disk import open_flags
from hubfold.disk.held import HeldFile
from hubfold.errors import BytesDiffer, LeftAlone
from hubfold.reading import page_cache
from hubfold.reading.compare import CHUNK, read_ahead, read_exactly

if TYPE_CHECKING:
    from hubfold.content import IndexedReplica
    from hubfold.disk.filesystem import FileSystems


if sys.platform != "win32":  # pragma: no branch: the tests run on Linux
    import fcntl

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_FIDEDUPERANGE = 0xC0189436  # linux/fs.h: _IOWR(0x94, 54, struct file_dedupe_range)
_DEDUPE_STEP = 16 << 20  # what btrfs takes in one call
_DIFFERS = 1

_FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h: _IOR('f', 1, long)
_NOCOW = 0x00800000  # FS_NOCOW_FL

_FIEMAP = 0xC020660B  # linux/fiemap.h: _IOWR('f', 11, struct fiemap)
_FIEMAP_HEADER = struct.Struct("=QQIIII")
_FIEMAP_EXTENT = struct.Struct("=QQQQQIIII")
_EXTENT_LAST = 0x1
_EXTENT_SHARED = 0x2000
#: UNKNOWN, DELALLOC, DATA_INLINE: such an extent has no address that could be compared.
_EXTENT_NO_ADDRESS = 0x2 | 0x4 | 0x200


def clone_extents(source: int, target: int) -> None:
    """Let the empty file `target` share all extents of `source`. `OSError` where the file system cannot."""
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, "no shared extents on this platform")
    fcntl.ioctl(target, _FICLONE, source)


def share_extents(
    keeper: HeldFile, victims: list[HeldFile], *, tick: Callable[[int], None]
) -> dict[HeldFile, LeftAlone | OSError]:
    """Let `victims` share the extents of `keeper` (FIDEDUPERANGE: the kernel locks and compares both).

    The victims that do not share all of them, with the reason: the kernel found a difference or refused. `tick` is
    given the bytes read so far in steps. Raises `LeftAlone` or `OSError` if the keeper cannot be read whole. Ranges
    are read first: the kernel reads page by page, which was 90 MB/s against 800 with the pages in place. Files that
    were not in the page cache do not stay there.
    """
    size = keeper.signature.size
    wrong: dict[HeldFile, LeftAlone | OSError] = {}
    left = list(victims)
    absent = {held for held in (keeper, *left) if size and page_cache.pages(held.fd, 0, size) == 0}
    for held in (keeper, *left):
        read_ahead(held.fd)
    buffer = bytearray(min(CHUNK, size))
    for start in range(0, size, _DEDUPE_STEP):
        length = min(_DEDUPE_STEP, size - start)
        _read_range(keeper, start, length, buffer, tick)
        for victim in list(left):
            try:
                _read_range(victim, start, length, buffer, tick)
                _dedupe_range(keeper, victim, start, length)
            except (LeftAlone, OSError) as reason:
                wrong[victim] = reason
                left.remove(victim)
        for held in absent:
            os.posix_fadvise(held.fd, start, length, os.POSIX_FADV_DONTNEED)
        if not left:
            break
    return wrong


def physical(fd: int) -> tuple[tuple[int, int, int], ...] | None:
    """The physical extents of a file as (logical, physical, length) in bytes, neighbours merged; None if unknown."""
    found: list[tuple[int, int, int]] = []
    for logical, physical, length, marks in _mapped(fd):
        if marks & _EXTENT_NO_ADDRESS:
            return None
        if found and found[-1][0] + found[-1][2] == logical and found[-1][1] + found[-1][2] == physical:
            logical, physical, length = found[-1][0], found[-1][1], found[-1][2] + length
            found.pop()
        found.append((logical, physical, length))
    return tuple(found)


def shared(fd: int) -> list[tuple[int, int]]:
    """The extents of a file that another file has too, (address, length) in bytes; none where that cannot be told."""
    return [
        (physical, length)
        for _, physical, length, marks in _mapped(fd)
        if marks & _EXTENT_SHARED and not marks & _EXTENT_NO_ADDRESS
    ]


def beginning(path: str) -> int:
    """How many bytes of a file come before its first hole: all of them where it has none, or nobody can tell."""
    fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
    try:
        size = os.fstat(fd).st_size
        with suppress(OSError, AttributeError):
            size = min(size, os.lseek(fd, 0, os.SEEK_HOLE))
        return size
    finally:
        os.close(fd)


def extents_of(path: str) -> object:
    """The physical extents of a file on a file system that can share them; None where they cannot be told."""
    try:
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
    except OSError:
        return None
    try:
        return physical(fd)
    finally:
        os.close(fd)


def extents_key(path: str, filesystems: FileSystems) -> object:
    """`shared_extents` of the regular file at `path`."""
    with suppress(OSError):
        pool = filesystems.of(os.path.dirname(path)).pool
        found = extents_of(path) if pool else None
        return (pool, found) if found else None
    return None


def written_in_place(path: str) -> bool:
    """Whether a file has the attribute C of chattr(1): btrfs lets it share extents with others that have it only."""
    if sys.platform != "linux":
        return False
    flags = bytearray(8)
    with suppress(OSError):
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW | open_flags.NONBLOCK)
        try:
            fcntl.ioctl(fd, _FS_IOC_GETFLAGS, flags)
        finally:
            os.close(fd)
    return bool(int.from_bytes(flags[:4], sys.byteorder) & _NOCOW)


def shared_extents(replica: IndexedReplica, filesystems: FileSystems) -> object:
    """A key that two payloads have in common when they share all their extents, None where that cannot be."""
    return extents_key(replica.path, filesystems)


def _read_range(
    held: HeldFile, start: int, length: int, buffer: bytearray, tick: Callable[[int], None]
) -> None:
    for offset in range(start, start + length, len(buffer)):
        step = min(len(buffer), start + length - offset)
        read_exactly(held.fd, buffer if step == len(buffer) else bytearray(step), offset)
        tick(step)


def _dedupe_range(keeper: HeldFile, victim: HeldFile, offset: int, length: int) -> None:
    while length:
        request = bytearray(struct.pack("=QQHHIqQQiI", offset, length, 1, 0, 0, victim.fd, offset, 0, 0, 0))
        fcntl.ioctl(keeper.fd, _FIDEDUPERANGE, request)
        done, status = struct.unpack_from("=Qi", request, 40)
        if status == _DIFFERS:
            raise BytesDiffer(f"its bytes differ from {keeper.path} at or after offset {offset}")
        if status < 0:
            raise OSError(-status, os.strerror(-status), victim.path)
        if done == 0:
            raise OSError(errno.EIO, "the kernel shared nothing", victim.path)
        offset += done
        length -= min(done, length)


def _mapped(fd: int) -> Iterator[tuple[int, int, int, int]]:
    """(logical, physical, length, flags) of each extent; one without an address where the system cannot tell."""
    unknown = (0, 0, 0, _EXTENT_NO_ADDRESS)
    if sys.platform != "linux":
        yield unknown
        return
    start, room = 0, 128
    while True:
        request = bytearray(_FIEMAP_HEADER.size + room * _FIEMAP_EXTENT.size)
        _FIEMAP_HEADER.pack_into(request, 0, start, (1 << 64) - 1 - start, 0, 0, room, 0)
        try:
            fcntl.ioctl(fd, _FIEMAP, request)
        except OSError:
            yield unknown
            return
        mapped = _FIEMAP_HEADER.unpack_from(request)[3]
        if mapped == 0:
            return
        for number in range(mapped):
            logical, physical, length, _, _, flags, *_ = _FIEMAP_EXTENT.unpack_from(
                request, _FIEMAP_HEADER.size + number * _FIEMAP_EXTENT.size
            )
            yield logical, physical, length, flags
            start = logical + length
            if flags & _EXTENT_LAST:
                return
