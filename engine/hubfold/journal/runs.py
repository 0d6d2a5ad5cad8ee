"""Which runs have a journal, and what each has freed: what every scan asks, and reads no journal twice for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

#: What the name of a journal ends in.
SUFFIX = ".jsonl"


class Saved(NamedTuple):
    """What a run has freed, in bytes, as of a journal of this size and time: who appends to one changes both."""

    size: int
    mtime_ns: int
    bytes: int


def run_names(folder: str) -> list[str]:
    """The runs that have a journal in `folder`, oldest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def path_of(folder: str, run: str) -> str:
    """Where the journal of a run lies."""
    return os.path.join(folder, run + SUFFIX)


def saved(folder: str, known: Mapping[str, Saved], freed: Callable[[str], int]) -> dict[str, Saved]:
    """What each run has freed. Of `known` only those whose journal has changed since are asked of `freed`, by name."""
    found: dict[str, Saved] = {}
    for run in run_names(folder):
        st = os.stat(path_of(folder, run))
        before = known.get(run)
        if before is not None and (before.size, before.mtime_ns) == (st.st_size, st.st_mtime_ns):
            found[run] = before
        else:
            found[run] = Saved(st.st_size, st.st_mtime_ns, freed(run))
    return found
