"""Databases of other programs: asked as they lie there, whatever state they are in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hubfold.content import Root
from hubfold.scanning import databases
from hubfold.scanning.databases import rows_of
from hubfold.scanning.walk import TreeWalk


def database(path: Path, mode: str = "delete") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE models (path TEXT, hash TEXT)")
        connection.executemany("INSERT INTO models VALUES (?, ?)", [("a", "1"), ("b", "2")])
        connection.commit()
    return path


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_rows_are_those_that_sqlite_gives_and_nothing_is_made_beside_the_file(
    tmp_path: Path, mode: str
) -> None:
    path = database(tmp_path / "models.db", mode)
    before = sorted(tmp_path.iterdir()), path.read_bytes()
    walk = TreeWalk(Root(str(tmp_path), "plain"), {})
    assert walk.query(str(path), "SELECT path, hash FROM models WHERE hash > ?", ("1",)) == [("b", "2")]
    assert (sorted(tmp_path.iterdir()), path.read_bytes()) == before
    assert not walk.warnings


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM models", "ATTACH 'other.db' AS other", "PRAGMA user_version = 3", "SELECT * FROM nowhere"],
)
def test_what_changes_or_opens_anything_is_refused(tmp_path: Path, sql: str) -> None:
    data = database(tmp_path / "models.db").read_bytes()
    with pytest.raises(sqlite3.Error):
        rows_of(data, sql)


def schema(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def test_columns_that_are_made_of_json_are_read(tmp_path: Path) -> None:
    """As InvokeAI has them."""
    made = "path TEXT GENERATED ALWAYS AS (json_extract(config, '$.path')) VIRTUAL"
    path = schema(
        tmp_path / "models.db",
        f"CREATE TABLE models (config TEXT, {made})",
        """INSERT INTO models (config) VALUES ('{"path": "a"}')""",
    )
    assert rows_of(path.read_bytes(), "SELECT path FROM models") == [("a",)]


@pytest.mark.parametrize(
    "view",
    [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS path FROM n",
        "SELECT zeroblob(1000000000) AS path",
        "SELECT load_extension('x') AS path",
    ],
)
def test_a_table_that_is_somebodys_program_gives_nothing(
    tmp_path: Path, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_MOST", 3)
    path = schema(tmp_path / "models.db", f"CREATE VIEW models AS {view}")
    with pytest.raises(sqlite3.Error):
        rows_of(path.read_bytes(), "SELECT path FROM models")


@pytest.mark.parametrize("keep", [0, 7, 40, 3000])
def test_what_is_no_database_or_cut_short_is_told_and_gives_nothing(tmp_path: Path, keep: int) -> None:
    path = database(tmp_path / "models.db")
    path.write_bytes(path.read_bytes()[:keep])
    walk = TreeWalk(Root(str(tmp_path), "plain"), {})
    assert walk.query(str(path), "SELECT path FROM models") == []
    assert [(one.path, one.kind) for one in walk.warnings] == [(str(path), "damaged")]


def test_json_that_is_none_is_told(tmp_path: Path) -> None:
    walk = TreeWalk(Root(str(tmp_path), "plain"), {})
    for text, expected in (('{"a": [1]}', {"a": [1]}), ("{", None), ("[" * 100_000, None)):
        (tmp_path / "x.json").write_text(text)
        assert walk.read_json(str(tmp_path / "x.json")) == expected
    assert [one.kind for one in walk.warnings] == ["damaged", "damaged"]
    assert walk.read_json(str(tmp_path / "gone.json")) is None
