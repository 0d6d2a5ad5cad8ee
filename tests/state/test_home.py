"""The state directory and `config.toml`: where they are, and what is said of bad ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hubfold.content import Role
from hubfold.errors import HubfoldError
from hubfold.models import names
from hubfold.state import config
from hubfold.state.home import KnownRoot, StateDamaged, StateHome


def written(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


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


def test_no_config_is_an_empty_one(tmp_path: Path) -> None:
    assert config.load(str(tmp_path / "none.toml")) == config.Config()


def test_config_names_roots_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    loaded = config.load(
        written(
            tmp_path,
            """
            [[roots]]
            path = "~/models"
            [[roots]]
            path = "/mnt/nas/./hub"
            backend = "hub-cache"
            role = "primary"
            limit = "2TB"
            [models]
            small = "org/small"
            large = { repo = "org/large", revision = "main", size = "54GB" }
            """,
        )
    )
    assert loaded.roots == (
        KnownRoot("/home/somebody/models"),
        KnownRoot("/mnt/nas/hub", "hub-cache", Role.PRIMARY, 2 * 10**12),
    )
    assert loaded.models == {
        "small": names.ConfiguredModel("small", "org/small"),
        "large": names.ConfiguredModel("large", "org/large", "main", 54 * 10**9),
    }
    assert loaded.warnings == ()


def test_an_unknown_key_is_a_warning(tmp_path: Path) -> None:
    loaded = config.load(written(tmp_path, 'colour = "red"\n[[roots]]\npath = "/a"\nlimits = "1GB"\n'))
    assert len(loaded.roots) == 1
    assert [
        key for warning in loaded.warnings for key in ("colour", "roots[1].limits") if key in warning
    ] == [
        "colour",
        "roots[1].limits",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[roots]\n", "line 1"),
        ('a = 1\nb = "\n', "line 2"),
        (b"a = '\xe9'\n", "not UTF-8"),
        ("roots = 3", "roots is not a list"),
        ("[[roots]]\nbackend = 'x'", r"roots\[1\]\.path is missing"),
        ("[[roots]]\npath = 'models'", r"roots\[1\]\.path is missing or not absolute"),
        ("[[roots]]\npath = '/a'\n[[roots]]\npath = 7", r"roots\[2\]\.path is not a text"),
        ("[[roots]]\npath = '/a'\nrole = 'boss'", "role is 'boss'"),
        ("[[roots]]\npath = '/a'\nlimit = 'much'", "limit is 'much', no size"),
        ("[[roots]]\npath = '/a'\nlimit = -1", "limit is -1, no size"),
        ("models = 3", "models is not a table"),
        ("[models]\nx = 3", r"models\.x is neither"),
        ("[models]\nx = {size = 1}", r"models\.x\.repo is missing"),
    ],
)
def test_a_bad_config_is_an_error_that_names_file_and_place(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(config.ConfigError, match=message) as bad:
        config.load(path)
    assert path in str(bad.value)
    assert bad.value.hint
