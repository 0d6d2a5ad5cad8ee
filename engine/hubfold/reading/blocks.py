"""Blocks of open files, each read from where it is, so that the user's page cache stays as it was.

A part of a file that is in the page cache is copied from there; a part that is not is read past the cache
(``O_DIRECT``), so that it costs no copy and displaces nothing. Which is which `page_cache` tells. Never through mmap:
a file that is cut short meanwhile would kill the process.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Iterator

from hubfold.disk import open_flags
from hubfold.reading import page_cache

#: What is read at once from the device, from the page cache (so that the next reader of the bytes finds them in the
#: processor's cache), and where the file system offers no way past the cache.
BLOCK = 4 << 20
RESIDENT_BLOCK = 256 << 10
_COLD_BLOCK = 1 << 20
#: How far ahead is asked at once what is in the page cache.
_WINDOW = 64 << 20
ALIGNMENT = 4096
_HUGE_PAGE = 2 << 20
_DIRECT = getattr(os, "O_DIRECT", 0)


class _Buffers(threading.local):
    """Buffers of a thread, page-aligned as ``O_DIRECT`` wants it."""

    def __init__(self) -> None:
        self._blocks: dict[int, memoryview] = {}

    def get(self, slot: int) -> memoryview:
        if slot not in self._blocks:
            self._blocks[slot] = _block()
        return self._blocks[slot]


def _block() -> memoryview:
    """A block's memory, in huge pages where the kernel has them.

    A direct read is cut into as many requests as its memory has pieces. With pages of 4 KiB the disk was asked for 0.5
    MB at a time, with huge ones for 4, which was three times as fast (Linux 6.18, virtio).
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return memoryview(mmap.mmap(-1, BLOCK))
    import ctypes

    memory = mmap.mmap(-1, BLOCK + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError as error:
        # EINVAL: a kernel without them.
        if error.errno != errno.EINVAL:
            raise
    start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % _HUGE_PAGE
    return memoryview(memory)[start : start + BLOCK]


_buffers = _Buffers()


def read_at(fd: int, view: memoryview, offset: int) -> int:
    """Read into `view` what lies at `offset`; how many bytes, fewer than asked for at the end. Raises `OSError`."""
    if hasattr(os, "preadv"):
        return os.preadv(fd, [view], offset)
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, len(view))
    view[: len(data)] = data
    return len(data)


class Blocks:
    """Reads parts of one open file, from front to back. A context manager.

    What it gives lies in a buffer of the thread: the `slot`-th, so that two files can be read side by side.
    """

    def __init__(self, fd: int, slot: int = 0) -> None:
        self._fd = fd
        self._slot = slot
        self._direct: int | None = None
        self._past_cache = _DIRECT != 0
        self._reads_ahead = True
        #: Up to here it is known where what is read next is.
        self._known_to = 0
        self._resident = False

    def __enter__(self) -> Blocks:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def at(self, offset: int, wanted: int) -> memoryview:
        """Some of the `wanted` bytes from `offset` on, valid until the next call; none at the end. Raises `OSError`."""
        if offset >= self._known_to:
            self._look(offset, wanted)
        if not self._resident:
            return self._cold(offset)[:wanted]
        view = _buffers.get(self._slot)[: min(RESIDENT_BLOCK, self._known_to - offset, wanted)]
        return view[: read_at(self._fd, view, offset)]

    def span(self, offset: int, length: int) -> Iterator[memoryview]:
        """The bytes from `offset` on, each view valid until the next; fewer than `length` where the file ends."""
        end = offset + length
        while offset < end and (data := self.at(offset, end - offset)):
            yield data
            offset += len(data)

    def _look(self, offset: int, wanted: int) -> None:
        """Find out where the bytes from `offset` on are: all in the page cache or, but for some, not."""
        start = offset // ALIGNMENT * ALIGNMENT
        for window in (_WINDOW, BLOCK):
            length = min(window, wanted + offset - start)
            count = page_cache.pages(self._fd, start, length)
            # Where it cannot be told the cache is used, as any program would use it.
            self._resident = count is None or count >= -(-length // page_cache.PAGE)
            self._known_to = start + length
            if self._resident or count == 0:
                break

    def _cold(self, offset: int) -> memoryview:
        """What is not in the page cache, without leaving it there."""
        start = offset // ALIGNMENT * ALIGNMENT
        length = min(BLOCK, self._known_to - start)
        buffer = _buffers.get(self._slot)
        if self._past_cache:
            view = buffer[: -(-length // ALIGNMENT) * ALIGNMENT]
            try:
                if self._direct is None:
                    # The same inode, whatever has become of its name.
                    self._direct = os.open(f"/proc/self/fd/{self._fd}", open_flags.READ | _DIRECT)
                return view[offset - start : max(os.preadv(self._direct, [view], start), offset - start)]
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP):
                    raise
                self._past_cache = False
        if self._reads_ahead and hasattr(os, "posix_fadvise"):
            # Else more would be brought in than what is dropped again.
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)
            self._reads_ahead = False
        view = buffer[: min(_COLD_BLOCK, length - (offset - start))]
        count = read_at(self._fd, view, offset)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, start, offset - start + count, os.POSIX_FADV_DONTNEED)
        return view[:count]
