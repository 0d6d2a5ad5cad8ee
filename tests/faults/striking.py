"""A command of hubfold in a process of its own that is killed, or met by an error, at its n-th change of anything.

Quicker than strace (a command takes tenths of a second), and the process is really killed: what the kernel was told
before is all that is there afterwards. Python's audit events tell the changes, with a few functions wrapped that have
none, so a point is a call of Python and not one of the kernel. The sweeps by strace go through those one by one; this
is for random trees and random sequences, where what matters is which states can follow each other.
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import commands
from .commands import Ran

KILL = "KILL"

_FICLONE = 0x40049409  # linux/fs.h
_PATH = (errno.EIO, errno.EACCES, errno.EROFS, errno.ENOSPC)
#: What counts as a change, with the errors that it can meet (see `strace_sweep.CALLS`).
CHANGES: dict[str, tuple[int, ...]] = {
    "open": _PATH,
    "os.rename": (*_PATH, errno.EXDEV),
    "exchange": (*_PATH, errno.EXDEV),
    "os.link": (errno.EMLINK, errno.EXDEV, *_PATH),
    "os.symlink": _PATH,
    "os.remove": (errno.EIO, errno.EACCES, errno.EROFS),
    "os.rmdir": (errno.EIO, errno.EACCES, errno.EROFS),
    "os.mkdir": (errno.EMLINK, *_PATH),
    "os.chmod": (errno.EACCES, errno.EROFS, errno.EIO),
    "os.chown": (errno.EACCES, errno.EROFS, errno.EIO),
    "os.utime": (errno.EACCES, errno.EROFS, errno.EIO),
    "os.setxattr": (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO),
    "os.truncate": (errno.ENOSPC, errno.EIO),
    "fcntl.ioctl": (errno.EIO, errno.EXDEV, errno.EACCES),
    "clone": (errno.EIO, errno.EXDEV, errno.EACCES, errno.ENOSPC),
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "sendfile": (errno.ENOSPC, errno.EIO),
    "copy_file_range": (errno.ENOSPC, errno.EIO),
    # Statements of the index; only a kill can strike them, by name alone there is no error to give.
    "statement": (),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is KILL, or chooses among the errors of the struck call: a number, taken modulo their count."""

    number: int
    kind: str | int = KILL
    #: Every later change meets the error too: a disk that stays full, a drive that is gone.
    lasting: bool = False
    #: Count only changes of this sort (a key of `CHANGES`); all but those of the index where it is empty.
    what: str = ""


@dataclass(slots=True)
class _Counter:
    fault: Fault | None
    report: int
    count: int = 0
    armed: bool = False

    def step(self, what: str, before_death: Callable[[], object] = lambda: None) -> None:
        """Count one change; die, or raise, if it is the one."""
        fault = self.fault
        wanted = fault.what if fault is not None else ""
        if not self.armed or (what != wanted if wanted else what == "statement"):
            return
        self.count += 1
        if fault is None or self.count < fault.number:
            return
        if fault.kind == KILL:
            before_death()
            os.kill(os.getpid(), signal.SIGKILL)
        elif CHANGES[what] and (self.count == fault.number or fault.lasting):
            assert isinstance(fault.kind, int)
            code = CHANGES[what][fault.kind % len(CHANGES[what])]
            raise OSError(code, os.strerror(code))

    def tell(self) -> None:
        self.armed = False
        os.pwrite(self.report, b"%d" % self.count, 0)


def _watch(counter: _Counter) -> None:
    """Have `counter` told of every change that this process makes."""

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event not in CHANGES or not counter.armed:
            return
        if event == "open":
            path, _, flags = args
            reads = not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if reads or isinstance(path, int) or os.fsdecode(path).startswith(("/dev/", "/proc/")):
                return
        if event == "fcntl.ioctl" and args[1] < 1 << 16:
            return  # a question to a terminal
        if event == "fcntl.ioctl" and args[1] == _FICLONE:
            event = "clone"
        counter.step(event)

    sys.addaudithook(heard)

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **named: Any) -> Any:
            counter.step(name)
            return call(*args, **named)

        return changed

    for name in ("fsync", "sendfile", "copy_file_range"):
        setattr(os, name, wrapped(name, getattr(os, name)))
    write = os.write

    def half_written(fd: int, data: Any) -> int:
        if fd > 2:
            counter.step("write", lambda: write(fd, bytes(data)[: len(data) // 2]))
        return write(fd, data)

    os.write = half_written
    from hubfold.disk.directory import Directory

    Directory.exchange = wrapped("exchange", Directory.exchange)  # type: ignore[method-assign]
    connect = sqlite3.connect

    def traced(*args: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*args, **named)
        connection.set_trace_callback(lambda text: counter.step("statement"))
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]


def _child(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    out: str,
    err: str,
    fault: Fault | None,
    report: str,
    inside: int | None,
) -> None:
    from hubfold import cli

    if inside is not None:
        commands.enter(inside)
    counter = _Counter(fault, os.open(report, os.O_WRONLY | os.O_CREAT))
    _watch(counter)
    main = cli.main

    def armed() -> NoReturn:
        counter.armed = True
        try:
            main()
        finally:
            counter.tell()

    cli.main = armed
    commands.child(argv, dict(env), out, err)


@dataclass(frozen=True, slots=True)
class Struck:
    """One finished command; `changes` is how many it made, 0 if it was killed."""

    ran: Ran
    changes: int

    @property
    def killed(self) -> bool:
        return self.ran.returncode == -signal.SIGKILL


def hubfold(
    env: Mapping[str, str], *argv: str, fault: Fault | None = None, inside: int | None = None
) -> Struck:
    """Run `hubfold ARGV` with `fault`; `inside` is a process whose namespaces it enters."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err, report = (os.path.join(scratch, name) for name in ("out", "err", "report"))
        process = commands.Forked(_child, argv, env, out, err, fault, report, inside)
        ran = commands.ended(process, argv, out, err)
        return Struck(ran, int(commands.text_of(report) or 0))
