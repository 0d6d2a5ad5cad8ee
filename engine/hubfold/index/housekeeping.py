"""What a scan puts in order in the index when all roots were walked: totals, names of repositories, loose digests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold.content import Root
from hubfold.index.index import Index
from hubfold.index.invalidation import LOOSE, changed
from hubfold.index.tallies import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Digests are pruned where one row in so many has gone, and always while there are at most so many files.
LOOSE_SHARE = 10
PRUNED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Totals:
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
