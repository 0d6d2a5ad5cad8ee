"""What the programs noted of the bytes of files: sha256, with the mtime that the file had then.

AUTOMATIC1111 and its kin (``modules/hashes.py``, ``modules/cache.py``): ``cache.json`` up to 1.7, and from 1.8 the
folder ``cache/hashes`` of the package ``diskcache``, an SQLite database with pickled values. Both have by title
(``checkpoint/<file>``, ``lora/<name>``, …) ``mtime`` as `os.path.getmtime` gives it, and ``sha256``. (Their section
``hashes-addnet`` is of a file without its header: no claim.) The pickles are somebody's, and are taken apart without
being loaded.

Stability Matrix (``ConnectedModelInfo.cs``): ``<file without suffix>.cm-info.json`` with ``Hashes.SHA256``, by Civitai.
"""

from __future__ import annotations

import os
import pickletools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold_plugins.shelves import is_weights

if TYPE_CHECKING:
    from hubfold.backend.contract import Folder, Walk

_SHA256 = re.compile(r"[0-9a-f]{64}")
_QUESTION = "SELECT key, value FROM Cache WHERE raw = 1 AND mode = 4 AND filename IS NULL"
#: Bytes of ``cache.json``: it has a line for each file that was ever looked at.
_LIMIT = 1 << 26
#: Bytes of a pickle of one entry.
_PICKLE = 4096


@dataclass(slots=True)
class Hashes:
    """What is noted, by the last part of the title: a file's name, or its name without suffix."""

    _noted: dict[str, list[tuple[float, str]]] = field(default_factory=dict)

    def add(self, title: object, told: object) -> None:
        """Note an entry; one that is none says nothing."""
        if not isinstance(title, str) or not isinstance(told, dict):
            return
        mtime, digest = told.get("mtime"), told.get("sha256")
        if isinstance(mtime, (int, float)) and isinstance(digest, str) and _SHA256.fullmatch(digest):
            name = title.replace("\\", "/").rpartition("/")[2]
            self._noted.setdefault(name, []).append((float(mtime), digest))

    def of(self, folder: Folder, name: str, st: os.stat_result, walk: Walk) -> dict[str, str]:
        """What is stated of a file of a folder, while it has the mtime that it had then."""
        stem = os.path.splitext(name)[0]
        told = {digest for mtime, digest in self._entries(name) if mtime == st.st_mtime}
        info = f"{stem}.cm-info.json"
        if not told and info in folder.names and not _shared(stem, folder):
            told = _of_civitai(walk.read_json(os.path.join(folder.path, info)))
        # Of two that fit neither is known to be of this file.
        return {"sha256": told.pop()} if len(told) == 1 else {}

    def latest_mtime_ns(self, name: str, st: os.stat_result) -> int | None:
        """The mtime from which on the program hashes the file again; None where it has not done so yet."""
        believed = [mtime for mtime, _ in self._entries(name) if mtime >= st.st_mtime]
        if not believed:
            return None
        first = min(believed)
        # A float of today has no room for nanoseconds: what it was rounded to may be later than the file's own.
        return st.st_mtime_ns if first == st.st_mtime else int(first * 1e6) * 1000

    def _entries(self, name: str) -> list[tuple[float, str]]:
        return [*self._noted.get(name, ()), *self._noted.get(os.path.splitext(name)[0], ())]


def read(top: str, walk: Walk) -> Hashes:
    """What the program that lies at `top` has noted."""
    found = Hashes()
    names = walk.listing(top)
    if "cache.json" in names:
        told = walk.read_json(os.path.join(top, "cache.json"), _LIMIT)
        section = told.get("hashes") if isinstance(told, dict) else None
        for title, entry in section.items() if isinstance(section, dict) else ():
            found.add(title, entry)
    place = os.path.join(top, "cache", "hashes", "cache.db")
    if "cache" in names and walk.stat(place) is not None:
        for row in walk.query(place, _QUESTION):
            if len(row) == 2 and isinstance(row[1], bytes):
                found.add(row[0], unpickled(row[1]))
    return found


def unpickled(data: bytes) -> dict[str, object]:
    """The entry that a pickle holds: its key and value of each line, taken from its text without running it."""
    found: dict[str, object] = {}
    key = ""
    try:
        for _, value, _ in pickletools.genops(data[:_PICKLE]):
            if isinstance(value, (str, float)) and key in ("mtime", "sha256"):
                found[key], key = value, ""
            elif isinstance(value, str):
                key = value
    except Exception:  # noqa: BLE001 - of bytes that are no pickle it may raise anything
        return {}
    return found


def _shared(stem: str, folder: Folder) -> bool:
    """Whether several files of weights have the name that a note is called by."""
    return sum(is_weights(name) and os.path.splitext(name)[0] == stem for name in folder.names) > 1


def _of_civitai(told: object) -> set[str]:
    hashes = told.get("Hashes") if isinstance(told, dict) else None
    digest = hashes.get("SHA256") if isinstance(hashes, dict) else None
    lower = digest.lower() if isinstance(digest, str) else ""
    return {lower} if _SHA256.fullmatch(lower) else set()
