"""What `hubfold plugins check` tells of a plugin and a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubfold.cli.app import run
from hubfold.kit import scaffold

Check = Callable[..., tuple[int, Any]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """`hubfold plugins check` where the plugin `mine` is one of the user's own files: (exit code, its JSON)."""
    monkeypatch.setenv("HUBFOLD_HOME", str(tmp_path / "state"))
    target, _ = scaffold.write("mine", str(tmp_path / "made"))
    plugins = tmp_path / "state/plugins"
    plugins.mkdir(parents=True)
    (plugins / "mine.py").write_text(Path(target, "hubfold_mine.py").read_text())

    def ask(*arguments: str | Path) -> tuple[int, Any]:
        code = run(["plugins", "check", *map(str, arguments), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    return ask


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "models/org/name").mkdir(parents=True)
    (folder / "mine.json").write_text("{}")
    (folder / "models/org/name/a.bin").write_bytes(b"weights" * 100)
    return folder


def test_a_plugin_that_loads_is_told_with_its_hooks(check: Check) -> None:
    code, told = check()
    assert code == 0
    assert [(one["plugin"], one["api"], one["hooks"]) for one in told["plugins"]] == [
        ("builtin", 1, ["hubfold_storage_backends"]),
        ("mine", 1, ["hubfold_storage_backends"]),
    ]


def test_one_that_does_not_load_is_told_with_exit_code_3(check: Check, tmp_path: Path) -> None:
    (tmp_path / "state/plugins/bad.py").write_text("import nothing_of_this_name")
    code, told = check()
    assert code == 3
    assert [(one["plugin"], "nothing_of_this_name" in one["error"]) for one in told["broken"]] == [
        ("bad", True)
    ]


@pytest.mark.slow
def test_the_contract_is_held_against_a_copy_of_the_store(check: Check, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    code, told = check("mine", "--store", store)
    found = told["store"]
    assert (code, found["broken"], found["skipped"]) == (0, [], [])
    assert (found["root"], found["files"], found["claimed"], found["models"]) == (
        str(store),
        1,
        0,
        ["org/name"],
    )
    assert found["kept"] > 30
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


@pytest.mark.slow
def test_a_rule_that_is_broken_there_is_told_with_exit_code_3(check: Check, store: Path) -> None:
    (store / "mine.json").write_text(json.dumps({"org/name/a.bin": "0" * 64}))
    code, told = check("mine", "--store", store)
    assert code == 3
    broken = {one["rule"]: one["why"] for one in told["store"]["broken"]}
    assert "a.bin" in broken["claims are true of the bytes"]


def test_a_folder_that_is_no_store_of_it_is_told(check: Check, tmp_path: Path) -> None:
    code, told = check("mine", "--store", tmp_path)
    assert (code, told["store"]["root"]) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such"], "no backend is called 'no-such'"),
        (["mine", "--store", "/no/such/folder"], "cannot be looked at"),
        (["--store", "/"], "needs the name of the backend"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error(check: Check, arguments: list[str], words: str) -> None:
    code, told = check(*arguments)
    assert code in (1, 2) and words in str(told)


def test_a_store_that_is_too_large_to_be_copied_is_refused(check: Check, store: Path) -> None:
    with open(store / "models/org/name/huge.bin", "wb") as file:
        file.truncate((1 << 30) + 1)
    code, told = check("mine", "--store", store)
    assert code == 1 and "too large" in str(told)
