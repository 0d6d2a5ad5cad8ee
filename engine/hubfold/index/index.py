"""The index: what the last scans found, in SQLite. A cache: deleting it loses time, never data.

Everything here answers without touching the scanned trees.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from hubfold.content import VAULT, IndexedReplica, Role, Root, Signature
from hubfold.errors import IndexDamaged
from hubfold.index import invalidation
from hubfold.index.database import HINT_DELETE, Hostile, Newer, Opened, signed, unsigned
from hubfold.index.invalidation import changed, digested_sizes, loosen, sizes_at
from hubfold.index.rows import (
    CLAIM_COLUMNS,
    COMPUTED,
    DIGEST_COLUMNS,
    FROM,
    ROW,
    Row,
    below_clause,
    raw,
    replica_of,
    root_clause,
    stored_signature,
)
from hubfold.index.schema import CLAIMED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping


class RootState(NamedTuple):
    """One root with what its last scan found. Payloads are counted once; `scanned_at` is seconds, None for never."""

    root: Root
    files: int
    bytes: int
    allocated: int
    scanned_at: int | None
    #: The device number of the root's own folder at the last scan.
    device: int | None


class Index:
    """One open index. Safe to use from several threads; a context manager that closes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open or make the index. Raises `IndexDamaged`, `Locked` or `IndexUnusable`, see `database.Opened`."""
        self.path = os.path.abspath(os.fspath(path))
        self.file = Opened(self.path)

    @classmethod
    def open_or_rebuild(cls, path: str | os.PathLike[str]) -> tuple[Index, str | None]:
        """Open the index; one that is damaged is put aside and begun anew, which the text returned says.

        A planted schema and that of a newer hubfold are not put aside but raised (`IndexDamaged`): the first the
        user should know of, and the second somebody still uses.
        """
        try:
            return cls(path), None
        except (Hostile, Newer):
            raise
        except IndexDamaged as error:
            aside = _put_aside(os.path.abspath(os.fspath(path)))
            return cls(
                path
            ), f"{error}; it was put aside as {aside} and begun anew: the next scan reads files again"

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make the changes within one transaction: all or none, and one wait for the disk."""
        with self.file.transaction():
            yield

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `database.Opened.together`: many small changes in a row, each complete in itself."""
        with self.file.together():
            yield

    # roots

    def roots(self, *, vaults: bool = False) -> list[Root]:
        """The roots that were added or scanned, sorted by path; hubfold's own vaults only with `vaults`."""
        return [state.root for state in self.states(vaults=vaults)]

    def root_at(self, path: str, *, vaults: bool = False) -> Root | None:
        """The root at `path`, if it is one."""
        return next((root for root in self.roots(vaults=vaults) if root.path == path), None)

    def states(self, *, vaults: bool = False) -> list[RootState]:
        """The roots with the totals of their last scans."""
        rows = self.rows(
            """SELECT path, backend, role, max_bytes, files, bytes, allocated, scanned_at, device
            FROM roots ORDER BY path"""
        )
        found = []
        for path, backend, role, limit, files, size, allocated, scanned_at, device in rows:
            if backend == VAULT and not vaults:
                continue
            with self.trusting():
                root = Root(os.fsdecode(path), backend, Role(role), limit)
            found.append(
                RootState(
                    root=root,
                    files=files,
                    bytes=size,
                    allocated=allocated,
                    scanned_at=scanned_at,
                    device=None if device is None else unsigned(device),
                )
            )
        return found

    def save_root(self, root: Root) -> None:
        """Add a root, or change the backend, role and limit of a known one."""
        with self.file.transaction() as connection:
            # What one backend said of the files is not what another one would.
            other = connection.execute(
                "SELECT id FROM roots WHERE path = ? AND backend <> ?", (os.fsencode(root.path), root.backend)
            ).fetchone()
            if other is not None:
                _drop_rows(connection, other[0])
            saved = connection.execute(
                """INSERT INTO roots (path, backend, role, max_bytes) VALUES (?, ?, ?, ?)
                ON CONFLICT (path) DO UPDATE SET
                    backend = excluded.backend, role = excluded.role, max_bytes = excluded.max_bytes
                WHERE (backend, role, max_bytes) IS NOT (excluded.backend, excluded.role, excluded.max_bytes)""",
                (os.fsencode(root.path), root.backend, str(root.role), root.limit),
            )
            if saved.rowcount:
                changed(connection, () if other is None else None)

    def remove_root(self, path: str) -> bool:
        """Forget a root and its rows; whether there was one. Nothing on the disk changes."""
        with self.file.transaction() as connection:
            row = connection.execute("SELECT id FROM roots WHERE path = ?", (os.fsencode(path),)).fetchone()
            if row is None:
                return False
            _drop_rows(connection, row[0])
            connection.execute("DELETE FROM roots WHERE id = ?", row)
            changed(connection, None)
            return True

    # replicas

    def models(self) -> list[tuple[str, str]]:
        """(repo_type, repo_id) of all that a file is known to be of, in their order."""
        found = self.rows("SELECT DISTINCT repo_type, repo_id FROM files WHERE repo_id IS NOT NULL")
        return sorted((os.fsdecode(row[0] or b"model"), os.fsdecode(row[1])) for row in found)

    def replica(self, path: str) -> IndexedReplica | None:
        """What is known of one path."""
        folder, name = os.path.split(path)
        rows = self.rows(
            f"SELECT {ROW} {FROM} WHERE p.path = ? AND f.name = ?", (os.fsencode(folder), os.fsencode(name))
        )
        return self.as_replica(rows[0]) if rows else None

    def replicas(self, root: str) -> Iterator[IndexedReplica]:
        """Every replica of the root at this path."""
        return self._stream_replicas("WHERE r.path = ? ORDER BY p.path, f.name", (os.fsencode(root),))

    def below(self, path: str) -> Iterator[IndexedReplica]:
        """Every replica at or below `path`, whichever root it is in."""
        single = self.replica(path)
        if single is not None:
            return iter((single,))
        where, values = below_clause("p.path", path)
        return self._stream_replicas(f"WHERE {where} ORDER BY p.path, f.name", values)

    def payload(self, device: int, inode: int, size: int) -> list[IndexedReplica]:
        """All known names of one payload."""
        rows = self.rows(
            f"SELECT {ROW} {FROM} WHERE f.size = ? AND f.device = ? AND f.inode = ? ORDER BY p.path, f.name",
            (size, signed(device), signed(inode)),
        )
        return [self.as_replica(row) for row in rows]

    def having(self, digests: Mapping[str, str]) -> list[IndexedReplica]:
        """Replicas that state or have one of these digests. Looks at every row: for repairs, not for scans."""
        tests, values = ["0"], []
        for algorithm, value in digests.items():
            for table, columns in (("f", CLAIM_COLUMNS), ("d", DIGEST_COLUMNS)):
                if algorithm in columns:
                    tests.append(f"{table}.{columns[algorithm]} = ?")
                    values.append(raw(value))
        return list(
            self._stream_replicas(f"WHERE {' OR '.join(tests)} ORDER BY p.path, f.name", tuple(values))
        )

    def unread(self, algorithm: str, roots: Collection[str]) -> list[IndexedReplica]:
        """Replicas of these roots of which the layout states nothing and this digest was never computed, by size."""
        chosen, values = root_clause(roots)
        column = f"d.{DIGEST_COLUMNS[algorithm]} IS NULL"
        where = f"WHERE {column} AND NOT {CLAIMED.format('f')} {chosen} ORDER BY f.size, p.path, f.name"
        return list(self._stream_replicas(where, values))

    def liars(self, roots: Collection[str]) -> list[IndexedReplica]:
        """Replicas of these roots whose bytes were read and are not what their layout states."""
        chosen, values = root_clause(roots)
        rows = self.rows(
            f"""SELECT {ROW} FROM digests d
            CROSS JOIN files f ON f.size = d.size AND f.device = d.device AND f.inode = d.inode
                AND f.mtime_ns = d.mtime_ns AND f.ctime_ns = d.ctime_ns
            JOIN folders p ON p.id = f.folder_id JOIN roots r ON r.id = p.root_id
            WHERE {CLAIMED.format("d")}
                AND (f.sha256 <> d.sha256 OR f.git_sha1 <> d.git_sha1 OR f.xet <> d.xet OR f.md5 <> d.md5) {chosen}
            ORDER BY p.path, f.name""",
            values,
        )
        return [self.as_replica(row) for row in rows]

    def of_size(self, size: int) -> list[IndexedReplica]:
        """Every replica of so many bytes."""
        rows = self.rows(f"SELECT {ROW} {FROM} WHERE f.size = ? ORDER BY p.path, f.name", (size,))
        return [self.as_replica(row) for row in rows]

    # digests and our own changes

    def digests_of(self, signature: Signature) -> dict[str, str]:
        """What was computed of the payload that has this very signature (algorithm → hex); nothing if nothing was."""
        rows = self.rows(
            """SELECT sha256, git_sha1, xxh3_128, xet, md5 FROM digests
            WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?""",
            stored_signature(signature),
        )
        with self.trusting():
            return {
                name: value.hex() for row in rows for name, value in zip(COMPUTED, row, strict=True) if value
            }

    def record_digests(self, signature: Signature, digests: Mapping[str, str]) -> None:
        """Remember what was computed of a payload (algorithm → hex) while it had this signature."""
        self.record_all([(signature, digests)])

    def record_all(self, computed: Iterable[tuple[Signature, Mapping[str, str]]]) -> None:
        """`record_digests` of many payloads in one transaction."""
        rows: dict[tuple[str, ...], list[Row]] = {}
        for signature, digests in computed:
            row = (*stored_signature(signature), *map(bytes.fromhex, digests.values()))
            rows.setdefault(tuple(digests), []).append(row)
        with self.file.transaction() as connection:
            noted: set[int] = set()
            if invalidation.counting(connection):
                noted.update(row[2] for same in rows.values() for row in same)
                noted.update(digested_sizes(connection, (row[:2] for same in rows.values() for row in same)))
            for known, same in rows.items():
                # In the order of the table: neighbours share its pages.
                same.sort(key=itemgetter(0, 1))
                connection.executemany(_record_sql(known), same)
            changed(connection, noted)

    def refresh(self, path: str, st: os.stat_result, *, keep_digests_of: Signature | None = None) -> None:
        """Take over what `lstat` says of a path after an action of our own, so that it is not taken for an edit.

        Every other known name of the same payload is brought up to date too. `keep_digests_of` is the signature
        under which the bytes that the path reads now were digested: those digests stay valid.
        """
        new = stored_signature(Signature.of(st))
        folder, name = os.path.split(path)
        about = (st.st_blocks * 512, st.st_nlink, st.st_mode, signed(st.st_uid), signed(st.st_gid))
        update = """UPDATE files SET device = ?, inode = ?, size = ?, mtime_ns = ?, ctime_ns = ?, allocated = ?,
            nlink = ?, mode = ?, uid = ?, gid = ?"""
        with self.file.transaction() as connection:
            noted = {st.st_size, *sizes_at(connection, path), *digested_sizes(connection, [new[:2]])}
            connection.execute(
                f"{update} WHERE folder_id = (SELECT id FROM folders WHERE path = ?) AND name = ?",
                (*new, *about, os.fsencode(folder), os.fsencode(name)),
            )
            connection.execute(
                f"{update} WHERE size = ? AND device = ? AND inode = ?",
                (*new, *about, st.st_size, new[0], new[1]),
            )
            if keep_digests_of is not None:
                columns = ", ".join(DIGEST_COLUMNS.values())
                connection.execute(
                    f"""INSERT OR REPLACE INTO digests (device, inode, size, mtime_ns, ctime_ns, {columns})
                    SELECT ?, ?, ?, ?, ?, {columns} FROM digests
                    WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?""",
                    (*new, *stored_signature(keep_digests_of)),
                )
            loosen(connection, 1)
            changed(connection, noted)

    def forget(self, path: str) -> None:
        """Drop the row of a path that is no file of its own any more (a symlink of ours, or removed by us)."""
        folder, name = os.path.split(path)
        with self.file.transaction() as connection:
            noted = sizes_at(connection, path)
            connection.execute(
                "DELETE FROM files WHERE folder_id = (SELECT id FROM folders WHERE path = ?) AND name = ?",
                (os.fsencode(folder), os.fsencode(name)),
            )
            loosen(connection, len(noted))
            changed(connection, noted)

    # totals that are kept while nothing changes

    def version(self) -> int:
        """A number that grows with every change of rows or digests."""
        rows = self.rows("SELECT value FROM state WHERE key = 'version'")
        return int(rows[0][0]) if rows else 0

    def remembered(self, key: str) -> str | None:
        """What `remember` was told under this key at the present version, else None."""
        rows = self.rows("SELECT value FROM state WHERE key = ?", (f"total {key}",))
        version, _, value = str(rows[0][0]).partition(" ") if rows else ("", "", "")
        return value if version == str(self.version()) else None

    def remember(self, key: str, value: str) -> None:
        """Keep a result until the next change."""
        with self.file.transaction() as connection:
            version = self.version()
            connection.execute(
                "DELETE FROM state WHERE key LIKE 'total %' AND value NOT LIKE ?", (f"{version} %",)
            )
            connection.execute(
                "INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)",
                (f"total {key}", f"{version} {value}"),
            )

    # reading

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Row]:
        with self.file.guard():
            return self.file.connection.execute(sql, values).fetchall()

    def stream(self, sql: str, values: tuple[Any, ...] = ()) -> Iterator[Row]:
        with self.file.guard():
            cursor = self.file.connection.execute(sql, values)
        while True:
            with self.file.guard():
                rows = cursor.fetchmany(1000)
            if not rows:
                return
            yield from rows

    def _stream_replicas(self, where: str, values: tuple[Any, ...]) -> Iterator[IndexedReplica]:
        return map(self.as_replica, self.stream(f"SELECT {ROW} {FROM} {where}", values))

    def as_replica(self, row: Row) -> IndexedReplica:
        with self.trusting():
            return replica_of(row)

    @contextmanager
    def trusting(self) -> Iterator[None]:
        """SQLite stores any type in any column: a row that hubfold did not write must not end in a traceback."""
        try:
            yield
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise IndexDamaged(
                f"the index {self.path} has a row that hubfold did not write: {error}",
                HINT_DELETE.format(path=self.path),
            ) from error


@cache
def _record_sql(algorithms: tuple[str, ...]) -> str:
    """Note digests of these algorithms; those that are there under the same signature stay, others go."""
    columns = [DIGEST_COLUMNS[name] for name in algorithms]
    same = "size = excluded.size AND mtime_ns = excluded.mtime_ns AND ctime_ns = excluded.ctime_ns"
    merged = ", ".join(
        f"{column} = CASE WHEN {same} THEN COALESCE(excluded.{column}, {column}) ELSE excluded.{column} END"
        for column in DIGEST_COLUMNS.values()
    )
    into = ", ".join(["device", "inode", "size", "mtime_ns", "ctime_ns", *columns])
    return f"""INSERT INTO digests ({into}) VALUES ({", ".join("?" * (5 + len(columns)))})
        ON CONFLICT (device, inode) DO UPDATE SET {merged},
            size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns"""


def _drop_rows(connection: sqlite3.Connection, root_id: int) -> None:
    dropped = connection.execute(
        "DELETE FROM files WHERE folder_id IN (SELECT id FROM folders WHERE root_id = ?)", (root_id,)
    )
    loosen(connection, dropped.rowcount)
    connection.execute("DELETE FROM folders WHERE root_id = ?", (root_id,))


def _put_aside(path: str) -> str:
    number = 1
    while os.path.lexists(f"{path}.damaged-{number}"):
        number += 1
    aside = f"{path}.damaged-{number}"
    os.rename(path, aside)
    # A journal that belongs to the damaged file would be played into the new one.
    if os.path.lexists(path + "-journal"):
        os.rename(path + "-journal", aside + "-journal")
    return aside


def now() -> int:
    """Seconds since the epoch, as `scanned_at` has them; shown to the user, nothing is decided by it."""
    return int(time.time())
