"""A program that clears its folder of names it does not know while hubfold replaces files in it, or after it died.

Ollama does so whenever its server starts. No byte is lost by it, what the journal says is true, and `undo` gives back
what was there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.folding.planner import Policy
from hubfold.journal.run_log import RunLog
from tests.building.folding import Scene

pytestmark = pytest.mark.slow

MODEL = os.urandom(50_000)
CALLS = ("symlink", "link_from", "exchange", "rename", "unlink", "move", "create_file", "sync")


class Swept(Scene):
    """A blob in a cache, and a copy of it in a folder that a program sweeps."""

    def __init__(self, base: Path, link: LinkKind) -> None:
        super().__init__(base)
        self.blobs = self.root("store") / "blobs"
        self.keeper = self.file(self.cache, "blobs/x", MODEL)
        self.copy = self.file(self.root("store"), "blobs/sha256-x", MODEL)
        os.utime(self.copy, ns=(1, 2))
        self.link = link

    def sweep(self) -> None:
        for path in self.blobs.iterdir():
            if not path.name.startswith("sha256-"):
                path.unlink()

    def fold(self) -> None:
        self.apply(self.plan(self.keeper, self.copy, policy=Policy(link=self.link)))

    def is_whole(self) -> None:
        assert self.copy.read_bytes() == self.keeper.read_bytes() == MODEL

    def is_folded(self) -> bool:
        return self.copy.is_symlink() or self.copy.samefile(self.keeper)

    def is_settled(self) -> None:
        """As `recover` leaves it: the journal says what the disk holds, and nothing of hubfold's lies about."""
        self.is_whole()
        if os.path.exists(self.runs) and os.listdir(self.runs):
            self.recover()
            assert set(self.log().states.values()) <= {"done" if self.is_folded() else "dropped"}
        self.is_whole()
        assert [path.name for path in self.blobs.iterdir()] == ["sha256-x"]

    def is_as_before(self) -> None:
        self.is_whole()
        assert not self.is_folded() and self.copy.stat().st_nlink == 1
        assert self.copy.stat().st_mtime_ns == 2 and self.copy.stat().st_mode & 0o777 == 0o644


@contextmanager
def at(number: int, act: Callable[[], object]) -> Iterator[list[int]]:
    """After the `number`-th call that changes a folder, `act`; how many there were."""
    calls = [0]

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            answer = real(*arguments, **named)
            calls[0] += 1
            if calls[0] == number:
                act()
            return answer

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(Directory, name, wrapped(getattr(Directory, name)))
        yield calls


def no_exchange(*_: object) -> None:
    raise OSError(22, "Invalid argument")


@pytest.fixture(params=["exchange", "no exchange"], autouse=True)
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no exchange":
        monkeypatch.setattr(Directory, "exchange", no_exchange)


KINDS = pytest.mark.parametrize("link", [LinkKind.HARDLINK, LinkKind.SYMLINK])


def each_step(run: Callable[[int], list[int]], least: int) -> None:
    """`run` with each number of a call until it has no such call."""
    number = 1
    while run(number)[0] >= number:
        number += 1
    assert number > least


def died(action: Callable[[], object], number: int) -> list[int]:
    """`action` in a process that dies after that call; at least how many calls there were."""
    child = os.fork()
    if child == 0:
        with at(number, lambda: os._exit(9)):
            action()
        os._exit(0)
    return [number if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9 else 0]


@KINDS
def test_swept_while_files_are_replaced(tmp_path: Path, link: LinkKind) -> None:
    def run(number: int) -> list[int]:
        scene = Swept(tmp_path / str(number), link)
        with at(number, scene.sweep) as calls:
            scene.fold()
        scene.is_settled()
        if scene.is_folded():
            scene.undo()
        scene.is_as_before()
        return calls

    each_step(run, least=4)


@KINDS
def test_swept_after_a_crash_between_any_two_steps(tmp_path: Path, link: LinkKind) -> None:
    def run(number: int) -> list[int]:
        scene = Swept(tmp_path / str(number), link)
        calls = died(scene.fold, number)
        scene.is_whole()
        scene.sweep()
        scene.is_settled()
        if scene.is_folded():
            scene.undo()
        scene.is_as_before()
        return calls

    each_step(run, least=4)


@KINDS
def test_swept_while_they_are_put_back(tmp_path: Path, link: LinkKind) -> None:
    def run(number: int) -> list[int]:
        scene = Swept(tmp_path / str(number), link)
        scene.fold()
        with at(number, scene.sweep) as calls:
            scene.undo()
        put_back(scene)
        return calls

    each_step(run, least=4)


@KINDS
def test_swept_after_a_crash_while_they_are_put_back(tmp_path: Path, link: LinkKind) -> None:
    def run(number: int) -> list[int]:
        scene = Swept(tmp_path / str(number), link)
        scene.fold()
        calls = died(scene.undo, number)
        scene.is_whole()
        scene.sweep()
        put_back(scene)
        return calls

    each_step(run, least=4)


def put_back(scene: Swept) -> None:
    scene.is_whole()
    scene.recover()
    scene.is_whole()
    log: RunLog = scene.log()
    assert set(log.states.values()) == {"done" if scene.is_folded() else "restored"}
    scene.undo()
    scene.is_as_before()
    assert [path.name for path in scene.blobs.iterdir()] == ["sha256-x"]
