"""Where the folders of tests lie: in memory, or on a disk where that is what the test is about; and whose mounts are.

A disk is waited for at each fsync, of which a run of hubfold has a dozen, and the tests make some thousand runs. What
they say is the same on either; so those that are about planning, words and whole commands lie in memory, where there
is a file system that can do what these need, and room. With ``TMPDIR`` set, as ``.ci/run`` does, all lie there.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

#: Memory that looks like a disk.
MEMORY = "/dev/shm"
#: What there has to be of it.
ROOM = 4 << 30
#: Tests about what a disk does: how it is read, what is durable on it, what names, links and leases are worth there.
ON_DISK = tuple(
    f"tests/{name}"
    for name in (
        *("disk/", "faults/", "folding/", "journal/", "reading/", "scanning/", "vault/"),
        "whole/test_after_folding.py",
    )
)
_PREFIX = "hubfold-tests-"


@cache
def in_memory() -> Path | None:
    """A folder in memory for the tests of this process, or None where all of them have to lie on a disk."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    _sweep()
    if shutil.disk_usage(MEMORY).free < ROOM:
        return None
    folder = _kept()
    if _is_able(folder):
        return folder
    folder.rmdir()
    return None


def leave() -> None:
    """Remove the folder in memory, but for what tests that failed have left in it."""
    if in_memory.cache_info().currsize and (folder := in_memory()) is not None:
        with suppress(OSError):
            folder.rmdir()


def _kept() -> Path:
    """A new folder that nobody sweeps away as long as this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=MEMORY))
        with suppress(FileNotFoundError):  # somebody was quicker with his broom
            fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)
            if folder.exists():
                return folder


def _sweep() -> None:
    """Remove what processes that were killed, or tests that failed, have left in memory."""
    for left in Path(MEMORY).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            fd = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(left)
            finally:
                os.close(fd)


def _is_able(folder: Path) -> bool:
    """Whether files there have what a disk gives them, as far as tests that may lie here ask for it."""
    file = folder / "able"
    file.touch()
    try:
        os.setxattr(file, "user.hubfold", b"")
        with file.open("rb") as held:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(os.open(file, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    finally:
        file.unlink()
    return True


def remove(folder: Path) -> None:
    """Remove all of it, also what a test has closed to its own user; what cannot be removed stays."""
    with suppress(OSError, RecursionError):
        shutil.rmtree(folder)
        return
    for above, folders, _ in os.walk(folder):
        for name in folders:
            below = os.path.join(above, name)
            if not os.path.islink(below):
                os.chmod(below, 0o700)
    with suppress(OSError, RecursionError):
        shutil.rmtree(folder)


def own_mounts() -> None:
    """Give this process, and what it starts, mounts that no other process sees; nothing where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) == 0:  # linux/sched.h: CLONE_NEWNS
        libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None)  # linux/mount.h: MS_REC | MS_PRIVATE
