"""Whether a part of a file is in the page cache, asked without changing what is.

By ``mincore(2)`` on a mapping that is never touched, so that a file that shrinks meanwhile does no harm.
``preadv2(RWF_NOWAIT)`` would be simpler, but it starts the kernel's read-ahead and so fills the cache that it asks
about (measured on Linux 6.18), and ``cachestat(2)`` is missing before Linux 6.5.
"""

from __future__ import annotations

import mmap
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = mmap.PAGESIZE
_PROT_NONE = 0
_MAP_SHARED = 1


def whole(fd: int, offset: int, length: int) -> bool:
    """Whether every page of ``offset`` to ``offset + length`` is in the page cache.

    `offset` is a multiple of the page size. True also where there is no way to tell, and where the kernel does not
    tell because the file is not the user's: the cache is then used as any program would use it.
    """
    probe = _probe()
    return probe is None or probe(fd, offset, length)


@cache
def _probe() -> Callable[[int, int, int], bool] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    size_t, void_p = ctypes.c_size_t, ctypes.c_void_p
    libc.mmap.restype = void_p
    libc.mmap.argtypes = [void_p, size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
    libc.munmap.argtypes = [void_p, size_t]
    libc.mincore.argtypes = [void_p, size_t, ctypes.c_char_p]
    failed = void_p(-1).value

    def probe(fd: int, offset: int, length: int) -> bool:
        pages = -(-length // _PAGE)
        address = libc.mmap(None, length, _PROT_NONE, _MAP_SHARED, fd, offset)
        if address == failed:
            return True
        try:
            vector = ctypes.create_string_buffer(pages)
            if libc.mincore(address, length, vector) != 0:
                return True
            # The lowest bit of each byte says it; the others are reserved.
            return all(byte & 1 for byte in vector.raw)
        finally:
            libc.munmap(address, length)

    return probe
