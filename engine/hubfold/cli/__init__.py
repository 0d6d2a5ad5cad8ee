"""The command line. One file per command; what a command does is `hubfold.Engine`'s."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The `hubfold` program."""
    try:
        from hubfold.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
