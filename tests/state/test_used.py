"""What is noted of the use of models only helps: nothing fails for want of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.state.home import StateHome
from hubfold.state.used import Use

ONE, TWO = ("model", "org/one"), ("dataset", "org/two")


@pytest.fixture
def state(tmp_path: Path) -> StateHome:
    return StateHome.locate(tmp_path / "state", {})


def test_the_last_use_counts(state: StateHome) -> None:
    state.used.note([ONE, TWO], Use(1000, "download"))
    state.used.note([ONE], Use(5000, "path"))
    assert state.used.uses() == {ONE: Use(5000, "path"), TWO: Use(1000, "download")}


def test_a_use_a_moment_later_is_not_worth_a_write(state: StateHome) -> None:
    state.used.note([ONE], Use(1000, "path"))
    state.used.note([ONE], Use(1030, "check"))
    assert state.used.uses() == {ONE: Use(1000, "path")}


def test_pins_are_kept(state: StateHome) -> None:
    assert state.used.pins() == set()
    state.used.pin([TWO, ONE])
    assert state.used.pins() == {ONE, TWO}
    state.used.pin([])
    assert state.used.pins() == set()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"used": 3, "pinned": {}}', '{"used": [{}], "pinned": [4]}', "\xff"]
)
def test_damage_means_that_nothing_is_known(state: StateHome, text: str) -> None:
    state.create()
    for name in ("used.json", "pinned.json"):
        Path(state.home, name).write_text(text, "latin-1")
    assert state.used.uses() == {} and state.used.pins() == set()
    state.used.note([ONE], Use(1000, "path"))
    assert state.used.uses() == {ONE: Use(1000, "path")}


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = StateHome.locate(tmp_path / "file" / "state", {})
    state.used.note([ONE], Use(1000, "path"))
    assert state.used.uses() == {}
