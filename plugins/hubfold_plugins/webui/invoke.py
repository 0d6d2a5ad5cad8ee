"""What InvokeAI's database calls its models (``databases/invokeai.db``, table ``models``).

``path`` is from ``models/``, or absolute for one that was installed in its place; ``source`` is where it came from,
which may be a repository of the Hub (``org/name``, with ``:variant`` and ``:subfolder`` after it).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold_plugins.flat import hub_name

if TYPE_CHECKING:
    from hubfold.backend.contract import Walk

_SCHEMA = "SELECT sql FROM sqlite_master WHERE name = 'models'"


def names(top: str, walk: Walk) -> dict[str, str]:
    """What each model is called, by the path of its file or folder."""
    place = os.path.join(top, "databases", "invokeai.db")
    if walk.stat(place) is None:
        return {}
    schema = "".join(str(text) for (text,) in walk.query(place, _SCHEMA))
    if "path" not in schema or "name" not in schema:
        return {}
    source = "source" if "source" in schema else "''"
    found: dict[str, str] = {}
    for path, name, kind, origin in walk.query(place, f"SELECT path, name, type, {source} FROM models"):
        if not isinstance(path, str) or not isinstance(name, str) or "\0" in path or not name.isprintable():
            continue
        where = os.path.normpath(os.path.join(top, "models", path))
        called = hub_name(origin) if isinstance(origin, str) else ""
        found[where] = called or f"{kind}/{name}"
    return found
