"""SQLite databases of other programs, asked as they lie on the disk: nothing is locked, or made beside them.

The file format: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Where the header says by what the file is written and read (1: a rollback journal, 2: a write-ahead log).
_VERSIONS = slice(18, 20)
#: Instructions of SQLite's machine between two looks, and how many looks one question may take: a second or two.
_STEPS, _MOST = 100_000, 1_000
#: Bytes of one value.
_LONGEST = 1 << 26
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})


def rows_of(data: bytes, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """The rows that a SELECT gives of a database of these bytes. Raises `sqlite3.Error`."""
    if not data:
        raise sqlite3.DatabaseError("it is empty")
    image = bytearray(data)
    if image[_VERSIONS] == b"\2\2":
        # Of one with a write-ahead log there is only this part: it would be looked for beside it.
        image[_VERSIONS] = b"\1\1"
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        # It is somebody's file. Its schema may use what SQLite itself computes (columns that are made of JSON), but
        # nothing that loads or opens anything, and not for ever; the question changes nothing.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        steps = count(1)
        connection.set_progress_handler(lambda: next(steps) > _MOST, _STEPS)
        connection.set_authorizer(_only_reads)
        return connection.execute(sql, tuple(parameters)).fetchall()


def _only_reads(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
