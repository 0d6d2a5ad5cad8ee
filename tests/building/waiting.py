"""Waiting for what has to happen. No test asks how fast something was: the one limit is for what hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which something hangs. What the tests wait for takes a few; on the busiest machine, not so many.
PATIENCE = 300.0


def until(happened: Callable[[], object], otherwise: str) -> None:
    """Return once `happened()` is true; `AssertionError`, which says `otherwise`, after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, otherwise
        time.sleep(0.005)
