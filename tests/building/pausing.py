"""`hubfold` held before one of its exchanges of two names, for as long as a test likes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.building.program import Program
from tests.building.waiting import until

#: Goes on when it is let, or when somebody has asked it to stop.
_PAUSING = """
import itertools, os, sys, time
from hubfold.cli import main
from hubfold.disk.directory import Directory
from hubfold.progress import Stop

at, there, go_on = int(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1)
exchange, numbers = Directory.exchange, itertools.count(1)
stop_asked = []
set_stop = Stop.set

def asked(self):
    set_stop(self)
    stop_asked.append(True)

def paused(self, one, other):
    if next(numbers) == at:
        open(there, "x").close()
        print("paused", file=sys.stderr, flush=True)
        while not stop_asked and not os.path.exists(go_on):
            time.sleep(0.005)
    return exchange(self, one, other)

Stop.set, Directory.exchange = asked, paused
main()
"""


class Pausing(Program):
    """The program of somebody else, `hubfold`, that says "paused" before exchange number `at`, and waits."""

    def __init__(self, hubfold: Program, at: int) -> None:
        self.home, self.environ, self.prefix = hubfold.home, hubfold.environ, hubfold.prefix
        self._at = at
        self._there, self._go_on = (self.home / name for name in ("paused", "go-on"))

    def command(self, arguments: Sequence[str | bytes | Path]) -> list[str | bytes]:
        program = [sys.executable, "-c", _PAUSING, str(self._at), str(self._there), str(self._go_on)]
        return [*program, *(a if isinstance(a, bytes) else str(a) for a in arguments)]

    def wait(self) -> None:
        """Until it pauses."""
        until(self._there.exists, "it came to no such exchange")

    def go_on(self) -> None:
        self._go_on.touch()
