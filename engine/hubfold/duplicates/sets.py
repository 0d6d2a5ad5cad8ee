"""The duplicate sets among the files that the index knows.

A size at a time (small ones together), so that memory is bounded by the files of one size; of a size that very many
files have, SQLite sorts or pages the rows on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from hubfold.content import DuplicateSet, IndexedReplica, Trust
from hubfold.duplicates.evidence import Evidence, evidence
from hubfold.duplicates.grouping import groups
from hubfold.duplicates.views import Shown, without_views
from hubfold.index.rows import DEVICE, FROM, INODE, ROW, SIZE, XXH3, Row, replica_of, root_clause

if TYPE_CHECKING:
    from hubfold.index.index import Index

#: Rows of one size that are held in memory at once; more than that are sorted by digest on disk first.
CLASS_IN_MEMORY = 50_000

_path = attrgetter("path")

#: Of a group of rows: they are on two payloads or more.
SEVERAL = "MIN(f.device) <> MAX(f.device) OR MIN(f.inode) <> MAX(f.inode)"


def duplicate_sets(
    index: Index,
    roots: Collection[str] | None = None,
    min_size: int = 0,
    only: str = "1",
    *,
    shown: Shown | None = None,
) -> Iterator[DuplicateSet]:
    """Sets of at least two payloads of one content, the biggest size first.

    `roots` restricts to replicas of these roots, `min_size` (bytes) to files of that size or more, `only` to the sizes
    of which this SQL about ``f.size`` is true. Empty files are no duplicates: there is nothing to fold. A file that is
    seen through two mounts is one payload, see `views.without_views`.
    """
    for rows in _same_size(index, roots, min_size, only):
        yield from _sets(index, rows, shown)


def _same_size(index: Index, roots: Collection[str] | None, min_size: int, only: str) -> Iterator[list[Row]]:
    """The rows of one size, or those of one digest where the files of a size are too many, in turn."""
    restricted, chosen = ("", ()) if roots is None else root_clause(roots)
    sizes = index.rows(
        f"""SELECT f.size, COUNT(*) FROM files f INDEXED BY files_by_size
        CROSS JOIN folders p ON p.id = f.folder_id CROSS JOIN roots r ON r.id = p.root_id
        WHERE f.size >= ? AND {only} {restricted} GROUP BY f.size HAVING {SEVERAL} ORDER BY f.size DESC""",
        (max(min_size, 1), *chosen),
    )
    batch: list[int] = []
    held = 0
    for size, count in sizes:
        if count > CLASS_IN_MEMORY and _only_xxh3(index, size):
            yield from _on_disk(index, size, restricted, chosen)
            continue
        batch.append(size)
        held += count
        if held >= CLASS_IN_MEMORY // 4 or len(batch) >= 500:
            yield from _in_memory(index, batch, restricted, chosen)
            batch, held = [], 0
    yield from _in_memory(index, batch, restricted, chosen)


def _in_memory(
    index: Index, sizes: list[int], restricted: str, chosen: tuple[bytes, ...]
) -> Iterator[list[Row]]:
    marks = ", ".join("?" * len(sizes))
    rows = index.rows(
        f"SELECT {ROW} {FROM} WHERE f.size IN ({marks}) {restricted} ORDER BY f.size DESC",
        (*sizes, *chosen),
    )
    for _, same_size in groupby(rows, itemgetter(SIZE)):
        yield list(same_size)


def _on_disk(index: Index, size: int, restricted: str, chosen: tuple[bytes, ...]) -> Iterator[list[Row]]:
    """Where every known digest of a size is of one algorithm, equal ones are neighbours once sorted."""
    rows = index.stream(
        f"SELECT {ROW} {FROM} WHERE f.size = ? AND d.xxh3_128 IS NOT NULL {restricted} ORDER BY d.xxh3_128",
        (size, *chosen),
    )
    for _, same_digest in groupby(rows, itemgetter(XXH3)):
        yield list(same_digest)


def _only_xxh3(index: Index, size: int) -> bool:
    counts = index.rows(
        f"""SELECT COUNT(f.sha256), COUNT(f.git_sha1), COUNT(f.xet), COUNT(f.md5), COUNT(d.sha256),
        COUNT(d.git_sha1), COUNT(d.xet), COUNT(d.md5) {FROM} WHERE f.size = ?""",
        (size,),
    )
    return not any(counts[0])


def _sets(index: Index, rows: list[Row], shown: Shown | None) -> Iterator[DuplicateSet]:
    payloads: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        payloads.setdefault((row[DEVICE], row[INODE]), []).append(row)
    with index.trusting():
        payloads = without_views(payloads, shown)
        if len(payloads) < 2:
            return
        members = list(payloads.values())
        known = [evidence(names) for names in members]
        found = [
            _set(
                group.digests,
                [known[member] for member in group.members],
                [replica_of(row) for member in group.members for row in members[member]],
            )
            for group in groups([one.digests for one in known])
            if len(group.members) > 1
        ]
    yield from found


def _set(digests: Mapping[str, str], known: list[Evidence], replicas: list[IndexedReplica]) -> DuplicateSet:
    """A group as it is told; computed where it holds together by what was read alone."""
    replicas.sort(key=_path)
    claimed = any(one.claims for one in known) and len(groups([one.computed for one in known])) > 1
    trust = Trust.CLAIMED if claimed else Trust.COMPUTED
    return DuplicateSet(replicas[0].signature.size, digests, trust, tuple(replicas))
