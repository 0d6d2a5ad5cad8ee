"""What a plan asks: each file a few times, the index a few times in all, however many sets there are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubfold import Engine
from tests.building.weights import header_only

ASKED = ("open", "stat", "lstat", "getxattr", "listxattr")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, below: Path) -> Iterator[Counter[str]]:
    """How often each of these calls is made of files (not folders) below a folder."""
    found: Counter[str] = Counter()
    with monkeypatch.context() as patch:
        for name in ASKED:

            def call(
                path: object,
                *args: object,
                _name: str = name,
                _real: object = getattr(os, name),
                **rest: object,
            ) -> object:
                if str(path).startswith(f"{below}/") and str(path).endswith(".safetensors"):
                    found[_name] += 1
                return _real(path, *args, **rest)  # type: ignore[operator]

            patch.setattr(os, name, call)
        yield found


def asked(folder: Path, sets: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], int]:
    """(calls of the system for files, statements of the index) that planning so many pairs takes."""
    for number in range(sets):
        for side in ("a", "b"):
            header_only(folder / side / f"m{number}.safetensors", number)
    with Engine(folder / "state", environ={"HOME": str(folder)}) as engine:
        engine.scan([folder / "a", folder / "b"], min_size=1)
        statements: list[str] = []
        engine.workspace.index.file.connection.set_trace_callback(statements.append)
        with counted(monkeypatch, folder) as calls:
            plan = engine.plan([folder / "a", folder / "b"], min_size=1)
        assert len(plan.actions) == sets
        return calls, len(statements)


def test_each_file_is_looked_at_once_and_each_content_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, of_few = asked(tmp_path / "few", 5, monkeypatch)
    many, of_many = asked(tmp_path / "many", 25, monkeypatch)
    assert of_few == of_many, "the index answers for all sets at once"
    more = many - few
    assert more["open"] == 20
    assert more["stat"] + more["lstat"] == 40
    assert more["getxattr"] <= 40 and more["listxattr"] <= 40
