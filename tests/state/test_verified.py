"""How far a verify came: what was found good is not read again, and a lost note costs time only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.state.verified import Verified


def kept(path: Path) -> set[str]:
    """What the next command would find."""
    return set(Verified(str(path)).load())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "verified"


def test_what_was_noted_is_there_at_once_for_a_round_that_is_killed(path: Path) -> None:
    one = Verified(str(path))
    assert one.load() == frozenset()
    one.note("a")
    one.note("b")
    assert kept(path) == {"a", "b"}


def test_a_round_at_its_end_is_forgotten_for_what_it_covered(path: Path) -> None:
    one = Verified(str(path))
    for key in "abc":
        one.note(key)
    one.finish({"a", "b", "never noted"})
    assert kept(path) == {"c"}, "another round is not at its end"
    assert os.listdir(path.parent) == ["verified"]
    Verified(str(path)).finish({"c"})
    assert not path.exists()


def test_a_round_goes_on_after_it_was_ended_once(path: Path) -> None:
    one = Verified(str(path))
    one.note("a")
    one.finish({"a"})
    one.note("b")
    assert kept(path) == {"b"}


def test_beginning_anew_forgets_everything(path: Path) -> None:
    Verified(str(path)).note("a")
    Verified(str(path)).forget()
    assert kept(path) == set()
    Verified(str(path)).forget()


def test_bytes_that_are_no_text_are_no_notes(path: Path) -> None:
    path.write_bytes(b"a\n\xff\xfe\nhalf a li")
    assert "a" in kept(path)
    Verified(str(path)).finish({"a"})
    assert "a" not in kept(path)


def test_a_note_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing/verified"):
        one = Verified(str(path))
        one.note("a")
        one.finish({"a"})
        one.forget()
        assert one.load() == frozenset()
