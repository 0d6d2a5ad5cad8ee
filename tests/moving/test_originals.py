"""What a move reads, and how fast."""

from __future__ import annotations

import pytest

from hubfold.moving import originals
from hubfold.progress import Stop


def test_a_pace_is_kept() -> None:
    """A second's bytes are due after a second."""

    class Clocked(Stop):
        def __init__(self) -> None:
            super().__init__()
            self.now = 100.0

        def wait(self, seconds: float) -> None:
            self.now += seconds

    stop = Clocked()
    pace = originals.Pace(1000, stop, lambda: stop.now)
    for _ in range(10):
        pace.went(500)
    assert stop.now == pytest.approx(105.0)
    assert pace.step <= 4096
    originals.Pace(None, stop).went(1 << 40)
    assert stop.now == pytest.approx(105.0)
