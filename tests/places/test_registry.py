"""The registry: what is written comes back, whole or not at all, and what is not ours is refused."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from hubfold.errors import Locked, UsageError
from hubfold.models.names import ConfiguredModel
from hubfold.places import registry
from hubfold.places.registry import Registry, RegistryDamaged

SMALL = ConfiguredModel("small", "org/small")
BIG = ConfiguredModel("big", "datasets/org/big", "v1", place="slow")
OWN = ConfiguredModel("own", "org/own", path=os.fsdecode(b"/mnt/caf\xe9"))


@pytest.fixture
def here(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path), lambda: None)


def test_nothing_is_made_by_reading(here: Registry, tmp_path: Path) -> None:
    assert here.models() == {}
    assert os.listdir(tmp_path) == []


def test_what_is_registered_comes_back(here: Registry) -> None:
    here.put([SMALL, BIG, OWN])
    assert here.models() == {"big": BIG, "own": OWN, "small": SMALL}
    again = ConfiguredModel("small", "org/other")
    here.put([again])
    here.remove("big")
    here.remove("none")
    assert here.models() == {"own": OWN, "small": again}
    assert stat.S_IMODE(os.stat(here.path).st_mode) == 0o600


def test_one_bad_row_and_none_is_registered(here: Registry) -> None:
    here.put([SMALL])
    with pytest.raises(RegistryDamaged):
        here.put([BIG, ConfiguredModel("x", None)])  # type: ignore[arg-type]
    assert here.models() == {"small": SMALL}


def test_an_empty_file_is_an_empty_registry(here: Registry) -> None:
    Path(here.path).touch()
    assert here.models() == {}
    here.put([SMALL])
    assert here.models() == {"small": SMALL}


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_one_is_an_error_that_says_what_to_do(here: Registry, content: bytes) -> None:
    Path(here.path).write_bytes(content)
    with pytest.raises(RegistryDamaged, match=r"registry\.db") as damaged:
        here.models()
    assert "move it away" in damaged.value.hint


@pytest.mark.parametrize(
    "planted",
    ["CREATE TRIGGER t AFTER INSERT ON models BEGIN DELETE FROM models; END", "CREATE VIEW v AS SELECT 1"],
)
def test_what_somebody_planted_in_it_is_refused(here: Registry, planted: str) -> None:
    here.put([SMALL])
    with sqlite3.connect(here.path) as connection:
        connection.execute(planted)
    connection.close()
    for use in (here.models, lambda: here.put([BIG])):
        with pytest.raises(RegistryDamaged, match="which hubfold did not make"):
            use()


def test_a_newer_one_is_not_written(here: Registry) -> None:
    here.put([SMALL])
    with sqlite3.connect(here.path) as connection:
        connection.execute("UPDATE _sqlite_migrations SET name = 'm009_later'")
    connection.close()
    with pytest.raises(RegistryDamaged, match="newer hubfold"):
        here.put([BIG])
    assert here.models() == {"small": SMALL}


def test_another_program_at_it_is_told(here: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    here.put([SMALL])
    monkeypatch.setattr(registry, "_LOCK_SECONDS", 0.01)
    other = sqlite3.connect(here.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Locked):
        here.put([BIG])
    other.close()


# -- names


@pytest.mark.parametrize("name", ["small", "base-v2", "Llama 3", "org/small", "ä"])
def test_a_name_is_nearly_anything(name: str) -> None:
    registry.checked(ConfiguredModel(name, "org/small"))


@pytest.mark.parametrize("name", ["", " x", "-x", "/x", "~x", "./x", "a\nb", "org/other"])
def test_what_would_be_taken_for_something_else_is_no_name(name: str) -> None:
    with pytest.raises(UsageError):
        registry.checked(ConfiguredModel(name, "org/small"))


@pytest.mark.parametrize(("repo", "revision"), [("../x", None), ("org/small", "../x"), ("", None)])
def test_nor_is_what_could_be_no_repo_id(repo: str, revision: str | None) -> None:
    with pytest.raises(UsageError):
        registry.checked(ConfiguredModel("small", repo, revision))


# -- JSON


def taken(document: object) -> list[ConfiguredModel]:
    text = document if isinstance(document, str) else json.dumps(document)
    return [registry.from_entry(one, ["primary", "slow"], "/in") for one in registry.entries(text, "a.json")]


def test_the_keys_of_peoples_own_registries_are_taken() -> None:
    entry = {"model_name": "small", "hf_path": "org/small", "cache_location": "primary", "cache_path": "/x"}
    wanted = ConfiguredModel("small", "org/small", place="primary")
    for document in ([entry], {"models": [entry]}, {"small": entry}):
        assert taken(document) == [wanted]
    custom = {**entry, "cache_location": "custom", "cache_path": "big/base", "other": 1, "revision": "v1"}
    assert taken([custom]) == [ConfiguredModel("small", "org/small", "v1", path="/in/big/base")]
    assert taken([{**entry, "cache_location": "unknown"}])[0].path == "/x", "a path says it as well"
    assert taken([{"model_name": "small", "hf_path": "org/small", "cache_path": None}]) == [
        ConfiguredModel("small", "org/small")
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[", "is not JSON"),
        ("3", "no list of models"),
        ([{"model_name": "x"}], "no hf_path"),
        ([{"hf_path": "org/x"}], "no model_name"),
        ([{"model_name": "x", "hf_path": 3}], "hf_path of 'x' is no text"),
        ([{"model_name": "x", "hf_path": "org/x", "cache_location": "custom"}], "no cache_path"),
        ([{"model_name": "x", "hf_path": "org/x", "cache_location": "cold"}], "no place is called 'cold'"),
    ],
)
def test_an_entry_that_is_wrong_is_named(document: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        taken(document)
