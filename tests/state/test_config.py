"""`config.toml`: what it says, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.content import Role
from hubfold.models import names
from hubfold.state import config
from hubfold.state.home import KnownRoot


def written(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


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


def test_what_downloads_leave_free(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, 'reserve = "30GB"')).reserve == 30 * 10**9
    assert config.load(written(tmp_path, "")).reserve == 0


def test_who_reads_files_is_a_text(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, 'executor = "processes:2"')).executor == "processes:2"
    assert config.load(written(tmp_path, "")).executor == ""
    with pytest.raises(config.ConfigError, match="executor is not a text"):
        config.load(written(tmp_path, "executor = 2"))


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
        ("reserve = 'much'", ": reserve is 'much', no size"),
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
