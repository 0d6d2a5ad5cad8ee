"""hubfold's commands as a user runs them: in a process of their own, by `hubfold.cli.main`.

A sweep runs a thousand of them, so they are forked from a server that has the modules loaded already. What strace
runs is started from nothing, by `command`.
"""

from __future__ import annotations

import ctypes
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import pkgutil
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Any

import hubfold as hubfold_package
import hubfold_plugins
from tests import CHECKOUT
from tests.building.tree import environment
from tests.building.waiting import PATIENCE

from .strace_sweep import STARTER, Command, Failed, Waiting

#: Everything a command may import, so that a fork has it already; but huggingface_hub, which reads the environment
#: once, when it is imported.
_LOADED = [
    *(
        module.name
        for package in (hubfold_package, hubfold_plugins)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not module.name.endswith(("__main__", "loopback_hub"))
    ),
    "sqlite_utils",
    "rich.table",
    "rich.progress",
    "filelock",
    "xxhash",
    # What a fork runs in (`child`, and `striking`): to import it took longer than most commands.
    f"{__package__}.commands",
    f"{__package__}.striking",
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


class Forked:
    """A process of the fork server. multiprocessing asks after all children whenever it starts one; two threads that
    ask after the same one at once would lose its exit code, so they take turns."""

    _turns = threading.Lock()

    def __init__(self, target: Callable[..., object], *args: object) -> None:
        self._process = _server.Process(target=target, args=args)
        with self._turns:
            _have_server()
            self._process.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        with self._turns:
            return self._process.exitcode

    def join(self, timeout: float | None = None) -> None:
        if multiprocessing.connection.wait([self._process.sentinel], timeout):
            with self._turns:
                self._process.join()

    def kill(self) -> None:
        self._process.kill()


def _waiting(what: Command, out: str, err: str) -> Waiting:
    os.mkfifo(out + STARTER)
    process = Forked(child, what.argv, dict(what.env), out, err, True)
    while not os.path.exists(out) and process.exitcode is None:
        time.sleep(0.001)
    return process


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is not root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    umask: int = 0o022


def _become(user: User) -> None:
    """Be `user`, but for reading, which stays allowed: the interpreter may lie in a folder of root's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(user.umask)
    os.setgroups(user.groups)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    header = struct.pack("=Ii", 0x20080522, 0)  # linux/capability.h: version 3
    may_read = 1 << 2  # CAP_DAC_READ_SEARCH
    if libc.capset(header, struct.pack("=6I", may_read, may_read, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def enter(pid: int) -> None:
    """See the mounts and the name of the host as the process `pid` does; `os.setns` comes with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, flag in (("mnt", 0x00020000), ("uts", 0x04000000)):  # linux/sched.h: CLONE_NEWNS, CLONE_NEWUTS
        fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        if libc.setns(fd, flag) != 0:
            raise OSError(ctypes.get_errno(), "setns", kind)
        os.close(fd)


def child(
    argv: tuple[str, ...],
    env: dict[str, str],
    out: str,
    err: str,
    traced: bool = False,
    user: User | None = None,
    folder: str | None = None,
) -> None:
    if folder is not None:
        os.chdir(folder)
    if traced:
        _take_the_same_steps()
        # It can be read when the tracer is there.
        starter = os.open(out + STARTER, os.O_RDWR)
    # `out` last: once it is there the tracer comes, and what it counts must not depend on when.
    for path, descriptor in ((err, 2), (out, 1)):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, descriptor)
        os.close(fd)
    if traced:
        os.read(starter, 1)
        os.close(starter)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    keep = {"PATH", "LC_ALL"}
    for name in list(os.environ):
        if name not in keep:
            del os.environ[name]
    os.environ.update(env)
    sys.argv = ["hubfold", *argv]
    if user is not None:
        _become(user)
    from hubfold.cli import main

    main()


def _take_the_same_steps() -> None:
    """What happens by the clock, or by which thread is quicker, would make each run's calls come in another order."""
    from hubfold.duplicates import digesting
    from hubfold.index import database

    database.TOGETHER_SECONDS = digesting.SAVE_SECONDS = math.inf
    os.cpu_count = lambda: 1


_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(_LOADED)


def _have_server() -> None:
    """The server finds modules of the tests only by its environment: up to Python 3.12 it is not told our path."""
    before = os.environ.get("PYTHONPATH")
    checkout = str(CHECKOUT)
    os.environ["PYTHONPATH"] = checkout if before is None else os.pathsep.join((checkout, before))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def hubfold(place: str, *argv: str, env: dict[str, str] | None = None, user: User | None = None) -> Ran:
    """Run `hubfold ARGV` with everything kept inside `place`, as root or as `user`."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err = os.path.join(scratch, "out"), os.path.join(scratch, "err")
        variables = {**environment(place), **(env or {})}
        return ended(Forked(child, argv, variables, out, err, False, user), argv, out, err)


def ended(process: Forked, argv: tuple[str, ...], out: str, err: str) -> Ran:
    """Wait for `hubfold ARGV`, which writes to `out` and `err`; one that was killed may not have come to make them."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise Failed(f"`hubfold {' '.join(argv)}` hung for {PATIENCE:.0f} s")
    return Ran(argv, process.exitcode, text_of(out), text_of(err))


def text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def enrol(place: str, *roots: str, env: dict[str, str] | None = None) -> None:
    """Make roots of these folders, and scan."""
    for root in roots:
        must(place, "roots", "add", root, env=env)
    must(place, "scan", env=env)


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
