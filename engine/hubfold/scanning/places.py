"""Where roots lay when they were scanned, so that one that is found elsewhere is known again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hubfold.disk.identity import Location, Placed

if TYPE_CHECKING:
    from hubfold.index.index import Index

_KEY = "place "


def note(index: Index, places: Iterable[Placed]) -> None:
    """Remember where roots lie; it holds until the same path is noted again."""
    known = load(index)
    new = [placed for placed in places if placed.at and known.get(placed.path) != placed]
    if new:
        with index.file.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)",
                [(_KEY + os.fsencode(one.path).hex(), json.dumps(one.as_record())) for one in new],
            )


def load(index: Index) -> dict[str, Placed]:
    """What `note` was told, by path."""
    found: dict[str, Placed] = {}
    rows = index.rows("SELECT value FROM state WHERE key >= ? AND key < ?", (_KEY, _KEY + "g"))
    with index.trusting():
        for (text,) in rows:
            told = json.loads(text)
            at = Location(str(told["fs"]), str(told["inside"]))
            found[told["path"]] = Placed(str(told["path"]), at, int(told["inode"]), str(told["vault"]))
    return found
