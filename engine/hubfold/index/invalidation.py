"""What every change of rows or digests notes, so that nobody goes on believing what was true before it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from hubfold.index.rows import Row

_FORGET = ("DELETE FROM tallies", "DELETE FROM figures", "DELETE FROM changed_sizes")

#: Where the state table counts rows that went.
LOOSE = "loose digests"


def changed(connection: sqlite3.Connection, sizes: Iterable[int] | None) -> None:
    """Note, inside a transaction, that rows or digests of these sizes (None: of any) are not what they were.

    A row that gets another size is about both.
    """
    connection.execute(
        "INSERT INTO state (key, value) VALUES ('version', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1"
    )
    mark(connection, sizes)


def loosen(connection: sqlite3.Connection, count: int) -> None:
    """Note that so many rows went or changed: their digests may be loose now, see `housekeeping.prune_digests`."""
    if count:
        connection.execute(
            """INSERT INTO state (key, value) VALUES (?, ?)
            ON CONFLICT (key) DO UPDATE SET value = value + excluded.value""",
            (LOOSE, count),
        )


def sizes_at(connection: sqlite3.Connection, path: str) -> list[int]:
    """The size of the row of a path, if it has one."""
    folder, name = os.path.split(path)
    rows = connection.execute(
        "SELECT size FROM files WHERE folder_id = (SELECT id FROM folders WHERE path = ?) AND name = ?",
        (os.fsencode(folder), os.fsencode(name)),
    ).fetchall()
    return [size for (size,) in rows]


def digested_sizes(
    connection: sqlite3.Connection, payloads: Iterable[tuple[int, int]] | Iterable[Row]
) -> Iterator[int]:
    """The sizes that payloads (device, inode) had when their digests were taken."""
    for payload in payloads:
        row = connection.execute(
            "SELECT size FROM digests WHERE device = ? AND inode = ?", payload
        ).fetchone()
        if row is not None:
            yield row[0]


def counting(connection: sqlite3.Connection) -> bool:
    """Whether there is a tally, so that changes have to be noted."""
    return connection.execute("SELECT 1 FROM tallies LIMIT 1").fetchone() is not None


def mark(connection: sqlite3.Connection, sizes: Iterable[int] | None) -> None:
    """Note, after the version was raised, that something of these sizes changed; None: of any size."""
    if sizes is None:
        for statement in _FORGET:
            connection.execute(statement)
    elif counting(connection):
        (version,) = connection.execute("SELECT value FROM state WHERE key = 'version'").fetchone()
        note_sizes(connection, sizes, int(version))


def note_sizes(connection: sqlite3.Connection, sizes: Iterable[int], version: int) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO changed_sizes (size, version) VALUES (?, ?)",
        sorted((size, version) for size in set(sizes)),
    )
