"""Figures kept per size, so that after a change only the sizes that it touched are counted again.

A tally answers one question ("what do duplicates cost in these roots?") by three sums of each size. Every change of
rows or digests notes the sizes that it is about, with the version of the index that it made (`mark`); a tally knows up
to which version it was counted, and whatever was noted since is stale in it. While nobody counts nothing is noted: a
first scan pays nothing for all this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold.index.invalidation import note_sizes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from hubfold.index.index import Index

#: Questions that are kept: the ones that were counted last.
KEPT = 16

#: The version of a tally that is not known to have seen all changes.
_NEVER = -1


class Tally:
    """One question, with the figures that are known for it when this is made."""

    def __init__(self, index: Index, question: str) -> None:
        self._index = index
        self._question = question
        rows = index.rows("SELECT id, version FROM tallies WHERE question = ?", (question,))
        self._id, since = rows[0] if rows else (None, _NEVER)
        self._since: int | None = None if since == _NEVER else since
        self._begun = index.version(), self._seen()

    @property
    def whole(self) -> bool:
        """Nothing is known yet, or what was has been forgotten: every size has to be counted."""
        return self._since is None

    @property
    def stale(self) -> bool:
        """Whether some size has to be counted."""
        return self.whole or bool(self._index.rows(f"SELECT 1 WHERE 0 < ({self._stale('COUNT(*)')})"))

    def where(self, column: str) -> str:
        """SQL that is true for the sizes in `column` that have to be counted."""
        return "1" if self.whole else f"{column} IN ({self._stale('size')})"

    def put(self, figures: Iterable[tuple[int, int, int, int]], again: Iterable[int] = ()) -> bool:
        """Take over (size, first, second, third) of all stale sizes that have figures other than 0.

        The sizes of `again` are stale at once. False where the tally was forgotten or counted by another process
        meanwhile: these figures are a part of nothing then.
        """
        ask = "SELECT id, version FROM tallies WHERE question = ?"
        with self._index.file.transaction() as connection:
            known = connection.execute(ask, (self._question,)).fetchone()
            if not self.whole and known != (self._id, self._since):
                return False
            begun, seen = self._begun
            alone = self._seen() == seen
            # What another process changed since may be counted or not: it stays stale, and where it may not even have
            # been noted, all does.
            version = self._index.version() if alone else _NEVER if self.whole else begun
            if known is None:
                connection.execute("INSERT INTO tallies (question, version) VALUES (?, 0)", (self._question,))
                known = connection.execute(ask, (self._question,)).fetchone()
            self._id = known[0]
            connection.execute(f"DELETE FROM figures WHERE tally = ? AND {self.where('size')}", (self._id,))
            connection.executemany(
                "INSERT INTO figures (tally, size, first, second, third) VALUES (?, ?, ?, ?, ?)",
                ((self._id, *figure) for figure in figures),
            )
            self._since = None if version == _NEVER else version
            self._begun = version, self._seen()
            connection.execute("UPDATE tallies SET version = ? WHERE id = ?", (version, self._id))
            note_sizes(connection, again, self._index.version() + 1)
            _prune(connection)
        return True

    def sums(self, least: int = 0) -> tuple[int, int, int]:
        """The figures of all sizes from `least` on."""
        ((first, second, third),) = self._index.rows(
            """SELECT COALESCE(SUM(first), 0), COALESCE(SUM(second), 0), COALESCE(SUM(third), 0) FROM figures
            WHERE tally = ? AND size >= ?""",
            (self._id, least),
        )
        return int(first), int(second), int(third)

    def _seen(self) -> int:
        """A number that changes with every commit of another connection."""
        return int(self._index.rows("PRAGMA data_version")[0][0])

    def _stale(self, what: str) -> str:
        return f"SELECT {what} FROM changed_sizes WHERE version > {int(self._since or 0)}"


def _prune(connection: sqlite3.Connection) -> None:
    """Forget the questions that were not counted for long, and the changes that every tally has seen."""
    connection.execute(
        "DELETE FROM tallies WHERE id NOT IN (SELECT id FROM tallies ORDER BY version DESC, id DESC LIMIT ?)",
        (KEPT,),
    )
    if connection.execute("SELECT changes()").fetchone()[0]:
        connection.execute("DELETE FROM figures WHERE tally NOT IN (SELECT id FROM tallies)")
    connection.execute("DELETE FROM changed_sizes WHERE version <= (SELECT MIN(version) FROM tallies)")
