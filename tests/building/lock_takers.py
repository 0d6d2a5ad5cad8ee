"""Processes that take one lock of hubfold's over and over, with a flock that lies, and tell when two hold it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from hubfold.disk.filesystem import SHARED_VARIABLE
from hubfold.disk.locks import take_own_lock
from hubfold.errors import Busy

LYING_FLOCK = "int flock(int fd, int operation) { (void)fd; (void)operation; return 0; }\n"


def lying_flock(folder: Path) -> Path | None:
    """A library in which every flock succeeds, for LD_PRELOAD; None where nothing compiles it."""
    source, library = folder / "flock.c", folder / "flock.so"
    source.write_text(LYING_FLOCK, encoding="ascii")
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def start(folder: Path, library: Path, times: int) -> subprocess.Popen[bytes]:
    """A process that takes the lock in `folder` that many times."""
    environ = {**os.environ, "LD_PRELOAD": str(library), SHARED_VARIABLE: "1"}
    command = [sys.executable, "-m", __name__, str(folder), str(times)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)


def take_over_and_over(folder: Path, times: int) -> int:
    """How often somebody else was met while the lock was held; each time that it was is a line in ``taken``."""
    met = 0
    for _ in range(times):
        lock = None
        while lock is None:
            try:
                lock = take_own_lock(str(folder / "x"))
            except Busy:
                time.sleep(0.001)
        met += _met(folder)
        with open(folder / "taken", "ab", buffering=0) as file:
            file.write(f"{os.getpid()}\n".encode())
        (folder / "inside").unlink()
        lock.release()
    return met


def _met(folder: Path) -> bool:
    """Be the one who holds it, by a name; whether somebody is it already who lives."""
    inside = folder / "inside"
    try:
        inside.symlink_to(str(os.getpid()))
    except FileExistsError:
        if _lives(int(os.readlink(inside))):
            return True
        inside.unlink()
        inside.symlink_to(str(os.getpid()))
    return False


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    print(take_over_and_over(Path(sys.argv[1]), int(sys.argv[2])))
