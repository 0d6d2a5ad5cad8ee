"""Threads that ask the engine, so that the screen waits for no disk.

A lane is one thread with an engine of its own, which does one thing after the other. What is asked for again before its
turn came is done once, as it was asked last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubfold.progress import Stop

if TYPE_CHECKING:
    from hubfold.engine.engine import Engine
    from hubfold.progress import Progress

#: Hands a call over to the thread of the screen.
HandOver = Callable[[Callable[[], object]], object]
#: How long the end of the program waits for a thread that asks a drive.
_PATIENCE = 1.0


@dataclass(slots=True)
class _Asked:
    key: str
    work: Callable[[Engine], Any]
    then: Callable[[Any], object]
    failed: Callable[[Exception], object]
    last: bool


class Lane:
    """One thread, one engine. Started with the first thing that it is asked."""

    def __init__(
        self,
        name: str,
        engine: Callable[[Progress, Stop], AbstractContextManager[Engine]],
        progress: Progress,
        hand_over: HandOver,
    ) -> None:
        self._engine = engine
        self._progress = progress
        self._hand_over = hand_over
        self._waiting: list[_Asked] = []
        self._wake = threading.Condition()
        self._ended = False
        self._broken: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        #: What is being done is asked to stop by this.
        self.stop = Stop()
        #: What is being done, "" for nothing.
        self.doing = ""

    def ask(
        self,
        key: str,
        work: Callable[[Engine], Any],
        then: Callable[[Any], object],
        failed: Callable[[Exception], object],
        *,
        last: bool = False,
    ) -> None:
        """Have something done when its turn comes; with `last`, when nothing else is asked for.

        `then`, or `failed`, is called in the thread of the screen.
        """
        if self._broken is not None:
            self._hand_over(_call(failed, self._broken))
            return
        with self._wake:
            if not self._thread.is_alive() and not self._ended:
                self._thread.start()
            self._waiting = [one for one in self._waiting if one.key != key]
            self._waiting.append(_Asked(key, work, then, failed, last))
            self._waiting.sort(key=lambda one: one.last)
            self._wake.notify()

    def drop(self, key: str) -> None:
        """Let go of what waits for its turn under this key."""
        with self._wake:
            self._waiting = [one for one in self._waiting if one.key != key]

    @property
    def idle(self) -> bool:
        with self._wake:
            return not (self.doing or self._waiting)

    def end(self) -> bool:
        """Stop what is being done, and do nothing more. False where a drive keeps the thread waiting."""
        with self._wake:
            self._ended = True
            self._waiting.clear()
            self._wake.notify()
        self.stop.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with self._engine(self._progress, self.stop) as engine:
                while (asked := self._next()) is not None:
                    self._do(engine, asked)
        except Exception as error:  # noqa: BLE001 - told on the screen, whatever it is
            with self._wake:
                waiting, self._waiting, self._ended, self._broken = self._waiting, [], True, error
            for one in waiting:
                self._hand_over(_call(one.failed, error))

    def _next(self) -> _Asked | None:
        with self._wake:
            self.doing = ""
            self._wake.wait_for(lambda: self._waiting or self._ended)
            if self._ended:
                return None
            asked = self._waiting.pop(0)
            self.doing = asked.key
            return asked

    def _do(self, engine: Engine, asked: _Asked) -> None:
        try:
            found = asked.work(engine)
        except Exception as error:  # noqa: BLE001 - told on the screen, whatever it is
            told = _call(asked.failed, error)
        else:
            told = _call(asked.then, found)
        with self._wake:
            # Before it is told: who hears it may ask for the next thing, by what is being done.
            self.doing = ""
            if not self._ended:
                # A stop was meant for what is over now.
                self.stop.forget()
        self._hand_over(told)


def _call(function: Callable[[Any], object], value: object) -> Callable[[], object]:
    return lambda: function(value)
