"""How long work tells how far it is, and how it is asked to stop. The engine prints nothing."""

from __future__ import annotations

import threading
from typing import Protocol

from hubfold.errors import Interrupted


class Progress(Protocol):
    """Receives progress; the command line draws a bar with it, a program may log."""

    def start(self, task: str, total: int | None, unit: str) -> None:
        """A stage begins: `task` is a short phrase, `total` in `unit` ("bytes", "files"), None if unknown."""

    def advance(self, amount: int) -> None:
        """`amount` more of the unit is done. May be called from several threads."""

    def finish(self) -> None:
        """The stage is over."""


class Silent:
    """Progress that goes nowhere."""

    def start(self, task: str, total: int | None, unit: str) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def finish(self) -> None:
        pass


class Stop:
    """A request to stop, set by Ctrl-C or another thread, asked for between two steps that are each whole."""

    def __init__(self) -> None:
        self._event = threading.Event()
        #: What is being done now is whole at every instant and may take long: nobody has to wait for its end.
        self.anywhere = False
        self._reason = ""

    def set(self, reason: str = "") -> None:
        """Ask for it; `reason` is told where it was not the user."""
        self._reason = self._reason or reason
        self._event.set()

    def forget(self) -> None:
        """Nobody asks for a stop any more: what it was meant for is over."""
        self._event.clear()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until a stop is asked for."""
        self._event.wait(seconds)

    def check(self) -> None:
        """Raise `Interrupted` if a stop was asked for."""
        if self._event.is_set():
            raise Interrupted(
                self._reason or "stopped before the end",
                "what was done stays done; the same command goes on from here",
            )
