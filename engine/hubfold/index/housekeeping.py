"""What a scan puts in order in the index when all roots were walked: totals, names of repositories, loose digests."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from hubfold.content import Root
from hubfold.index.index import Index
from hubfold.index.invalidation import LOOSE, changed
from hubfold.index.tallies import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Keys of what is kept of runs: names of runs, and what sorts behind them all.
_RUN, _AFTER_RUN = "run ", "run!"
#: Digests are pruned where one row in so many has gone, and always while there are at most so many files.
LOOSE_SHARE = 10
PRUNED_AT_ONCE = 10_000


class Totals(NamedTuple):
    """One root: `files` are names; bytes (by length and by blocks) count each payload once."""

    files: int
    bytes: int
    allocated: int


def totals(index: Index, root: Root) -> Totals:
    """What the rows of a root add up to, each payload once."""
    key = f"root {root.path!r}"
    remembered = index.remembered(key)
    if remembered is not None:
        return Totals(*map(int, remembered.split()))
    with index.file.transaction() as connection:
        tally = Tally(index, key)
        tally.put(
            connection.execute(
                f"""SELECT size, SUM(names), COUNT(*) * size, SUM(allocated) FROM (
                    SELECT f.size AS size, COUNT(*) AS names, MAX(f.allocated) AS allocated
                    FROM files f {"" if tally.whole else "INDEXED BY files_by_size"}
                    WHERE {tally.where("f.size")} AND {"" if tally.whole else "+"}f.folder_id IN (
                        SELECT p.id FROM folders p JOIN roots r ON r.id = p.root_id WHERE r.path = ?)
                    GROUP BY f.size, f.device, f.inode)
                GROUP BY size""",
                (os.fsencode(root.path),),
            ).fetchall()
        )
        files, size, allocated = tally.sums()
        connection.execute(
            "UPDATE roots SET files = ?, bytes = ?, allocated = ? WHERE path = ?",
            (files, size, allocated, os.fsencode(root.path)),
        )
        index.remember(key, f"{files} {size} {allocated}")
    return Totals(files, size, allocated)


class Taken(NamedTuple):
    """Bytes by blocks, each payload once over all roots: by its name in a cache, else in another root, else a vault."""

    caches: int
    copies: int
    vaults: int


def taken(
    index: Index, caches: Sequence[str], copies: Sequence[str], vaults: Sequence[str], *, keep: bool = True
) -> Taken:
    """What the rows of roots take; `keep` the figures, so that only what changes is counted again."""
    kinds = (caches, copies, vaults)
    question = hashlib.sha256(repr([sorted(kind) for kind in kinds]).encode("utf-8", "surrogateescape"))
    key = f"taken {question.hexdigest()}"
    remembered = index.remembered(key)
    if remembered is not None:
        return Taken(*map(int, remembered.split()))
    numbers = {os.fsdecode(path): number for number, path in index.rows("SELECT id, path FROM roots")}
    ours = [[numbers[path] for path in kind if path in numbers] for kind in kinds]
    if not keep:
        figures = _of_sizes(index, ours, "1")
        return Taken(*(sum(figure[place] for figure in figures) for place in (1, 2, 3)))
    with index.file.transaction():
        tally = Tally(index, key)
        figures = _of_sizes(index, ours, tally.where("f.size"), whole=tally.whole)
        tally.put(figures)
        sums = tally.sums()
        index.remember(key, " ".join(map(str, sums)))
    return Taken(*sums)


def _of_sizes(
    index: Index, ours: Sequence[Sequence[int]], where: str, *, whole: bool = True
) -> list[tuple[int, int, int, int]]:
    """(size, bytes of caches, of copies, of vaults) of the roots with these numbers, for the sizes of a clause."""
    caches, copies, every = (
        ", ".join(map(str, some)) for some in (ours[0], ours[1], [number for kind in ours for number in kind])
    )
    return index.rows(
        f"""SELECT size, SUM(allocated * cached), SUM(allocated * (copied AND NOT cached)),
            SUM(allocated * NOT (copied OR cached)) FROM (
            SELECT f.size AS size, MAX(f.allocated) AS allocated, MAX(p.root_id IN ({caches})) AS cached,
                MAX(p.root_id IN ({copies})) AS copied
            FROM files f {"" if whole else "INDEXED BY files_by_size"}
            CROSS JOIN folders p ON p.id = f.folder_id AND p.root_id IN ({every})
            WHERE {where} GROUP BY f.size, f.device, f.inode)
        GROUP BY size"""
    )


def by_model(index: Index) -> list[tuple[str, str, str, int, int, int]]:
    """(root, repo_type, repo_id, files, bytes, bytes by allocated blocks) of each model in each root; a file once."""
    rows = index.rows(
        """SELECT r.path, m.repo_type, m.repo_id, m.files, m.size, m.allocated FROM (
            SELECT root_id, repo_type, repo_id, COUNT(*) AS files, SUM(size) AS size, SUM(allocated) AS allocated FROM (
                SELECT DISTINCT p.root_id, f.repo_type, f.repo_id, f.device, f.inode, f.size, f.allocated
                FROM files f JOIN folders p ON p.id = f.folder_id WHERE f.repo_id IS NOT NULL)
            GROUP BY root_id, repo_type, repo_id) m
        JOIN roots r ON r.id = m.root_id ORDER BY m.repo_type, m.repo_id, r.path"""
    )
    with index.trusting():
        return [
            (os.fsdecode(root), os.fsdecode(kind or b"model"), os.fsdecode(repo), files, size, allocated)
            for root, kind, repo, files, size, allocated in rows
        ]


def run_figures(index: Index) -> dict[str, tuple[int, ...]]:
    """What was kept of runs, by their names: figures of which their journals are the truth."""
    rows = index.rows("SELECT key, value FROM state WHERE key >= ? AND key < ?", (_RUN, _AFTER_RUN))
    with index.trusting():
        return {key.removeprefix(_RUN): tuple(map(int, value.split())) for key, value in rows}


def keep_run_figures(index: Index, figures: Mapping[str, Sequence[int]]) -> None:
    """Keep these, and none of other runs."""
    with index.file.transaction() as connection:
        connection.execute("DELETE FROM state WHERE key >= ? AND key < ?", (_RUN, _AFTER_RUN))
        connection.executemany(
            "INSERT INTO state (key, value) VALUES (?, ?)",
            [(_RUN + run, " ".join(map(str, each))) for run, each in figures.items()],
        )


def unreferenced(index: Index) -> list[list[object]] | None:
    """What `keep_unreferenced` was handed last; None where something was removed since."""
    rows = index.rows("SELECT value FROM state WHERE key = 'unreferenced'")
    with index.trusting():
        return [list(row) for row in json.loads(rows[0][0])] if rows else None


def keep_unreferenced(index: Index, found: Sequence[Sequence[object]] | None) -> None:
    """Keep what a scan found that no model refers to, as plain rows; None: it is not known any more."""
    with index.file.transaction() as connection:
        connection.execute("DELETE FROM state WHERE key = 'unreferenced'")
        if found is not None:
            text = json.dumps(found)
            connection.execute("INSERT INTO state (key, value) VALUES ('unreferenced', ?)", (text,))


def name_repositories(index: Index, commits: Mapping[str, tuple[str, str]]) -> None:
    """Fill in whose commit a copy is, where the cache that knows was scanned after the copy.

    `commits`: commit hash → (repo id, repo type).
    """
    if not commits or index.remembered("repositories") is not None:
        return
    with index.file.transaction() as connection:
        unknown = connection.execute(
            "SELECT DISTINCT revision FROM files WHERE revision IS NOT NULL AND repo_id IS NULL"
        ).fetchall()
        filled = 0
        for (revision,) in unknown:
            if os.fsdecode(revision) in commits:
                repo_id, repo_type = commits[os.fsdecode(revision)]
                filled += connection.execute(
                    "UPDATE files SET repo_id = ?, repo_type = ? WHERE revision = ? AND repo_id IS NULL",
                    (os.fsencode(repo_id), os.fsencode(repo_type), revision),
                ).rowcount
        if filled:
            # No figure depends on whose a file is.
            changed(connection, ())
        index.remember("repositories", "")


def prune_digests(index: Index) -> None:
    """Drop the digests of payloads that no row is about any more; rows of drives that are away keep theirs.

    Looks at all of them, so where there are many it waits until a good part of them may have come loose.
    """
    loose = index.rows("SELECT value FROM state WHERE key = ?", (LOOSE,))
    if not loose:
        return
    with index.file.transaction() as connection:
        (files,) = connection.execute("SELECT COALESCE(SUM(files), 0) FROM roots").fetchone()
        if int(loose[0][0]) * LOOSE_SHARE + PRUNED_AT_ONCE < files:
            return
        connection.execute(
            """DELETE FROM digests WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.size = digests.size
            AND f.device = digests.device AND f.inode = digests.inode)"""
        )
        connection.execute("DELETE FROM state WHERE key = ?", (LOOSE,))
