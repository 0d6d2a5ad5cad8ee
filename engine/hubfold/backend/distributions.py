"""Whether any distribution but ours brings plugins, told by a look into the folders of ``sys.path``.

`importlib.metadata` knows, but its import (the parser of e-mail headers comes with it) costs a seventh of start-up,
and nearly always the answer is that there is none. So it is asked only where the look cannot be sure. What is looked at
is laid down in https://packaging.python.org/en/latest/specifications/recording-installed-packages/ and …/entry-points/.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder


def version_of(name: str) -> str:
    """The version of the distribution `name`, as the first folder of ``sys.path`` that has it names it.

    Raises `importlib.metadata.PackageNotFoundError` where it is not installed.
    """
    for folder in _folders():
        for entry in _names(folder):
            if _is_of(entry, name) and entry.endswith(".dist-info"):
                return entry[len(name) + 1 : -len(".dist-info")]
    from importlib.metadata import version

    return version(name)


def others_may_have(group: str, *, besides: str) -> bool:
    """Whether a distribution other than `besides` may have an entry point of `group`; never wrongly false."""
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    for folder in _folders():
        # Archives and eggs keep their metadata elsewhere.
        if folder.lower().endswith(".egg") or os.path.isfile(folder):
            return True
        for entry in _names(folder):
            if entry.lower().endswith((".dist-info", ".egg-info")) and not _is_of(entry, besides):
                try:
                    with open(os.path.join(folder, entry, "entry_points.txt"), "rb") as file:
                        if f"[{group}]".encode() in file.read():
                            return True
                except OSError:
                    continue
    return False


def _folders() -> list[str]:
    return [place or os.curdir for place in sys.path if isinstance(place, str)]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_of(entry: str, name: str) -> bool:
    return entry.lower().startswith(f"{name}-")
