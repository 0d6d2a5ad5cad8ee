"""`hubfold ui`, as far as its command line goes; the view itself is tested in `tests/ui`."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from hubfold.cli.app import run
from tests.building.program import Program


def test_without_a_terminal_it_says_what_prints_the_same(hubfold: Program) -> None:
    done = hubfold("ui")
    assert done.code == 2
    assert "no terminal" in done.err and "hubfold ls" in done.err


def test_without_textual_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "textual" else found(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert run(["ui"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "hubfold: `hubfold ui` needs Textual, which is not installed",
        "  pip install 'hubfold[ui]'",
    ]
