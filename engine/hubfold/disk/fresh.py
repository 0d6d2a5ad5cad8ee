"""What a file system says of an open file now: not what the kernel remembers of it.

A FUSE or network mount answers `fstat` for a while from what it was told before; ``AT_STATX_FORCE_SYNC`` of statx(2)
makes it ask. Where there is no statx, `fstat` is all there is.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_AT_EMPTY_PATH, _AT_STATX_FORCE_SYNC = 0x1000, 0x2000  # linux/fcntl.h
_STATX_CTIME = 0x80  # linux/stat.h
#: struct statx of linux/stat.h: ``stx_ctime`` (s64 seconds, u32 nanoseconds).
_SIZE, _CTIME = 256, struct.Struct("=qI")
_CTIME_AT = 96


def ctime_ns(fd: int) -> int:
    """The ctime of an open file, in nanoseconds. Raises `OSError`."""
    statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None) if sys.platform == "linux" else None
    if statx is not None:
        buffer = ctypes.create_string_buffer(_SIZE)
        flags = _AT_EMPTY_PATH | _AT_STATX_FORCE_SYNC
        if statx(fd, b"", flags, _STATX_CTIME, buffer) == 0:
            seconds, nanoseconds = _CTIME.unpack_from(buffer, _CTIME_AT)
            return int(seconds) * 10**9 + int(nanoseconds)
    return os.fstat(fd).st_ctime_ns
