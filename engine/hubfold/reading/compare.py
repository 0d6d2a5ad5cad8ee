"""Comparing and copying whole files through descriptors that are held open.

The compare is what stands between two files with one digest and a swap (invariant 2): it runs in lockstep, ends at
the first difference, and one read of a keeper serves all its victims.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache

from hubfold.disk.directory import Directory
from hubfold.disk.held import HeldFile
from hubfold.errors import BytesDiffer, LeftAlone
from hubfold.reading.blocks import Blocks, read_at

CHUNK = 4 << 20
#: Of this many bytes, or a multiple, are the blocks of file systems.
_BLOCK = 4096
_ZEROS = bytes(_BLOCK)
_SHORTER = "it became shorter while it was read"


def compare(
    keeper: HeldFile,
    victims: list[HeldFile],
    *,
    update: Callable[[memoryview], object],
    tick: Callable[[int], None],
) -> dict[HeldFile, LeftAlone | OSError]:
    """Compare files byte for byte with `keeper`; the ones that are not its equal, with the reason.

    One read of the keeper serves all. `update` is given the keeper's bytes (a hash), `tick` the bytes read so far in
    steps. Raises `LeftAlone` or `OSError` if the keeper itself cannot be read whole.
    """
    size = keeper.signature.size
    wrong: dict[HeldFile, LeftAlone | OSError] = {
        victim: BytesDiffer("its size is another") for victim in victims if victim.signature.size != size
    }
    left = [victim for victim in victims if victim not in wrong]
    with ExitStack() as opened:
        # The victims take turns with one buffer: each is compared as soon as it is read.
        mine = opened.enter_context(Blocks(keeper.fd))
        theirs = {victim: opened.enter_context(Blocks(victim.fd, 1)) for victim in left}
        offset = 0
        while offset < size and left:
            data = mine.at(offset, size - offset)
            if not data:
                raise LeftAlone(_SHORTER)
            update(data)
            tick(len(data))
            if keeper.write_wanted:
                raise LeftAlone("a program wants to write to the kept file")
            for victim in list(left):
                try:
                    if not _reads_as(theirs[victim], offset, data):
                        raise BytesDiffer(f"its bytes differ from {keeper.path} at or after offset {offset}")
                    if victim.write_wanted:
                        raise LeftAlone("a program wants to write to it")
                except (LeftAlone, OSError) as reason:
                    wrong[victim] = reason
                    left.remove(victim)
                else:
                    tick(len(data))
            offset += len(data)
    return wrong


def _reads_as(blocks: Blocks, offset: int, expected: memoryview) -> bool:
    """Whether a file has these bytes at `offset`. Raises `LeftAlone` where it ends before."""
    done = 0
    while done < len(expected):
        data = blocks.at(offset + done, len(expected) - done)
        if not data:
            raise LeftAlone(_SHORTER)
        if not _same(expected[done : done + len(data)], data):
            return False
        done += len(data)
    return True


def _same(one: memoryview, other: memoryview) -> bool:
    """Whether two buffers of one length, not empty, hold the same bytes.

    By ``memcmp``: views compare themselves item by item, ten times as slow, and hold the other threads up.
    """
    return _memcmp()(_address(one), _address(other), len(one)) == 0


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


@cache
def _memcmp() -> Callable[[int, int, int], int]:
    found = (ctypes.CDLL(None) if sys.platform != "win32" else ctypes.cdll.msvcrt).memcmp
    found.argtypes, found.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_int
    return found


def read_ahead(fd: int) -> None:
    """Tell the system that the file will be read from head to tail; a hint, which it may pass over.

    Asking for parts in advance (POSIX_FADV_WILLNEED) was slower at every size that was tried: the reads then wait in
    that call.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def read_exactly(fd: int, buffer: bytearray, offset: int) -> None:
    view = memoryview(buffer)
    while view:
        got = read_at(fd, view, offset)
        if got == 0:
            raise LeftAlone(_SHORTER)
        view = view[got:]
        offset += got


def copy_bytes(
    source: int,
    target: int,
    *,
    update: Callable[[memoryview], object],
    tick: Callable[[int], None],
    holes: bool = False,
) -> int:
    """Copy a whole file between descriptors, holes kept as holes; the length in bytes.

    With `holes`, blocks of zeros become holes too: for a file that had some where its copy has none. `update` is given
    every byte in order (a hash), zeros of holes included.
    """
    size = os.fstat(source).st_size
    for offset, length, is_data in _segments(source, size):
        while length:
            step = min(CHUNK, length)
            buffer = bytearray(step)
            if is_data:
                read_exactly(source, buffer, offset)
                for start, end in _data_in(buffer, offset) if holes else [(0, step)]:
                    _write_all(target, memoryview(buffer)[start:end], offset + start)
            update(memoryview(buffer))
            tick(step)
            offset += step
            length -= step
    os.ftruncate(target, size)
    return size


def _data_in(buffer: bytearray, offset: int) -> Iterator[tuple[int, int]]:
    """(start, end) in `buffer`, which is read at `offset`, of what is not in whole blocks of zeros of the file."""
    start = None
    at = 0
    while at < len(buffer):
        end = min(at + _BLOCK - (offset + at) % _BLOCK, len(buffer))
        if not buffer.startswith(_ZEROS[: end - at], at):
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None
        at = end
    if start is not None:
        yield start, len(buffer)


def read_held(held: HeldFile, *, update: Callable[[memoryview], object], tick: Callable[[int], None]) -> None:
    """Read a whole file that is held. Raises `LeftAlone` if it becomes shorter, `OSError`."""
    _read_whole(held.fd, held.signature.size, update, tick)


def read_all(
    directory: Directory,
    name: str,
    *,
    update: Callable[[memoryview], object],
    tick: Callable[[int], None] = lambda amount: None,
) -> int:
    """Read a whole file of ours; its length in bytes. Raises `OSError`."""
    fd = directory.open_file(name)
    try:
        size = os.fstat(fd).st_size
        _read_whole(fd, size, update, tick)
        return size
    finally:
        os.close(fd)


def _read_whole(
    fd: int, size: int, update: Callable[[memoryview], object], tick: Callable[[int], None]
) -> None:
    left = size
    with Blocks(fd) as blocks:
        for data in blocks.span(0, size):
            update(data)
            tick(len(data))
            left -= len(data)
    if left:
        raise LeftAlone(_SHORTER)


def _segments(fd: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, is data) of a file, in order; one data segment where the system cannot tell holes."""
    offset = 0
    while offset < size:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
            end = os.lseek(fd, data, os.SEEK_HOLE)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENXIO:
                yield offset, size - offset, False
            else:
                yield offset, size - offset, True
            return
        if data > offset:
            yield offset, data - offset, False
        yield data, min(end, size) - data, True
        offset = end


def _write_all(fd: int, view: memoryview, offset: int) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    while view:
        written = os.write(fd, view)
        view = view[written:]
