"""Plugins of one file each: found beside the configuration, and run only where nobody else could have written them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.backend import registry
from hubfold.backend.hookspecs import API_VERSION
from tests.building.distributions import BUILT_IN

OWN = """
from hubfold.backend import StorageBackend, hookimpl

class Own(StorageBackend):
    name = "own"

@hookimpl
def hubfold_storage_backends():
    return [Own]
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    (folder / "own.py").write_text(OWN)
    return folder


def test_a_plugin_of_one_file_is_found_in_the_users_own_folder(files: Path) -> None:
    (files / "_helper.py").write_text("raise RuntimeError('no plugin')")
    (files / "notes.txt").write_text("none either")
    found = registry.load({}, files=str(files))
    assert list(found) == [*BUILT_IN, "own"]
    assert (found["own"].plugin, found["own"].distribution) == ("own", str(files / "own.py"))
    assert list(registry.load({registry.BLOCK_VARIABLE: "1"}, files=str(files))) == BUILT_IN
    assert list(registry.load({}, files=str(files / "none"))) == BUILT_IN


def test_its_stdout_is_not_ours_from_before_it_is_imported(files: Path) -> None:
    told: list[str] = []
    (files / "own.py").write_text("raise RuntimeError('imported')")
    found = registry.load({}, guests=lambda: told.append("guests"), files=str(files))
    assert told == ["guests"] and "imported" in str(found.broken[0])


@pytest.mark.parametrize("place", ["the file", "the folder"])
def test_one_that_others_could_have_written_is_not_run(files: Path, place: str) -> None:
    (files / "own.py").write_text("raise SystemExit('it ran')")
    open_to_others = files if place == "the folder" else files / "own.py"
    open_to_others.chmod(open_to_others.stat().st_mode | 0o022)
    [fault] = registry.load({}, files=str(files)).broken
    assert "it ran" not in str(fault) and f"others may write to {open_to_others}" in str(fault)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_one_of_another_user_is_not_run(files: Path) -> None:
    os.chown(files / "own.py", 12345, 12345)
    [fault] = registry.load({}, files=str(files)).broken
    assert "belongs to another user" in str(fault)


def test_the_command_loads_it_from_beside_the_configuration(files: Path, tmp_path: Path) -> None:
    environ = {"HUBFOLD_HOME": str(tmp_path), "HOME": str(tmp_path)}
    with Engine(environ=environ) as engine:
        assert "own" in engine.registry
        [own] = [one for one in engine.registry.plugins if one.origin.plugin == "own"]
        assert (own.api, own.hooks) == (API_VERSION, ("hubfold_storage_backends",))


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (str(API_VERSION), ""),
        ("99", "it takes a newer hubfold"),
        ("0", "it takes a newer plugin"),
        ("'one'", "where a number is asked for"),
        ("True", "where a number is asked for"),
    ],
)
def test_a_plugin_states_the_version_of_the_api_that_it_is_written_for(
    files: Path, stated: str, told: str
) -> None:
    (files / "own.py").write_text(f"HUBFOLD_API = {stated}\n{OWN}")
    found = registry.load({}, files=str(files))
    assert ("own" in found) == (not told)
    assert [told in str(fault) for fault in found.broken] == ([True] if told else [])
