"""Files of one size: the duplicate sets among them, and which of them are still to be read.

A size at a time (small ones together), so that memory is bounded by the files of one size; of a size that very many
files have, SQLite sorts or pages the rows on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from hubfold.content import DuplicateSet, Trust
from hubfold.grouping import groups
from hubfold.rows import DEVICE, DIGESTS, FROM, INODE, ROW, SIZE, XXH3, Row, evidence, root_clause

if TYPE_CHECKING:
    from hubfold.index import Index

#: Rows of one size that are held in memory at once; more than that are sorted by digest on disk first.
CLASS_IN_MEMORY = 50_000

#: Rows that are looked at together where more than one size fits in.
PAGE = 10_000
#: SQLite before 3.32 takes no more than 999 values in one statement.
_VARIABLES = 500

_SEVERAL = "MIN(f.device) <> MAX(f.device) OR MIN(f.inode) <> MAX(f.inode)"


def duplicate_sets(index: Index, roots: Collection[str] | None, min_size: int) -> Iterator[DuplicateSet]:
    """See `Index.duplicate_sets`. Empty files are no duplicates: there is nothing to fold."""
    restricted, chosen = ("", ()) if roots is None else root_clause(roots)
    sizes = index.rows(
        f"""SELECT f.size, COUNT(*) {"FROM files f" if roots is None else FROM} WHERE f.size >= ? {restricted}
        GROUP BY f.size HAVING {_SEVERAL} ORDER BY f.size DESC""",
        (max(min_size, 1), *chosen),
    )
    batch: list[int] = []
    held = 0
    for size, count in sizes:
        if count > CLASS_IN_MEMORY and _only_xxh3(index, size):
            yield from _sets_on_disk(index, size, restricted, chosen)
            continue
        batch.append(size)
        held += count
        if held >= CLASS_IN_MEMORY // 4 or len(batch) >= 500:
            yield from _sets_in_memory(index, batch, restricted, chosen)
            batch, held = [], 0
    yield from _sets_in_memory(index, batch, restricted, chosen)


def _sets_in_memory(
    index: Index, sizes: list[int], restricted: str, chosen: tuple[bytes, ...]
) -> Iterator[DuplicateSet]:
    marks = ", ".join("?" * len(sizes))
    rows = index.rows(
        f"SELECT {ROW} {FROM} WHERE f.size IN ({marks}) {restricted} ORDER BY f.size DESC",
        (*sizes, *chosen),
    )
    for _, same_size in groupby(rows, itemgetter(SIZE)):
        yield from _sets(index, list(same_size))


def _sets_on_disk(
    index: Index, size: int, restricted: str, chosen: tuple[bytes, ...]
) -> Iterator[DuplicateSet]:
    """Where every known digest of a size is of one algorithm, equal ones are neighbours once sorted."""
    rows = index.stream(
        f"SELECT {ROW} {FROM} WHERE f.size = ? AND d.xxh3_128 IS NOT NULL {restricted} ORDER BY d.xxh3_128",
        (size, *chosen),
    )
    for _, same_digest in groupby(rows, itemgetter(XXH3)):
        yield from _sets(index, list(same_digest))


def _only_xxh3(index: Index, size: int) -> bool:
    counts = index.rows(
        f"""SELECT COUNT(f.sha256), COUNT(f.git_sha1), COUNT(f.xet), COUNT(d.sha256), COUNT(d.git_sha1),
        COUNT(d.xet) {FROM} WHERE f.size = ?""",
        (size,),
    )
    return not any(counts[0])


def _sets(index: Index, rows: list[Row]) -> Iterator[DuplicateSet]:
    payloads: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        payloads.setdefault((row[DEVICE], row[INODE]), []).append(row)
    if len(payloads) < 2:
        return
    with index.trusting():
        members = list(payloads.values())
        known = [evidence(names) for names in members]
        found = [group for group in groups([one.digests for one in known]) if len(group.members) > 1]
    for group in found:
        replicas = [index.as_replica(row) for member in group.members for row in members[member]]
        replicas.sort(key=lambda replica: replica.path)
        # Computed where the set holds together by what was read alone.
        read = groups([known[member].computed for member in group.members])
        trust = Trust.COMPUTED if len(read) == 1 else Trust.CLAIMED
        yield DuplicateSet(replicas[0].signature.size, group.digests, trust, tuple(replicas))


def unsettled_sizes(index: Index, min_size: int) -> Iterator[list[Row]]:
    """Rows of the files whose size several payloads share, whole sizes together, the biggest first.

    In parts of some `PAGE` rows. Sizes of which every file has a digest of one algorithm are left out, there is
    nothing to read, and so are those of which `huge_sizes` tells.
    """
    settled = " AND ".join(
        f"COUNT({known}) < COUNT(*)"
        for known in (
            "COALESCE(f.sha256, d.sha256)",
            "COALESCE(f.git_sha1, d.git_sha1)",
            "COALESCE(f.xet, d.xet)",
            "d.xxh3_128",
        )
    )
    below, huge = 1 << 62, set(huge_sizes(index, min_size))
    while True:
        sizes = index.rows(
            f"""SELECT f.size, COUNT(*) FROM files f {DIGESTS} WHERE f.size >= ? AND f.size < ?
            GROUP BY f.size HAVING ({_SEVERAL}) AND {settled} ORDER BY f.size DESC LIMIT {PAGE // 2}""",
            (max(min_size, 1), below),
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


def huge_sizes(index: Index, min_size: int) -> list[int]:
    """Sizes with so many files that they are not looked at together, and where nobody claims anything."""
    sizes = index.rows(
        f"""SELECT f.size FROM files f WHERE f.size >= ? GROUP BY f.size
        HAVING COUNT(*) > {CLASS_IN_MEMORY} AND ({_SEVERAL}) ORDER BY f.size DESC""",
        (max(min_size, 1),),
    )
    return [size for (size,) in sizes if _only_xxh3(index, size)]


def payloads_of(index: Index, size: int, *, same_sample: bool = False) -> Iterator[list[Row]]:
    """Rows of one size by device and inode, in parts; with `same_sample` those whose sample is not unique."""
    alike = f"""AND d.sample IN (SELECT d.sample {FROM} WHERE f.size = ?1 AND d.sample IS NOT NULL
        GROUP BY d.sample HAVING {_SEVERAL})"""
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


def _rows_of_sizes(index: Index, sizes: list[int]) -> list[Row]:
    marks = ", ".join("?" * len(sizes))
    return index.rows(f"SELECT {ROW} {FROM} WHERE f.size IN ({marks}) ORDER BY f.size DESC", tuple(sizes))
