"""Threads that ask the engine: in turn, once, and with an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hubfold.errors import HubfoldError
from hubfold.progress import Progress, Silent, Stop
from hubfold.ui.lanes import Lane
from tests.building.waiting import until


class Desk:
    """What a screen would be told, in the order that it is; its lane's engine is a list of what was done."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.opened = 0
        self.closed = 0
        self.lane = Lane("test", self._engine, Silent(), lambda call: call())

    @contextmanager
    def _engine(self, progress: Progress, stop: Stop) -> Iterator[Any]:
        self.opened += 1
        yield self
        self.closed += 1

    def ask(self, key: str, work: Callable[[Any], object] | None = None, **how: bool) -> None:
        self.lane.ask(key, work or (lambda _: key), self.told.append, self.told.append, **how)

    def held(self) -> threading.Event:
        """Keep the lane busy until this is set."""
        begun, go_on = threading.Event(), threading.Event()

        def wait(_: object) -> str:
            begun.set()
            go_on.wait()
            return "held"

        self.ask("held", wait)
        begun.wait()
        return go_on


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    assert desk.lane.end()


def test_one_thing_after_the_other_with_one_engine(desk: Desk) -> None:
    assert desk.opened == 0, "nothing is loaded before something is asked"
    for key in "abc":
        desk.ask(key)
    until(lambda: desk.told == ["a", "b", "c"], "not all was done")
    assert desk.opened == 1


def test_what_is_asked_again_is_done_once_and_what_can_wait_comes_last(desk: Desk) -> None:
    go_on = desk.held()
    assert desk.lane.doing == "held" and not desk.lane.idle
    desk.ask("sum", last=True)
    desk.ask("a", lambda _: "old")
    desk.ask("b")
    desk.ask("a", lambda _: "new")
    desk.ask("dropped")
    desk.lane.drop("dropped")
    go_on.set()
    until(lambda: desk.lane.idle, "it is not through")
    assert desk.told == ["held", "b", "new", "sum"]


def test_an_error_is_told_and_the_next_thing_is_done(desk: Desk) -> None:
    def fail(_: object) -> None:
        raise HubfoldError("no")

    desk.ask("a", fail)
    desk.ask("b")
    until(lambda: len(desk.told) == 2, "not all was told")
    assert [str(one) for one in desk.told] == ["no", "b"]


def test_what_is_stopped_ends_and_the_next_thing_begins_anew(desk: Desk) -> None:
    begun = threading.Event()

    def long(_: object) -> None:
        begun.set()
        while True:
            desk.lane.stop.check()

    desk.ask("long", long)
    begun.wait()
    desk.lane.stop.set()
    desk.ask("next", lambda _: bool(desk.lane.stop))
    until(lambda: len(desk.told) == 2, "it goes on")
    assert "stopped" in str(desk.told[0]) and desk.told[1] is False


def test_an_engine_that_cannot_be_had_is_told_to_who_waits() -> None:
    told: list[object] = []

    def broken(progress: Progress, stop: Stop) -> Any:
        raise HubfoldError("no home")

    lane = Lane("test", broken, Silent(), lambda call: call())
    lane.ask("a", lambda _: "a", told.append, told.append)
    until(lambda: told, "nothing is told")
    until(lambda: not lane._thread.is_alive(), "it goes on")
    lane.ask("b", lambda _: "b", told.append, told.append)
    assert [str(one) for one in told] == ["no home", "no home"]
    assert lane.end()


def test_the_end_waits_for_no_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.ui.lanes._PATIENCE", 0.01)
    desk = Desk()
    go_on = desk.held()
    assert not desk.lane.end()
    go_on.set()
    until(lambda: desk.closed == 1, "its engine stays open")
