"""The file of the index: damaged, hostile, locked, newer, deleted; and numbers as SQLite holds them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlite_utils

from hubfold.content import Root, Signature
from hubfold.duplicates.sets import duplicate_sets
from hubfold.errors import IndexDamaged, Locked
from hubfold.index import database, schema
from hubfold.index.database import (
    TOGETHER_SECONDS,
    Hostile,
    IndexUnusable,
    Newer,
    fingerprint,
    loaded_time,
    signed,
    stored_time,
    unsigned,
)
from hubfold.index.index import Index
from hubfold.index.migrations import migrations
from tests.building.scanned import Place, made_up, record
from tests.building.waiting import PATIENCE

A = "a" * 64


@pytest.mark.parametrize("number", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_numbers_beyond_63_bits(place: Place, number: int) -> None:
    assert unsigned(signed(number)) == number
    record(place.index, "/hub", made_up("/hub/a", inode=number, device=number))
    found = place.index.replica("/hub/a")
    assert found is not None
    assert found.payload == (number, number)


@pytest.mark.parametrize(
    "ns", [0, -1, -2_208_988_800_000_000_000, 1 << 62, (1 << 63) + 5, 13_000_000_000_000_000_000]
)
def test_times_from_1900_to_2380(ns: int) -> None:
    assert loaded_time(stored_time(ns)) == ns


def test_times_that_no_integer_of_sqlite_holds_are_stored_as_others(place: Place) -> None:
    record(place.index, "/hub", made_up("/hub/a", 1))
    place.index.record_digests(Signature(1, 1, 100, 1 << 80, -(1 << 90)), {"sha256": "a" * 64})
    found = place.index.replica("/hub/a")
    assert found is not None
    assert found.computed == {}


def test_an_index_that_was_cut_short_is_put_aside_and_begun_anew(place: Place) -> None:
    for number in range(200):
        place.file(f"tree/{number}", b"content %d" % number)
    place.scan("tree")
    place.index.close()
    length = place.database.stat().st_size
    os.truncate(place.database, length - 8192)
    with pytest.raises(IndexDamaged, match="should be") as caught:
        Index(place.database)
    assert "delete" in caught.value.hint
    index, warning = Index.open_or_rebuild(place.database)
    with index:
        assert warning is not None
        assert "damaged-1" in warning
        assert index.roots() == []
    assert (place.folder / "index.db.damaged-1").stat().st_size == length - 8192


@pytest.mark.parametrize("content", [b"not a database" * 100, b"x", b"SQLite format 3\0" + b"\xff" * 200])
def test_what_is_no_database_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(content)
    with pytest.raises(IndexDamaged):
        Index(path)
    for number in (1, 2):
        path.write_bytes(content)
        index, warning = Index.open_or_rebuild(path)
        index.close()
        assert warning is not None
        assert (tmp_path / f"index.db.damaged-{number}").read_bytes() == content


def test_damage_in_the_middle_is_told_when_it_is_met(place: Place) -> None:
    for number in range(400):
        place.file(f"tree/{number}", b"content")
    place.scan("tree")
    place.index.close()
    connection = sqlite3.connect(place.database)
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files'").fetchall()
    connection.close()
    with open(place.database, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 200)
    place.file("tree/new", b"content")
    place.index = Index(place.database)
    with pytest.raises(IndexDamaged, match="is damaged"):
        place.names()
    with pytest.raises(IndexDamaged, match="is damaged"):
        place.scan("tree")


HOSTILE = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON files BEGIN DELETE FROM files; END",
    "view": "CREATE VIEW v AS SELECT 1",
    "table": "CREATE TABLE more (x)",
    "index": "CREATE INDEX more ON files (mode)",
    "column": "ALTER TABLE files ADD COLUMN more TEXT DEFAULT 'x'",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_planted_schema_is_refused_and_not_mended(tmp_path: Path, what: str) -> None:
    path = tmp_path / "index.db"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute(HOSTILE[what])
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Hostile) as caught:
        Index.open_or_rebuild(path)
    assert "delete" in caught.value.hint
    assert path.read_bytes() == before


def test_a_missing_table_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE digests")
    connection.commit()
    connection.close()
    with pytest.raises(IndexDamaged, match="missing"):
        Index(path)


def test_an_index_of_a_newer_hubfold_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('hubfold-index', 'm999_more', '')"
    )
    connection.execute("CREATE TABLE more (x)")
    connection.commit()
    connection.close()
    with pytest.raises(Newer, match="newer") as caught:
        Index.open_or_rebuild(path)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE files SET name = x'2e2e'",
        "UPDATE files SET name = x'612f62'",
        "UPDATE files SET name = 'text'",
        "UPDATE files SET size = 'text'",
        "UPDATE files SET links = 'telepathy'",
        "UPDATE folders SET path = x'72656c6174697665'",
        "UPDATE roots SET role = 'nobody'",
    ],
)
def test_a_row_that_hubfold_cannot_have_written_is_an_error(place: Place, damage: str) -> None:
    record(
        place.index, "/r", made_up("/r/a", 1, claims={"sha256": A}), made_up("/r/b", 2, claims={"sha256": A})
    )
    connection = sqlite3.connect(place.database)
    with connection:
        if "SET name" in damage:
            damage += " WHERE name = x'61'"
        connection.execute(damage)
    connection.close()
    with pytest.raises(IndexDamaged):
        place.index.roots()
        list(place.index.below("/"))
        list(duplicate_sets(place.index))


def test_an_index_that_another_program_writes_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.index.database.LOCK_SECONDS", 0.05)
    other = sqlite3.connect(place.database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(Locked, match="in use by another program"):
            Index(place.database)
    finally:
        other.rollback()
        other.close()
    Index(place.database).close()


def test_an_index_that_is_deleted_while_it_is_open_is_not_written_to(place: Place) -> None:
    place.file("tree/a", b"content")
    place.scan("tree")
    place.database.unlink()
    for _ in range(2):
        with pytest.raises(IndexDamaged, match="deleted or replaced"):
            place.scan("tree")
        # Nor into one that somebody else began meanwhile.
        Index(place.database).close()
    place.index.close()
    place.index = Index(place.database)
    assert place.scan("tree").files == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.db").mkdir()
    with pytest.raises(IndexUnusable):
        Index(tmp_path / "index.db")
    with pytest.raises(IndexUnusable) as caught:
        Index(tmp_path / "missing" / "index.db")
    assert "HUBFOLD_HOME" in caught.value.hint


@pytest.mark.slow
def test_two_first_runs_at_once(tmp_path: Path) -> None:
    # Each waits for the others as long as it takes: on a busy machine, longer than the seconds of the engine.
    program = f"from hubfold.index import database, index; database.LOCK_SECONDS = {PATIENCE}; "
    program += f"index.Index({str(tmp_path / 'index.db')!r}).close()"
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [one.wait() for one in running] == [0, 0, 0, 0]


@pytest.mark.parametrize("lie", [1.5, 7, "text"])
def test_a_folder_whose_path_is_no_path_is_damage(place: Place, lie: object) -> None:
    place.file("tree/gone/a", b"same")
    place.file("tree/b", b"same")
    place.scan("tree")
    shutil.rmtree(place.folder / "tree/gone")
    place.index.close()
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        assert (
            connection.execute(
                "UPDATE folders SET path = ? WHERE CAST(path AS TEXT) LIKE '%gone'", (lie,)
            ).rowcount
            == 1
        )
        connection.commit()
    place.index = Index(place.database)
    with pytest.raises(IndexDamaged, match="is no path"):
        place.scan("tree")


def test_an_index_of_today_is_made_and_opened_without_sqlite_utils(tmp_path: Path) -> None:
    """Its import takes as long as a whole scan of a few models."""
    code = "from hubfold.index.index import Index; Index(sys.argv[1]).close(); print('sqlite_utils' in sys.modules)"
    for _ in range(2):
        command = [sys.executable, "-c", f"import sys; {code}", str(tmp_path / "index.db")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_new_index_is_what_the_migrations_make(tmp_path: Path) -> None:
    made = sqlite_utils.Database(memory=True, recursive_triggers=False, execute_plugins=False)
    migrations.apply(made)
    Index(tmp_path / "index.db").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "index.db")) as new:
        assert fingerprint(new) == fingerprint(made.conn) == schema.CURRENT
        names = "SELECT migration_set, name FROM _sqlite_migrations ORDER BY id"
        assert new.execute(names).fetchall() == made.conn.execute(names).fetchall()


def test_changes_made_together_are_committed_before_anybody_waits_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "index.db", 1000.0
    monkeypatch.setattr(database, "time", SimpleNamespace(**{**vars(time), "monotonic": lambda: now}))
    with Index(path) as ours, Index(path) as theirs, ours.together():
        ours.save_root(Root("/one", "local-dir"))
        assert theirs.roots() == []
        now += TOGETHER_SECONDS
        ours.file.settle()
        assert theirs.roots() == []
        now += 0.05
        ours.file.settle()
        theirs.save_root(Root("/two", "local-dir"))
        ours.save_root(Root("/three", "local-dir"))
    with Index(path) as after:
        assert [root.path for root in after.roots()] == ["/one", "/three", "/two"]


def test_a_change_that_fails_leaves_the_ones_after_it_whole(tmp_path: Path) -> None:
    with Index(tmp_path / "index.db") as index:
        with pytest.raises(RuntimeError), index.together():
            index.save_root(Root("/one", "local-dir"))
            raise RuntimeError
        index.save_root(Root("/two", "local-dir"))
    with Index(tmp_path / "index.db") as after:
        assert [root.path for root in after.roots()] == ["/one", "/two"]
