"""Opening the index's SQLite file so that nothing in it can hurt, and saying clearly what is wrong with it.

The rollback journal is used, not WAL: WAL needs shared memory, which home directories on network file systems do not
have, and it accepts writes into a file that was deleted meanwhile, while the rollback journal's writer is few and
short transactions here, so that readers hardly wait.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hubfold.errors import HubfoldError, IndexDamaged, Locked, NoSpace
from hubfold.index import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlite_utils import Database

#: How long a statement waits for another process before it says that the index is locked.
LOCK_SECONDS = 5.0
#: How long a transaction may wait for others to be committed with it: each commit of a first scan writes a good part of
#: the index of sizes again.
TOGETHER_SECONDS = 1.0
#: Bytes of the index that are kept in memory.
CACHE = 96 << 20
HINT_DELETE = "the index is a cache: delete {path} and scan again, which costs time and no data"

_HEADER = b"SQLite format 3\0"
_MASK = (1 << 64) - 1
#: Times before this (the year 1823) are what times after 2262 look like when they are stored.
_EARLIEST = -(1 << 62)


class IndexUnusable(HubfoldError):
    """The index is whole as far as is known, but its file or folder cannot be read or written."""


class Hostile(IndexDamaged):
    """The schema was tampered with. Never mended by itself: the user should know."""


class Newer(IndexDamaged):
    """The schema is of a later release. Never mended by itself: that release may still be in use."""


def signed(number: int) -> int:
    """An unsigned 64-bit number (device, inode) as SQLite can store it: two's complement."""
    number &= _MASK
    return number - (1 << 64) if number >> 63 else number


def unsigned(number: int) -> int:
    """The inverse of `signed`."""
    return number & _MASK


def stored_time(ns: int) -> int:
    """A time in ns as SQLite can store it. Times that no 64 bits hold come back as others: the file is re-read."""
    return signed(ns)


def loaded_time(number: int) -> int:
    """The inverse of `stored_time`."""
    return number if number >= _EARLIEST else number + (1 << 64)


class Opened:
    """One open database file with the guards around it."""

    def __init__(self, path: str) -> None:
        """Open, check and migrate `path`, making it where it is missing.

        Raises `IndexDamaged` (not a database, truncated, a schema that hubfold did not write, a newer version),
        `Locked` or `IndexUnusable` (the folder cannot be written).
        """
        self.path = path
        self.lock = threading.RLock()
        #: Somebody is inside of `transaction`; `together` is on; when the open transaction began.
        self._inside = self._together = False
        self._begun = 0.0
        with self.guard():
            _check_file(path)
            # Every use is under `lock`; the connection may be used by the thread that holds it.
            self.connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self.connection.close()
                raise
            self._identity = _identity(path)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn what SQLite raises into hubfold's errors."""
        with self.lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                raise self._explained(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; inside another one, a part of that.

        Raises `IndexDamaged` where the file was deleted or replaced since it was opened: what is written into a
        deleted file is lost.
        """
        with self.guard():
            if self._inside:
                yield self.connection
                return
            if not self.connection.in_transaction:
                self._check_identity()
                self.connection.execute("BEGIN IMMEDIATE")
                self._begun = time.monotonic()
            self._inside = True
            try:
                yield self.connection
                self._check_identity()
            except BaseException:
                self.connection.rollback()
                raise
            finally:
                self._inside = False
            self.settle()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let transactions that follow each other closely share one commit, which is several waits for the disk.

        Whoever then does something long calls `settle`, so that no other process finds the index locked for long.
        """
        if self._together:
            yield
            return
        self._together = True
        try:
            yield
        finally:
            self._together = False
            with self.guard():
                self.settle()

    def settle(self) -> None:
        """Commit what is waiting for it, unless more may soon come along (`together`)."""
        waiting = self.connection.in_transaction and not self._inside
        if waiting and (not self._together or time.monotonic() - self._begun > TOGETHER_SECONDS):
            with self.guard():
                self.connection.commit()

    def _prepare(self) -> None:
        run = self.connection.execute
        # Nothing that is stored in the schema may call functions with side effects.
        run("PRAGMA trusted_schema = 0")
        run("PRAGMA cell_size_check = 1")
        run("PRAGMA mmap_size = 0")
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA temp_store = FILE")
        # What it holds of an index of a million files; memory is taken as it is needed.
        run(f"PRAGMA cache_size = -{CACHE >> 10}")
        new = not _schema(self.connection)
        current = not new and _is_current(self.connection)
        if not (new or current):
            self._check_schema()
        if run("PRAGMA journal_mode").fetchone()[0] != "truncate":
            run("PRAGMA journal_mode = TRUNCATE")
        if new:
            self._create()
        elif not current:
            self._migrate()

    def _create(self) -> None:
        """Make all tables at once, with the notes that the migrations would have left."""
        applied_at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            # Two first runs at once: the second waits above, and then finds nothing left to do.
            if not _schema(self.connection):
                for statement in (*schema.BOOKKEEPING, *schema.TABLES):
                    self.connection.execute(statement)
                self.connection.executemany(
                    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
                    [(schema.SET, name, applied_at) for name in schema.NAMES],
                )
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def _check_schema(self) -> None:
        from sqlite_utils import Database

        _check_schema(Database(self.connection, recursive_triggers=False, execute_plugins=False), self.path)

    def _migrate(self) -> None:
        from sqlite_utils import Database

        from hubfold.index.migrations import migrations

        db = Database(self.connection, recursive_triggers=False, execute_plugins=False)
        if migrations.pending(db):
            # Two first runs at once: the second waits here, and then finds nothing left to do.
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                migrations.apply(db)
            except BaseException:
                self.connection.rollback()
                raise
            self.connection.commit()

    def _check_identity(self) -> None:
        if _identity(self.path) != self._identity:
            raise IndexDamaged(
                f"the index {self.path} was deleted or replaced while it was open",
                "run the same command again",
            )

    def _explained(self, error: sqlite3.DatabaseError) -> HubfoldError:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Locked(
                f"the index {self.path} is in use by another program", "wait for it to finish, then try again"
            )
        if primary == sqlite3.SQLITE_FULL:
            return NoSpace(
                f"no room to write the index {self.path}",
                "free some space where it lies, or set HUBFOLD_HOME",
            )
        if primary in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_IOERR,
        ):
            return IndexUnusable(
                f"the index {self.path} cannot be written: {error}",
                "check the permissions and the drive of its folder, or set HUBFOLD_HOME to another",
            )
        return IndexDamaged(f"the index {self.path} is damaged: {error}", HINT_DELETE.format(path=self.path))


def fingerprint(connection: sqlite3.Connection) -> str:
    """A hash over everything that the schema has."""
    schema = sorted(_schema(connection).items())
    return hashlib.sha256(repr(schema).encode("utf-8", "surrogateescape")).hexdigest()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        st = os.stat(path)
    except OSError:
        return None
    return st.st_dev, st.st_ino


def _length(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _check_file(path: str) -> None:
    """Refuse what is no database, or one that is shorter than it says of itself."""
    try:
        with open(path, "rb") as file:
            header = file.read(100)
            length = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise IndexUnusable(f"the index {path} cannot be opened: {error.strerror}") from error
    if length == 0:
        return
    damaged = IndexDamaged(f"the index {path} is damaged: ", HINT_DELETE.format(path=path))
    if len(header) < 100 or not header.startswith(_HEADER):
        damaged.args = (damaged.args[0] + "it is no SQLite database",)
        raise damaged
    page_size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    # The page count counts only where its "valid for" number is that of the last change (SQLite file format, 1.3.7).
    # Where a journal is left (it is empty in between), SQLite itself repairs the file by it.
    if header[24:28] == header[92:96] and not _length(path + "-journal"):
        expected = pages * (65536 if page_size == 1 else page_size)
        if length < expected:
            damaged.args = (damaged.args[0] + f"it should be {expected} bytes long and is {length}",)
            raise damaged


def _check_schema(db: Database, path: str) -> None:
    """Refuse a schema that the migrations did not make: a planted trigger or view would run in our statements."""
    from sqlite_utils import Database

    from hubfold.index.migrations import migrations

    found = _schema(db.conn)
    if not found:
        return
    expected = Database(memory=True, recursive_triggers=False, execute_plugins=False)
    names = [migration.name for migration in migrations.pending(expected)]
    migrations.ensure_migrations_table(expected)
    bookkeeping = ("table", migrations.migrations_table)
    applied = []
    if found.get(bookkeeping) == _schema(expected.conn)[bookkeeping]:
        applied = [migration.name for migration in migrations.applied(db)]
    hint = HINT_DELETE.format(path=path)
    if any(name not in names for name in applied):
        raise Newer(f"the index {path} was made by a newer hubfold", f"upgrade hubfold; {hint}")
    remaining = names[len(applied) :]
    migrations.apply(expected, stop_before=remaining[0] if remaining else None)
    made = _schema(expected.conn)
    expected.close()
    for kind, name in sorted(made.keys() ^ found.keys()):
        if (kind, name) in found:
            raise Hostile(f"the index {path} has a {kind} {name!r} that hubfold did not make", hint)
        raise IndexDamaged(f"the index {path} is damaged: the {kind} {name!r} is missing", hint)
    for kind, name in made:
        if made[kind, name] != found[kind, name]:
            raise Hostile(f"the {kind} {name!r} of the index {path} is not as hubfold made it", hint)


def _schema(connection: sqlite3.Connection) -> dict[tuple[str, str], str | None]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return {(kind, name): sql for kind, name, sql in rows}


def _is_current(connection: sqlite3.Connection) -> bool:
    # The schema first: of a planted one nothing is selected.
    if fingerprint(connection) != schema.CURRENT:
        return False
    applied = connection.execute("SELECT migration_set, name FROM _sqlite_migrations ORDER BY id").fetchall()
    return applied == [(schema.SET, name) for name in schema.NAMES]
