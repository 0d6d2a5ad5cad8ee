"""Folders without content: other programs' own, and hubfold's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hubfold.scanning.leave_out import is_own_state, whose

RUN = "20260131-120000-ab12cd.jsonl"


@pytest.mark.parametrize(
    ("path", "names", "what"),
    [
        ("/home/a/work/.git", [], ".git"),
        ("/home/a/bare.git", ["HEAD", "objects", "refs", "config"], ".git"),
        ("/home/a/env", ["pyvenv.cfg", "lib"], "virtual environments"),
        ("/opt/conda", ["conda-meta", "bin"], "virtual environments"),
        ("/home/a/.cache/pip", [], "package caches"),
        ("/opt/conda/pkgs", ["urls.txt"], "package caches"),
        ("/home/a/.config/google-chrome", ["Local State", "Default"], "browser profiles"),
        ("/x/lib/python3.12/site-packages", [], "site-packages"),
    ],
)
def test_what_other_programs_keep_for_themselves(path: str, names: list[str], what: str) -> None:
    assert whose(path, names) == what


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/home/a/models", ["model.safetensors"]),
        ("/home/a/pip", []),
        ("/home/a/.cache", ["huggingface", "pip"]),
        ("/home/a/texts", ["urls.txt"]),
        ("/hub/models--org--base", ["blobs", "refs", "snapshots"]),
    ],
)
def test_what_may_hold_models(path: str, names: list[str]) -> None:
    assert whose(path, names) is None


def _state(folder: Path) -> Path:
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / RUN).touch()
    with sqlite3.connect(folder / "index.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    (folder / "roots.json").write_text("{}")
    return folder


def _own(folder: Path) -> bool:
    return is_own_state(str(folder), [path.name for path in folder.iterdir()])


def test_a_state_directory_whole_or_in_parts(tmp_path: Path) -> None:
    state = _state(tmp_path / "state")
    assert _own(state) and _own(state / "runs")
    (state / "roots.json").unlink()
    assert _own(state)
    (state / "runs" / RUN).unlink()
    assert _own(state), "nothing was folded yet"


def test_what_only_has_such_names_is_the_users(tmp_path: Path) -> None:
    """An experiment tracker's folder, say."""
    other = tmp_path / "tracker"
    (other / "runs").mkdir(parents=True)
    (other / "runs" / "exp1").mkdir()
    (other / "index.db").write_bytes(b"SQLite format 3\0 and so on")
    assert not _own(other) and not _own(other / "runs")
    (other / "runs" / "exp1").rmdir()
    (other / "index.db").write_bytes(b"something else")
    assert not _own(other)
