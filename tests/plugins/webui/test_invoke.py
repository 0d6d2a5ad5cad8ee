"""What InvokeAI's database calls its models, in any state of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hubfold.content import Root
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins.webui import invoke
from tests.plugins.webui.test_contract import invoke_db


def names(top: Path) -> dict[str, str]:
    found = invoke.names(str(top), TreeWalk(Root(str(top), "x"), {}))
    return {path.removeprefix(f"{top}/"): name for path, name in found.items()}


def test_models_have_the_name_of_the_hub_where_they_came_from_it(tmp_path: Path) -> None:
    invoke_db(
        tmp_path,
        ("1/base.safetensors", "Base 1", "main", "https://civitai.com/x"),
        ("2", "SDXL", "main", "stabilityai/sdxl-turbo"),
        ("/elsewhere/x.safetensors", "In place", "lora", "/elsewhere/x.safetensors"),
    )
    assert names(tmp_path) == {
        "models/1/base.safetensors": "main/Base 1",
        "models/2": "stabilityai/sdxl-turbo",
        "/elsewhere/x.safetensors": "lora/In place",
    }


def test_an_earlier_table_has_no_source(tmp_path: Path) -> None:
    (tmp_path / "databases").mkdir()
    connection = sqlite3.connect(tmp_path / "databases/invokeai.db")
    connection.execute("CREATE TABLE models (path TEXT, name TEXT, type TEXT)")
    connection.execute(
        "INSERT INTO models VALUES ('a', 'A', 'vae'), (x'00', 3, 'vae'), ('b', 'B\x1b[31m', 'vae')"
    )
    connection.commit()
    connection.close()
    assert names(tmp_path) == {"models/a": "vae/A"}


def test_what_is_no_such_database_names_nothing(tmp_path: Path) -> None:
    assert names(tmp_path) == {}
    (tmp_path / "databases").mkdir()
    (tmp_path / "databases/invokeai.db").write_bytes(b"no database")
    assert names(tmp_path) == {}
    (tmp_path / "databases/invokeai.db").unlink()
    connection = sqlite3.connect(tmp_path / "databases/invokeai.db")
    connection.execute("CREATE TABLE other (path TEXT)")
    connection.close()
    assert names(tmp_path) == {}
