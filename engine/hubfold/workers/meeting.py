"""Workers are met before they are given work: is it the same hubfold, do they see the same, can they count?"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from hubfold.content import TEMPORARY_PREFIX
from hubfold.disk.directory import Directory
from hubfold.disk.identity import FileSystemNames
from hubfold.progress import Stop
from hubfold.workers import tasks
from hubfold.workers.tasks import Greeted, Greeting
from hubfold.workers.team import STAY, Team

#: Seconds that a worker may take to answer a greeting.
PATIENCE = 30.0
_TICK = 0.05
_TRIES = 3


class Place(NamedTuple):
    """A folder as it is here."""

    path: str
    filesystem: str
    inode: int


def place(path: str, names: FileSystemNames) -> Place:
    """A folder as it is here; of one that cannot be read, with the inode 0, which nobody has."""
    filesystem, inode, _ = tasks.look(path, names)
    return Place(path, filesystem, inode)


@dataclass(slots=True)
class Met:
    """What came of a meeting. `seen` are the places that some worker sees as they are here."""

    seen: set[str] = field(default_factory=set)
    #: What is wrong with a worker, by its name for people.
    wrong: dict[str, str] = field(default_factory=dict)
    #: Workers with whom nothing is wrong.
    fit: set[str] = field(default_factory=set)


def meet(team: Team, places: Sequence[Place], folder: str, *, stop: Stop, patience: float = PATIENCE) -> Met:
    """Greet every worker of `team`. `folder` is one of hubfold's own, where a probe can be written; "" for none.

    Who gets something wrong is left out of the team, and is in `Met.wrong` with it; so is who sees none of the places
    where others do. A worker that sees but some of them is not: there are roots that only one host has. Raises
    `Interrupted`.
    """
    met = Met()
    with _probe(folder, places) as (path, held):
        looked_at = [one.path for one in places] + ([os.path.dirname(path)] if path else [])
        asked = Greeting(secrets.token_hex(16), tuple(looked_at), path, secrets.token_bytes(1 << 12), STAY)
        unfit, blind = [], []
        for name, answer in _answers(team, _sent(team, asked), stop, patience):
            called, wrong = _judge(answer, asked, held)
            called = name or called
            if wrong:
                met.wrong[called] = wrong
                unfit.append(name)
                continue
            assert isinstance(answer, Greeted)
            met.fit.add(called)
            seen = set()
            for one, (filesystem, inode, problem) in zip(places, answer.places, strict=False):
                if one.inode and (filesystem, inode) == (one.filesystem, one.inode):
                    seen.add(one.path)
                else:
                    met.wrong.setdefault(called, _of_place(one, filesystem, problem))
            met.seen |= seen
            if not seen:
                blind.append(name)
    if met.seen:
        unfit += blind
    # Who is gone needs no leaving out, and may come back by that name.
    team.leave_out([name for name in unfit if name in team.members()])
    return met


def _sent(team: Team, asked: Greeting) -> list[tuple[str, Future[object]]]:
    """The greetings under way; where the executor is broken and cannot be mended, an error in their place."""
    for _ in range(_TRIES):
        try:
            return list(team.each(tasks.greet, asked))
        except Exception as error:  # noqa: BLE001 - whatever an executor of others raises
            failed: Future[object] = Future()
            failed.set_exception(error)
            if not team.mend():
                break
    return [("", failed)]


def _answers(
    team: Team, sent: Iterable[tuple[str, Future[object]]], stop: Stop, patience: float
) -> Iterator[tuple[str, object]]:
    """Each answer, or the error instead, as far as they come in time; `TimeoutError` for those that do not.

    Of who is gone by then there is none.
    """
    waiting = list(sent)
    ends = time.monotonic() + patience
    while waiting:
        for name, future in [one for one in waiting if one[1].done()]:
            waiting.remove((name, future))
            yield name, _outcome(future)
        members = team.members()
        waiting = [one for one in waiting if not one[0] or one[0] in members]
        if not waiting:
            break
        stop.check()
        if time.monotonic() > ends:
            for name, future in waiting:
                future.cancel()
                yield name, TimeoutError("it does not answer")
            break
        time.sleep(_TICK)


def _outcome(future: Future[object]) -> object:
    if future.cancelled():
        return TimeoutError("it is gone")
    return future.exception() or future.result()


def _judge(answer: object, asked: Greeting, held: bytes) -> tuple[str, str]:
    """(the worker's name, what is wrong with it or "")."""
    if isinstance(answer, ModuleNotFoundError):
        return "a worker", f"hubfold is not installed there ({answer})"
    if isinstance(answer, BaseException):
        return "a worker", str(answer) or type(answer).__name__
    if type(answer) is not Greeted or answer.nonce != asked.nonce:
        return "a worker", "it answers what makes no sense"
    if (answer.protocol, answer.version) != (tasks.PROTOCOL, tasks.this_version()):
        return answer.worker, f"hubfold is {answer.version} there, and {tasks.this_version()} here"
    if answer.sample != tasks.hashes(asked.sample):
        return answer.worker, "it gets digests wrong: its memory or processor is not to be believed"
    if len(answer.places) != len(asked.places):
        return answer.worker, "it answers what makes no sense"
    if asked.probe and _is_a_copy(answer, os.path.dirname(asked.probe), held):
        return answer.worker, "its file system is a copy of the one here: what was just written is not there"
    return answer.worker, ""


def _is_a_copy(answer: Greeted, folder: str, held: bytes) -> bool:
    """Whether the worker sees the folder of the probe as it is here, but not the probe."""
    here = place(folder, FileSystemNames.now())
    there = answer.places[-1][:2] == (here.filesystem, here.inode)
    return there and answer.probe is not None and answer.probe != held


def _of_place(one: Place, filesystem: str, problem: str) -> str:
    if problem:
        return f"{one.path}: {problem}"
    if filesystem != one.filesystem:
        return f"{one.path} is on another file system there ({filesystem}; here {one.filesystem})"
    return f"{one.path} is another folder there"


@contextmanager
def _probe(folder: str, places: Sequence[Place]) -> Iterator[tuple[str, bytes]]:
    """A file of random bytes in a folder of hubfold's own, if that lies on the file system of a place."""
    if not (folder and any(_on(folder, one) for one in places)):
        yield "", b""
        return
    name, held = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}", secrets.token_bytes(64)
    path = ""
    try:
        # Where nothing can be written, or no more, there is no probe.
        with suppress(OSError), Directory.open(folder) as inside:
            with open(inside.create_file(name, 0o600), "wb") as file:
                file.write(held)
            path = os.path.join(folder, name)
        yield path, held
    finally:
        with suppress(OSError), Directory.open(folder) as inside:
            inside.unlink(name)


def _on(folder: str, one: Place) -> bool:
    try:
        return os.stat(folder).st_dev == os.stat(one.path).st_dev
    except OSError:
        return False
