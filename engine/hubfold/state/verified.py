"""How far a verify that was cut short came."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO


@dataclass(slots=True)
class Verified:
    """The progress of a round of `verify`, a line for each payload that was found good, so that the next goes on.

    Written as it goes and never synced: what is lost of it is read again. An error costs that and nothing else.
    """

    path: str
    _file: TextIO | None = None

    def load(self) -> frozenset[str]:
        """What an unfinished round has come to; empty where none was cut short."""
        try:
            with open(self.path, encoding="ascii", errors="replace") as file:
                return frozenset(line.rstrip("\n") for line in file)
        except OSError:
            return frozenset()

    def note(self, key: str) -> None:
        with suppress(OSError):
            if self._file is None:
                self._file = open(self.path, "a", encoding="ascii", buffering=1)  # noqa: SIM115
            self._file.write(f"{key}\n")

    def finish(self, covered: Collection[str]) -> None:
        """The round has come to its end for `covered`: the next one reads that again."""
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
                self._file = None
            rest = self.load().difference(covered)
            if rest:
                temporary = f"{self.path}.{os.getpid()}"
                with open(temporary, "w", encoding="ascii", errors="replace") as file:
                    file.writelines(f"{key}\n" for key in sorted(rest))
                os.replace(temporary, self.path)
            elif os.path.exists(self.path):
                os.unlink(self.path)

    def forget(self) -> None:
        """Begin anew."""
        with suppress(OSError):
            os.unlink(self.path)
