"""The command line. One file per command; what a command does is `hubfold.Engine`'s."""

from __future__ import annotations

import sys
from gc import freeze, get_threshold, set_threshold
from typing import NoReturn

#: Objects made since the last garbage collection that start another one (Python's own: 700). What is made here lives to
#: the end or is freed without the collector; looking through it again and again was a twentieth of start-up.
COLLECT_AFTER = 500_000


def main() -> NoReturn:
    """The `hubfold` program."""
    set_threshold(COLLECT_AFTER, *get_threshold()[1:])
    try:
        from hubfold.cli.streams import occupy

        occupy()
        from hubfold.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    # Loaded by `run`, but where Ctrl-C came before.
    if guests := sys.modules.get("hubfold.cli.guests"):
        guests.end()
    # All is closed and flushed: the collections of the interpreter's own end would find nothing, for 10 ms.
    freeze()
    sys.exit(code)
