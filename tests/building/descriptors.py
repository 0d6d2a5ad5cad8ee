"""Which descriptors are open, and that a test leaves none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def open_descriptors() -> set[tuple[str, str]]:
    """Number, and what it leads to, of each."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # the one that listed the folder, or another thread's
    return found


@contextmanager
def nothing_stays_open() -> Iterator[None]:
    """What is open after the block was open before it.

    Fewer may be: threads that answered a client of a test before close its connections when they come to it.
    """
    before = open_descriptors()
    yield
    left = open_descriptors() - before
    assert not left, f"left open: {sorted(left)}"
