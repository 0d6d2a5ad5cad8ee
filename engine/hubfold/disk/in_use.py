"""Whether a program has a file open right now."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress

from hubfold.disk import open_flags

if sys.platform != "win32":  # pragma: no branch: the tests run on Linux
    import fcntl


def is_open(path: str) -> bool:
    """Whether somebody else has the file at `path` open or mapped, for reading too.

    A write lease is granted only to the one who has a file open (fcntl(2)); it is given back at once. False where the
    file system grants none, where the file is not ours to ask about, or nothing is there.
    """
    if sys.platform != "linux":
        return False
    try:
        fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW)
    except OSError:
        return False
    try:
        # Ignored by default; SIGIO, which who opens the file meanwhile would have sent, ends the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    else:
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(fd)
