"""What hubfold notes of how models are used, and which are to stay where they are: `used.json`, `pinned.json`.

Both only help to choose what moves: without them, or where they are damaged, nothing was used and nothing is pinned.
Access times of files are no such record: a scan or a backup moves them, and many mounts keep none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hubfold.errors import HubfoldError

#: A model by its type and repo id.
Named = tuple[str, str]
#: Writes a document to a path as a whole. Raises `HubfoldError`.
Replace = Callable[[str, Mapping[str, Any]], None]
#: Seconds in which a further use of a model is not worth a write.
_SOON = 60


class Use(NamedTuple):
    """When a model was used last (seconds since the epoch), and by which command."""

    at: int
    by: str


@dataclass(frozen=True, slots=True)
class Used:
    """The two files in the folder `home`."""

    home: str
    replace: Replace

    @property
    def _used(self) -> str:
        return os.path.join(self.home, "used.json")

    @property
    def _pinned(self) -> str:
        return os.path.join(self.home, "pinned.json")

    def uses(self) -> dict[Named, Use]:
        """The last use of each model that was noted."""
        found = {}
        for entry in _entries(self._used, "used"):
            try:
                found[str(entry["type"]), str(entry["repo"])] = Use(int(entry["at"]), str(entry["by"]))
            except (KeyError, TypeError, ValueError):
                continue
        return found

    def note(self, models: Iterable[Named], use: Use) -> None:
        """Note that `models` were used. Whoever asks for a model gets it, whether this can be written or not."""
        before = self.uses()
        new = {name: use for name in models if name not in before or before[name].at + _SOON < use.at}
        if not new:
            return
        entries = [
            {"type": kind, "repo": repo, "at": one.at, "by": one.by}
            for (kind, repo), one in sorted((before | new).items())
        ]
        try:
            self.replace(self._used, {"version": 1, "used": entries})
        except (HubfoldError, OSError):
            return

    def pins(self) -> set[Named]:
        """The models that are to stay where they are."""
        return {
            (str(entry["type"]), str(entry["repo"]))
            for entry in _entries(self._pinned, "pinned")
            if isinstance(entry, dict) and {"type", "repo"} <= entry.keys()
        }

    def pin(self, models: Iterable[Named]) -> None:
        """Note which models are pinned, all of them. Raises `HubfoldError`."""
        entries = [{"type": kind, "repo": repo} for kind, repo in sorted(models)]
        self.replace(self._pinned, {"version": 1, "pinned": entries})


def _entries(path: str, what: str) -> list[Any]:
    try:
        with open(path, encoding="ascii") as file:
            found = json.load(file)[what]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return found if isinstance(found, list) else []
