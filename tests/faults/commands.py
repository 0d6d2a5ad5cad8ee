"""hubfold's commands as a user runs them: in a process of their own, by `hubfold.cli.main`.

A sweep runs a thousand of them, so they are forked from a server that has the modules loaded already. What strace
runs is started from nothing, by `command`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from .strace_sweep import PATIENCE, Command, Failed
from .tree import environment

#: Everything a command may import, so that a fork has it already.
_LOADED = ["hubfold.cli", "hubfold.engine", "sqlite_utils", "rich.table", "rich.progress", "filelock", "xxhash"]


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


def command(place: str, *argv: str, good: tuple[int, ...] = (0,), env: dict[str, str] | None = None) -> Command:
    """`hubfold ARGV` for strace."""
    return Command((sys.executable, "-m", "hubfold", *argv), {**environment(place), **(env or {})}, frozenset(good))


def _child(argv: tuple[str, ...], env: dict[str, str], out: str, err: str) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, descriptor)
        os.close(fd)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    keep = {"PATH", "PYTHONPATH", "LC_ALL"}
    for name in list(os.environ):
        if name not in keep:
            del os.environ[name]
    os.environ.update(env)
    sys.argv = ["hubfold", *argv]
    from hubfold.cli import main

    main()


_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(_LOADED)


def hubfold(place: str, *argv: str, env: dict[str, str] | None = None) -> Ran:
    """Run `hubfold ARGV` with everything kept inside `place`."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err = os.path.join(scratch, "out"), os.path.join(scratch, "err")
        process = _server.Process(target=_child, args=(argv, {**environment(place), **(env or {})}, out, err))
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
    return Ran(argv, process.exitcode, texts[0], texts[1])


def must(place: str, *argv: str, good: tuple[int, ...] = (0,), env: dict[str, str] | None = None) -> Ran:
    """`hubfold`, which has to end with one of `good`; `Failed` says how it ended otherwise."""
    ran = hubfold(place, *argv, env=env)
    if ran.returncode not in good or "Traceback" in ran.stderr:
        raise Failed(str(ran))
    return ran
