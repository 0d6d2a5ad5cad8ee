"""One scan of one root being written into the index: rows as they come, and at the end what has vanished.

A row is dropped only where its folder was listed without an error, on the device it was on (invariant 5): a folder
that cannot be read, a drive that is gone and a mount that is missing all leave the rows as they were.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from hubfold.content import Replica, Root, Signature, signature_tuple
from hubfold.disk.paths import upwards
from hubfold.index.database import loaded_time, signed, stored_time, unsigned
from hubfold.index.index import Index, now
from hubfold.index.invalidation import changed, counting, loosen
from hubfold.index.rows import CLAIM_COLUMNS, DIGEST_COLUMNS, raw, stored_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from hubfold.scanning.walk import Listed

#: Rows that are written in one transaction: large enough to be cheap, small enough to lose little and block nobody.
BATCH = 5000
#: Replicas and claims of a root that are told to be left out.
MOST_REJECTED = 100
#: Folders whose rows are read at once.
AHEAD = 500
#: After every path, and a span that no path lies in.
_END = b"\xff"
_NOWHERE = _END, b""

_COLUMNS = (
    "device, inode, size, mtime_ns, ctime_ns, allocated, nlink, mode, uid, gid, sha256, git_sha1, xet, md5, "
    "repo_type, repo_id, revision, links, pinned, latest_mtime_ns, keeps, edited"
)
_COUNT = _COLUMNS.count(",") + 1
_SIZE = _COLUMNS.split(", ").index("size")
_UPDATE = ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS.split(", "))
_NO_CLAIMS = (None,) * len(CLAIM_COLUMNS)
_DIGESTS = ", ".join(DIGEST_COLUMNS.values())
_HEX = {
    "sha256": re.compile("[0-9a-f]{64}"),
    "git-sha1": re.compile("[0-9a-f]{40}"),
    "xet": re.compile("[0-9a-f]{64}"),
    "md5": re.compile("[0-9a-f]{32}"),
}


class Finished(NamedTuple):
    """What became of the rows of a root that was walked to its end."""

    #: Rows that are kept although nothing was found: their file system is not mounted now.
    away: int
    #: The root itself is on another file system than at the last scan, and nothing of what was known is there.
    replaced: bool


class Recording:
    """The memory of the walk (`walk.Memory`) and the writer of its rows. Ended by `finish` or `abandon`."""

    def __init__(self, index: Index, root: Root, told_by: bytes = b"") -> None:
        self.root = root
        self.told_by = told_by
        self.rejected: list[tuple[str, str]] = []
        self._index = index
        self._rows: list[tuple[bytes, bytes, tuple[Any, ...]]] = []
        self._visited: list[tuple[bytes, bytes | None]] = []
        self._same: list[tuple[int, None]] = []
        self._stale: list[tuple[bytes, bytes]] = []
        self._devices: set[int] = set()
        self._renumbered: set[tuple[int, int]] = set()
        self._folder: tuple[str, tuple[Any, ...] | None] = ("", None)
        self._putting: tuple[str | None, bytes] = (None, b"")
        self._ahead: dict[bytes, tuple[Any, ...]] = {}
        self._ahead_from, self._ahead_to = _NOWHERE
        self._inside = root.path.rstrip("/") + "/"
        with index.file.transaction() as connection:
            index.save_root(root)
            connection.execute(
                "UPDATE roots SET generation = generation + 1 WHERE path = ?", (os.fsencode(root.path),)
            )
            row = connection.execute(
                "SELECT id, generation FROM roots WHERE path = ?", (os.fsencode(root.path),)
            ).fetchone()
            self._root_id, self._generation = int(row[0]), int(row[1])
            connection.execute(
                "CREATE TEMP TABLE IF NOT EXISTS visited (folder_id INTEGER PRIMARY KEY, fingerprint BLOB)"
            )
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS stale (folder_id INTEGER, name BLOB)")
            connection.execute("DELETE FROM visited")
            connection.execute("DELETE FROM stale")

    # the contract of `walk.Memory`

    def fingerprint(self, folder: str) -> bytes | None:
        self._index.file.settle()
        row = self._row(os.fsencode(folder))
        if row is not None and row[1] != self._root_id:
            self._take_over(row[0])
            row = (row[0], self._root_id, None)
        self._folder = (folder, row)
        return None if row is None else row[2]

    def _row(self, path: bytes) -> tuple[Any, ...] | None:
        """(id, root_id, fingerprint) of a folder.

        A walk asks in nearly the order of the paths, and outside of a transaction SQLite locks the file for every
        question: so the answers to the next ones are fetched along with it.
        """
        if not self._ahead_from <= path <= self._ahead_to:
            with self._index.file.guard():
                rows = self._index.file.connection.execute(
                    "SELECT path, id, root_id, fingerprint FROM folders WHERE path >= ? ORDER BY path LIMIT ?",
                    (path, AHEAD),
                ).fetchall()
            self._ahead = {row[0]: row[1:] for row in rows}
            self._ahead_from, self._ahead_to = path, rows[-1][0] if len(rows) == AHEAD else _END
        return self._ahead.get(path)

    def signatures(self, folder: str) -> Mapping[str, Signature]:
        row = self._known(folder)
        if row is None:
            return {}
        with self._index.file.guard():
            rows = self._index.file.connection.execute(
                "SELECT name, device, inode, size, mtime_ns, ctime_ns FROM files WHERE folder_id = ?",
                (row[0],),
            ).fetchall()
        return {
            os.fsdecode(name): Signature(
                unsigned(device), unsigned(inode), size, loaded_time(mtime), loaded_time(ctime)
            )
            for name, device, inode, size, mtime, ctime in rows
        }

    def listed(self, folder: Listed) -> None:
        self._devices.add(folder.device)
        self._renumbered.update((old, folder.device) for old in folder.renumbered)
        known = self._known(folder.path)
        if not folder.files and known is None:
            return
        if folder.same and known is not None:
            self._same.append((known[0], None))
            return
        path = os.fsencode(folder.path)
        self._visited.append((path, folder.fingerprint))
        self._stale += [(path, os.fsencode(name)) for name in folder.stale]
        self._flush_if_full()

    # what the backend found

    def put(self, replica: Replica) -> bool:
        """Write one replica, whose path is absolute and normalised.

        False, with a note in `rejected`, for one that no honest backend yields.
        """
        path, st = replica.path, replica.stat
        if not path.startswith(self._inside):
            self._reject(path, f"is left out: outside of the root {self.root.path}")
            return False
        if not stat.S_ISREG(st.st_mode):
            self._reject(path, "is left out: no regular file")
            return False
        latest = replica.latest_mtime_ns
        row = (
            *stored_signature(signature_tuple(st)),
            st.st_blocks * 512,
            st.st_nlink,
            st.st_mode,
            signed(st.st_uid),
            signed(st.st_gid),
            *(self._claims(replica) if replica.claims else _NO_CLAIMS),
            None if replica.repo_type is None else os.fsencode(replica.repo_type),
            None if replica.repo_id is None else os.fsencode(replica.repo_id),
            None if replica.revision is None else os.fsencode(replica.revision),
            None if replica.links is None else ",".join(sorted(replica.links)),
            int(replica.pinned),
            None if latest is None else stored_time(latest),
            None if replica.keeps is None else int(replica.keeps),
            int(replica.edited),
        )
        self._devices.add(st.st_dev)
        folder, _, name = path.rpartition("/")
        if folder != self._putting[0]:
            self._putting = folder, os.fsencode(folder or "/")
        self._rows.append((self._putting[1], os.fsencode(name), row))
        if len(self._rows) >= BATCH:
            self._flush()
        return True

    def _claims(self, replica: Replica) -> Iterator[bytes | None]:
        claims = {}
        for algorithm, value in replica.claims.items():
            if algorithm not in CLAIM_COLUMNS or not _HEX[algorithm].fullmatch(value):
                self._reject(replica.path, f"its digest is left out: {value!r} is no {algorithm} digest")
            else:
                claims[algorithm] = value
        return (raw(claims.get(algorithm)) for algorithm in CLAIM_COLUMNS)

    def _reject(self, path: str, reason: str) -> None:
        """Note it, but not a million times: a plugin that is wrong once is wrong at every file."""
        if len(self.rejected) < MOST_REJECTED:
            self.rejected.append((path, reason))

    def finish(self, device: int, failed: Collection[str]) -> Finished:
        """The root, on `device`, was walked to its end: drop what vanished, but not at or below what `failed`."""
        with self._index.file.transaction() as connection:
            self._flush()
            for old, new in self._renumbered:
                changed(connection, None)
                connection.execute(
                    f"""INSERT OR IGNORE INTO digests (device, inode, size, mtime_ns, ctime_ns, {_DIGESTS})
                    SELECT ?, inode, size, mtime_ns, ctime_ns, {_DIGESTS} FROM digests WHERE device = ?""",
                    (signed(new), signed(old)),
                )
            away = self._drop(connection, self._devices | {device}, set(failed))
            connection.execute(
                """UPDATE folders SET fingerprint = visited.fingerprint
                FROM visited WHERE visited.folder_id = folders.id AND visited.fingerprint IS NOT NULL"""
            )
            (before,) = connection.execute(
                "SELECT device FROM roots WHERE id = ?", (self._root_id,)
            ).fetchone()
            replaced = bool(away and before is not None and before != signed(device))
            connection.execute(
                "UPDATE roots SET scanned_at = ?, device = ? WHERE id = ?",
                (now(), before if replaced else signed(device), self._root_id),
            )
        return Finished(away, replaced)

    def abandon(self) -> None:
        """The walk ended early: what was found is kept, and so is all that was known before."""
        self._flush()

    # internals

    def _known(self, folder: str) -> tuple[Any, ...] | None:
        if self._folder[0] != folder:
            self.fingerprint(folder)
        return self._folder[1]

    def _take_over(self, folder_id: int) -> None:
        """A folder of another root that lies in this one now: its rows were another backend's view."""
        with self._index.file.transaction() as connection:
            noted = connection.execute("SELECT DISTINCT size FROM files WHERE folder_id = ?", (folder_id,))
            sizes = [size for (size,) in noted.fetchall()]
            loosen(
                connection, connection.execute("DELETE FROM files WHERE folder_id = ?", (folder_id,)).rowcount
            )
            connection.execute(
                "UPDATE folders SET root_id = ?, fingerprint = NULL WHERE id = ?",
                (self._root_id, folder_id),
            )
            changed(connection, sizes)
        self._ahead_from, self._ahead_to = _NOWHERE

    def _flush_if_full(self) -> None:
        if len(self._rows) >= BATCH or len(self._visited) + len(self._same) >= 4 * BATCH:
            self._flush()

    def _flush(self) -> None:
        with self._index.file.transaction() as connection:
            ids, fresh = self._folder_ids(connection)
            different, same, replaced = [], [], []
            for folder, name, row in self._rows:
                folder_id = ids[folder]
                known = None
                if folder_id not in fresh:
                    known = connection.execute(
                        f"SELECT {_COLUMNS} FROM files WHERE folder_id = ? AND name = ?", (folder_id, name)
                    ).fetchone()
                if known == row:
                    same.append((self._generation, folder_id, name))
                    continue
                different.append((folder_id, name, *row, self._generation))
                if known is not None:
                    replaced.append(known[_SIZE])
            connection.executemany("UPDATE files SET generation = ? WHERE folder_id = ? AND name = ?", same)
            connection.executemany(
                f"""INSERT INTO files (folder_id, name, {_COLUMNS}, generation) VALUES ({"?, " * (2 + _COUNT)}?)
                ON CONFLICT (folder_id, name) DO UPDATE SET {_UPDATE}, generation = excluded.generation""",
                different,
            )
            if different:
                # Until the folder was walked to its end, its fingerprint must not vouch for these rows.
                connection.executemany(
                    "UPDATE folders SET fingerprint = NULL WHERE id = ?", {(row[0],) for row in different}
                )
                loosen(connection, len(replaced))
                changed(connection, {*replaced, *(row[2 + _SIZE] for row in different)})
            connection.executemany(
                "INSERT OR REPLACE INTO visited VALUES (?, ?)",
                [*self._same, *((ids[path], fingerprint) for path, fingerprint in self._visited)],
            )
            connection.executemany(
                "INSERT INTO stale VALUES (?, ?)", [(ids[path], name) for path, name in self._stale]
            )
        self._rows, self._visited, self._same, self._stale = [], [], [], []
        self._folder = ("", None)
        self._ahead_from, self._ahead_to = _NOWHERE

    def _folder_ids(self, connection: sqlite3.Connection) -> tuple[dict[bytes, int], set[int]]:
        """Ids of the folders that are waiting to be written, and which of them are new."""
        ids: dict[bytes, int] = {}
        fresh: set[int] = set()
        for path in {*(row[0] for row in self._rows), *(row[0] for row in self._visited)}:
            row = connection.execute("SELECT id, root_id FROM folders WHERE path = ?", (path,)).fetchone()
            if row is None:
                cursor = connection.execute(
                    "INSERT INTO folders (root_id, path) VALUES (?, ?)", (self._root_id, path)
                )
                ids[path] = int(cursor.lastrowid or 0)
                fresh.add(ids[path])
                continue
            ids[path] = row[0]
            if row[1] != self._root_id:
                self._take_over(row[0])
        return ids, fresh

    def _drop(self, connection: sqlite3.Connection, present: set[int], failed: set[str]) -> int:
        """Delete the rows that are gone from the file systems that are `present`; how many are kept as away."""
        devices = {signed(device) for device in present}
        devices.update(signed(old) for old, new in self._renumbered if new in present)
        marks = ", ".join(map(str, devices))

        def unknown(path: str) -> bool:
            return bool(failed) and any(step in failed for step in upwards(path))

        away, dropped = 0, 0
        noted: set[int] = set()
        noting = counting(connection)
        for where, values in self._vanished(connection, unknown):
            if noting:
                gone = connection.execute(
                    f"SELECT DISTINCT size FROM files WHERE {where} AND generation <> ?",
                    (*values, self._generation),
                )
                noted.update(size for (size,) in gone.fetchall())
            dropped += connection.execute(
                f"DELETE FROM files WHERE {where} AND generation <> ? AND device IN ({marks})",
                (*values, self._generation),
            ).rowcount
            away += connection.execute(
                f"SELECT COUNT(*) FROM files WHERE {where} AND generation <> ?", (*values, self._generation)
            ).fetchone()[0]
        connection.execute(
            """DELETE FROM folders WHERE root_id = ? AND id NOT IN (SELECT folder_id FROM visited)
            AND NOT EXISTS (SELECT 1 FROM files WHERE folder_id = folders.id)""",
            (self._root_id,),
        )
        if dropped:
            loosen(connection, dropped)
            changed(connection, noted)
        return away

    def _vanished(
        self, connection: sqlite3.Connection, unknown: Callable[[str], bool]
    ) -> Iterator[tuple[str, tuple[object, ...]]]:
        """SQL conditions for the rows that this walk did not find: of names in listed folders, of whole folders."""
        stale = connection.execute(
            "SELECT s.folder_id, s.name, p.path FROM stale s JOIN folders p ON p.id = s.folder_id"
        ).fetchall()
        for folder_id, name, folder in stale:
            if not unknown(os.path.join(_text(folder), _text(name))):
                yield "folder_id = ? AND name = ?", (folder_id, name)
        folders = connection.execute(
            "SELECT id, path FROM folders WHERE root_id = ? AND id NOT IN (SELECT folder_id FROM visited)",
            (self._root_id,),
        ).fetchall()
        for folder_id, folder in folders:
            if not unknown(_text(folder)):
                yield "folder_id = ?", (folder_id,)


def _text(stored: object) -> str:
    """A path or a name out of the index, which may hold anything by now."""
    if not isinstance(stored, bytes):
        raise sqlite3.DatabaseError(f"{stored!r} is no path")
    return os.fsdecode(stored)
