"""One run at a time."""

from __future__ import annotations

import os
from pathlib import Path

import filelock
import pytest

from hubfold.errors import HubfoldError, Locked
from hubfold.journal.lock import exclusive
from hubfold.state.home import StateHome


@pytest.fixture
def state(tmp_path: Path) -> StateHome:
    return StateHome.locate(tmp_path / "state")


def test_a_second_run_is_told_which_one_is_at_work(state: StateHome) -> None:
    told = rf"consolidate, process {os.getpid()}, since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
    with exclusive(state, "consolidate"), pytest.raises(Locked, match=told), exclusive(state, "undo"):
        raise AssertionError("two at once")
    with exclusive(state, "undo"):
        pass


def test_a_run_that_ended_leaves_no_note_of_itself(state: StateHome) -> None:
    with pytest.raises(KeyError), exclusive(state, "consolidate"):
        raise KeyError
    assert not os.path.exists(state.lock + ".json")
    with exclusive(state, "consolidate"):
        pass


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "null", '{"command": "gc"}', '{"pid": "x", "command": "", "started": 1}']
)
def test_a_note_that_says_nothing_takes_nothing_from_the_error(state: StateHome, note: str) -> None:
    state.create()
    with filelock.FileLock(state.lock):
        Path(state.lock + ".json").write_text(note)
        with (
            pytest.raises(Locked, match=r"another hubfold run is at work$") as caught,
            exclusive(state, "undo"),
        ):
            raise AssertionError("two at once")
    assert "nothing was changed" in caught.value.hint


def test_a_note_that_cannot_be_written_stops_nothing(state: StateHome) -> None:
    state.create()
    Path(state.lock + ".json").mkdir()
    with exclusive(state, "consolidate"), pytest.raises(Locked), exclusive(state, "undo"):
        raise AssertionError("two at once")


def test_a_lock_that_cannot_be_taken_is_told_with_what_helps(state: StateHome) -> None:
    state.create()
    Path(state.lock).mkdir()
    with pytest.raises(HubfoldError) as caught, exclusive(state, "consolidate"):
        raise AssertionError("without a lock")
    assert "HUBFOLD_HOME" in caught.value.hint
