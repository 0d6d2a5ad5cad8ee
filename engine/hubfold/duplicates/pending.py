"""The sizes that duplicates are among: what is to be read before they are known, and what the plain ones cost."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from hubfold.duplicates.sets import CLASS_IN_MEMORY, SEVERAL
from hubfold.index.rows import DEVICE, DIGESTS, FROM, INODE, ROW, Row
from hubfold.index.schema import CLAIMED

if TYPE_CHECKING:
    from hubfold.index.index import Index


#: Rows that are looked at together where more than one size fits in.
PAGE = 10_000
#: The same of files that are read in the order of their folders.
PLAIN_PAGE = 20_000
#: SQLite before 3.32 takes no more than 999 values in one statement.
_VARIABLES = 500


def want(index: Index, only: str, min_size: int, roots: Collection[str]) -> None:
    """Put the sizes of which several payloads are known, one of them in `roots`, into the table ``wanted``.

    `only` is SQL about ``f.size``. A size is *plain* where nothing but what a scan reads of its own accord is known of
    its files: then equal digests are all that there is to find, and SQLite finds them.
    """
    named = [
        f"EXISTS (SELECT 1 FROM {table} x WHERE x.size = s.size AND {CLAIMED.format('x')})"
        for table in ("files", "digests")
    ]
    with index.file.transaction() as connection:
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS wanted (size INTEGER PRIMARY KEY, files INTEGER, plain INTEGER)"
        )
        connection.execute("DELETE FROM wanted")
        connection.execute(
            f"""INSERT INTO wanted SELECT s.size, s.files, NOT ({" OR ".join(named)}) FROM (
                SELECT f.size AS size, COUNT(*) AS files FROM files f INDEXED BY files_by_size
                WHERE f.size >= ? AND {only} GROUP BY f.size HAVING {SEVERAL}) s""",
            (max(min_size, 1),),
        )
        inside = _inside(index, roots)
        if inside:
            connection.execute(
                f"""DELETE FROM wanted WHERE NOT EXISTS (SELECT 1 FROM files f INDEXED BY files_by_size
                WHERE f.size = wanted.size {inside})"""
            )


def plain_unread(index: Index, largest: int) -> Iterator[list[Row]]:
    """Files of plain sizes of at most `largest` bytes that were not read yet, in parts of `PLAIN_PAGE` rows.

    Each as (folder, name, root, device, inode, size, mtime_ns, ctime_ns). All of the index comes in the order of its
    folders, which is nearly that of the inodes, so that neither the index nor the disk is gone through at random.
    """
    few = _few(index, largest)
    by, size_of = _plan(few)
    order = "f.size, f.device, f.inode, f.folder_id, f.name" if few else "f.folder_id, f.name"
    marks = ", ".join("?" * (order.count(",") + 1))
    after: tuple[Any, ...] = (0, -(1 << 63), -(1 << 63), -1, b"") if few else (-1, b"")
    while True:
        rows = index.rows(
            f"""SELECT p.path, f.name, p.root_id, f.device, f.inode, f.size, f.mtime_ns, f.ctime_ns, f.folder_id
            FROM files f {by} CROSS JOIN folders p ON p.id = f.folder_id {DIGESTS}
            WHERE {size_of} IN (SELECT size FROM wanted WHERE plain AND size BETWEEN ? AND ?)
                AND d.xxh3_128 IS NULL AND ({order}) > ({marks}) ORDER BY {order} LIMIT {PLAIN_PAGE}""",
            (after[0] if few else 0, largest, *after),
        )
        if not rows:
            return
        _, name, _, device, inode, size, _, _, folder = rows[-1]
        after = (size, device, inode, folder, name) if few else (folder, name)
        yield [row[:8] for row in rows]


def plain_costs(index: Index, roots: Collection[str]) -> list[tuple[int, int, int]]:
    """(size, duplicate sets, bytes that folding frees) of the plain sizes, as `cost.reclaimable` has it.

    A size of which some payload's names have different signatures is made one that is not plain: only one of them
    tells of the payload. So is one of which two devices have a file with the same times: it may be one file (`views`).
    """
    few = _few(index, 1 << 62)
    by, size_of = _plan(few)
    with index.file.transaction() as connection:
        connection.execute(
            """UPDATE wanted SET plain = 0 WHERE plain AND size IN (
                SELECT m.size FROM (
                    SELECT f.size AS size, f.device AS device, f.inode AS inode FROM files f INDEXED BY files_by_size
                    WHERE f.size IN (SELECT size FROM wanted WHERE plain)
                    GROUP BY f.size, f.device, f.inode HAVING COUNT(*) > 1) m
                CROSS JOIN files f ON f.size = m.size AND f.device = m.device AND f.inode = m.inode
                GROUP BY m.size, m.device, m.inode
                HAVING MIN(f.mtime_ns) <> MAX(f.mtime_ns) OR MIN(f.ctime_ns) <> MAX(f.ctime_ns))"""
        )
        connection.execute(
            """UPDATE wanted SET plain = 0 WHERE plain AND size IN (
                SELECT f.size FROM files f INDEXED BY files_by_size
                WHERE f.size IN (SELECT size FROM wanted WHERE plain)
                GROUP BY f.size, f.mtime_ns, f.ctime_ns HAVING MIN(f.device) <> MAX(f.device))"""
        )
    return index.rows(
        f"""SELECT size, COUNT(*), SUM(frees - CASE WHEN stay THEN 0 ELSE largest END) FROM (
            SELECT size, SUM(goes * allocated) AS frees, MAX(goes * allocated) AS largest, SUM(NOT goes) AS stay
            FROM (
                SELECT {size_of} AS size, d.xxh3_128 AS digest, MAX(f.allocated) AS allocated,
                    MAX(f.nlink) <= COUNT(*) AND NOT MAX(f.pinned OR f.links IS '') AS goes
                FROM files f {by} CROSS JOIN digests d ON d.device = f.device AND d.inode = f.inode
                    AND d.size = f.size AND d.mtime_ns = f.mtime_ns AND d.ctime_ns = f.ctime_ns
                WHERE f.folder_id > 0 AND {size_of} IN (SELECT size FROM wanted WHERE plain)
                    AND d.xxh3_128 IS NOT NULL {_inside(index, roots)}
                GROUP BY {size_of}, d.xxh3_128, f.device, f.inode)
            GROUP BY size, digest HAVING COUNT(*) > 1)
        GROUP BY size"""
    )


def plain_devices(index: Index) -> list[tuple[int, bytes]]:
    """The devices that files of plain sizes are on, each with a folder there."""
    return index.rows(
        """SELECT w.device, p.path FROM (
            SELECT f.device AS device, MIN(f.folder_id) AS folder FROM files f INDEXED BY files_by_size
            WHERE f.size IN (SELECT size FROM wanted WHERE plain) GROUP BY f.device) w
        JOIN folders p ON p.id = w.folder"""
    )


def unsettled_sizes(index: Index, largest: int) -> Iterator[list[Row]]:
    """Rows of the files of wanted sizes, whole sizes together, the biggest first, in parts of some `PAGE` rows.

    Left out are sizes of which every file has a digest of one algorithm, there is nothing to read; those that
    `huge_sizes` tells of; and plain ones of at most `largest` bytes, see `plain_unread`.
    """
    settled = " AND ".join(
        f"COUNT({known}) < COUNT(*)"
        for known in (
            "COALESCE(f.sha256, d.sha256)",
            "COALESCE(f.git_sha1, d.git_sha1)",
            "COALESCE(f.xet, d.xet)",
            "COALESCE(f.md5, d.md5)",
            "d.xxh3_128",
        )
    )
    below, huge = 1 << 62, set(huge_sizes(index, largest))
    while True:
        sizes = index.rows(
            f"""SELECT f.size, COUNT(*) FROM files f {DIGESTS} WHERE f.size < ?
            AND f.size IN (SELECT size FROM wanted WHERE NOT (plain AND size <= ?))
            GROUP BY f.size HAVING {settled} ORDER BY f.size DESC LIMIT {PAGE // 2}""",
            (below, largest),
        )
        if not sizes:
            return
        batch: list[int] = []
        held = 0
        for size, count in sizes:
            below = size
            if size in huge:
                continue
            batch.append(size)
            held += count
            if held >= PAGE or len(batch) == _VARIABLES:
                yield _rows_of_sizes(index, batch)
                batch, held = [], 0
        if batch:
            yield _rows_of_sizes(index, batch)


def huge_sizes(index: Index, largest: int) -> list[int]:
    """Wanted sizes with so many files that they are not looked at together, and where nobody claims anything."""
    rows = index.rows(
        "SELECT size FROM wanted WHERE plain AND size > ? AND files > ? ORDER BY size DESC",
        (largest, CLASS_IN_MEMORY),
    )
    return [size for (size,) in rows]


def payloads_of(index: Index, size: int, *, same_sample: bool = False) -> Iterator[list[Row]]:
    """Rows of one size by device and inode, in parts; with `same_sample` those whose sample is not unique."""
    alike = f"""AND d.sample IN (SELECT d.sample {FROM} WHERE f.size = ?1 AND d.sample IS NOT NULL
        GROUP BY d.sample HAVING {SEVERAL})"""
    after = (-(1 << 63), -(1 << 63))
    while True:
        rows = index.rows(
            f"""SELECT {ROW} {FROM} WHERE f.size = ?1 AND (f.device, f.inode) > (?2, ?3)
            {alike if same_sample else ""} ORDER BY f.device, f.inode LIMIT {PAGE}""",
            (size, *after),
        )
        if not rows:
            return
        last = (rows[-1][DEVICE], rows[-1][INODE])
        if len(rows) == PAGE and (rows[0][DEVICE], rows[0][INODE]) != last:
            # The names of one payload stay together.
            rows = [row for row in rows if (row[DEVICE], row[INODE]) != last]
        after = (rows[-1][DEVICE], rows[-1][INODE])
        yield rows


def _inside(index: Index, roots: Collection[str]) -> str:
    """SQL for a file in one of these roots; none where the index has no others."""
    known = {path: number for number, path in index.rows("SELECT id, path FROM roots")}
    chosen = {known[path] for path in map(os.fsencode, roots) if path in known}
    if len(chosen) == len(known):
        return ""
    return f"AND f.folder_id IN (SELECT id FROM folders WHERE root_id IN ({', '.join(map(str, sorted(chosen)))}))"


def _plan(few: bool) -> tuple[str, str]:
    """SQL after ``files f`` and for its size, so that SQLite goes by the sizes or through all files in their order.

    Left to itself it takes the index of sizes for both, and then each row is a page of its own.
    """
    return ("INDEXED BY files_by_size", "f.size") if few else ("", "+f.size")


def _few(index: Index, largest: int) -> bool:
    """Whether the files of plain sizes of at most `largest` bytes are so few that they are not all gone through."""
    ((every, wanted),) = index.rows(
        """SELECT (SELECT COALESCE(SUM(files), 0) FROM roots), COALESCE(SUM(files), 0) FROM wanted
        WHERE plain AND size <= ?""",
        (largest,),
    )
    return bool(wanted * 4 < every)


def _rows_of_sizes(index: Index, sizes: list[int]) -> list[Row]:
    marks = ", ".join("?" * len(sizes))
    return index.rows(f"SELECT {ROW} {FROM} WHERE f.size IN ({marks}) ORDER BY f.size DESC", tuple(sizes))
