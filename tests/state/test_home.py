"""The state directory: where it is, what it keeps, and what is said of a damaged one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hubfold.content import Role
from hubfold.errors import HubfoldError
from hubfold.state.home import KnownRoot, StateDamaged, StateHome


def test_hubfold_home_holds_everything(tmp_path: Path) -> None:
    state = StateHome.locate(environ={"HUBFOLD_HOME": str(tmp_path / "home")})
    assert {
        os.path.dirname(path) for path in (state.index, state.runs, state.roots, state.lock, state.config)
    } == {str(tmp_path / "home")}
    assert not (tmp_path / "home").exists(), "asking for paths must not create anything"


def test_an_explicit_home_wins(tmp_path: Path) -> None:
    assert StateHome.locate(tmp_path / "mine", {"HUBFOLD_HOME": "/elsewhere"}).home == str(tmp_path / "mine")


def test_without_hubfold_home_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    state = StateHome.locate(environ={})
    assert state.home == str(tmp_path / "state" / "hubfold")
    assert state.config == str(tmp_path / "config" / "hubfold" / "config.toml")


def test_the_state_directory_is_private(tmp_path: Path) -> None:
    state = StateHome.locate(tmp_path / "a" / "home")
    state.create()
    for path in (state.home, state.runs):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def test_a_state_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HubfoldError, match="cannot be made") as refused:
        StateHome.locate(tmp_path / "file" / "home").create()
    assert "HUBFOLD_HOME" in refused.value.hint


def test_a_file_in_the_place_of_the_state_directory_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDamaged, match="is no directory") as refused:
        StateHome.locate(tmp_path / "file").registered_roots()
    assert "HUBFOLD_HOME" in refused.value.hint


def test_registered_roots_come_back(tmp_path: Path) -> None:
    state = StateHome.locate(tmp_path / "home")
    assert state.registered_roots() == ()
    odd = os.fsdecode(b"/mnt/caf\xe9\n\x1b[31m")
    roots = (KnownRoot("/a", "hub-cache", Role.PRIMARY, 10**12), KnownRoot(odd))
    state.register_roots(roots)
    assert state.registered_roots() == roots
    assert set(os.listdir(state.home)) == {"runs", "roots.json"}, "no temporary is left"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"roots": [{}]}',
        '{"roots": 3}',
        '{"roots": [{"path": "a", "backend": null, "role": "primary", "limit": null}]}',
        '{"roots": [{"path": "/a", "backend": null, "role": "boss", "limit": null}]}',
        '{"roots": [{"path": "/a\\u0000", "backend": null, "role": "primary", "limit": null}]}',
        "é",
    ],
)
def test_a_damaged_list_of_roots_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    state = StateHome.locate(tmp_path)
    Path(state.roots).write_text(text, encoding="utf-8")
    with pytest.raises(StateDamaged, match=r"roots\.json is damaged") as damaged:
        state.registered_roots()
    assert "hubfold roots add" in damaged.value.hint
