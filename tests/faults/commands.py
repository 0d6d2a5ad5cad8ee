"""hubfold's commands as a user runs them: in a process of their own, by `hubfold.cli.main`.

A sweep runs a thousand of them, so they are forked from a server that has the modules loaded already. What strace
runs is started from nothing, by `command`.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from .strace_sweep import PATIENCE, Command, Failed, Waiting
from .tree import environment

#: Everything a command may import, so that a fork has it already.
_LOADED = [
    "hubfold.cli",
    "hubfold.engine",
    "sqlite_utils",
    "rich.table",
    "rich.progress",
    "filelock",
    "xxhash",
]


@dataclass(frozen=True, slots=True)
class Ran:
    """One finished command."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise Failed(f"{self}: no JSON in {self.stdout!r}") from None

    def __str__(self) -> str:
        return f"`hubfold {' '.join(self.argv)}` ended with {self.returncode}: {self.stderr.strip()[-1500:]}"


def command(
    place: str, *argv: str, good: tuple[int, ...] = (0,), env: dict[str, str] | None = None
) -> Command:
    """`hubfold ARGV` for strace, which is attached to a process that has the modules loaded already."""
    return Command(argv, {**environment(place), **(env or {})}, frozenset(good), _waiting)


def from_nothing(place: str, *argv: str, good: tuple[int, ...] = (0,)) -> Command:
    """The same in a new interpreter."""
    return Command((sys.executable, "-m", "hubfold", *argv), environment(place), frozenset(good))


def _waiting(what: Command, out: str, err: str) -> Waiting:
    process = _server.Process(target=_child, args=(what.argv, dict(what.env), out, err, True))
    process.start()
    while not os.path.exists(out) and process.is_alive():
        time.sleep(0.001)
    return process


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is not root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def _become(user: User) -> None:
    """Be `user`, but for reading, which stays allowed: the interpreter may lie in a folder of root's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.setgroups(user.groups)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    header = struct.pack("=Ii", 0x20080522, 0)  # linux/capability.h: version 3
    may_read = 1 << 2  # CAP_DAC_READ_SEARCH
    if libc.capset(header, struct.pack("=6I", may_read, may_read, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _child(
    argv: tuple[str, ...],
    env: dict[str, str],
    out: str,
    err: str,
    traced: bool = False,
    user: User | None = None,
) -> None:
    for path, descriptor in ((err, 2), (out, 1)):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, descriptor)
        os.close(fd)
    if traced:
        _await_tracer()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    keep = {"PATH", "PYTHONPATH", "LC_ALL"}
    for name in list(os.environ):
        if name not in keep:
            del os.environ[name]
    os.environ.update(env)
    sys.argv = ["hubfold", *argv]
    if user is not None:
        _become(user)
    from hubfold.cli import main

    main()


def _await_tracer() -> None:
    """Return when a tracer is there. It stops us right after it shows in our status, so give it the moment."""
    fd = os.open("/proc/self/status", os.O_RDONLY)
    # One open file: the number of calls that strace counts must not depend on how long this takes.
    while b"TracerPid:\t0\n" in os.pread(fd, 4096, 0):
        time.sleep(0.001)
    time.sleep(0.02)
    os.close(fd)


_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(_LOADED)


def hubfold(place: str, *argv: str, env: dict[str, str] | None = None, user: User | None = None) -> Ran:
    """Run `hubfold ARGV` with everything kept inside `place`, as root or as `user`."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err = os.path.join(scratch, "out"), os.path.join(scratch, "err")
        variables = {**environment(place), **(env or {})}
        process = _server.Process(target=_child, args=(argv, variables, out, err, False, user))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise Failed(f"`hubfold {' '.join(argv)}` hung for {PATIENCE:.0f} s")
        texts = []
        for path in (out, err):
            with open(path, encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
    if process.exitcode == 255:
        # The fork server lost the exit code, on a loaded machine; hubfold itself never ends with this one.
        return hubfold(place, *argv, env=env, user=user)
    return Ran(argv, process.exitcode, texts[0], texts[1])


def must(
    place: str,
    *argv: str,
    good: tuple[int, ...] = (0,),
    env: dict[str, str] | None = None,
    user: User | None = None,
) -> Ran:
    """`hubfold`, which has to end with one of `good`; `Failed` says how it ended otherwise."""
    ran = hubfold(place, *argv, env=env, user=user)
    if ran.returncode not in good or "Traceback" in ran.stderr:
        raise Failed(str(ran))
    return ran
