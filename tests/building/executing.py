"""A plan for copies of one blob, applied by the executor as the engine does it, and what it is told meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hubfold.folding.executor import Executor
from hubfold.folding.outcomes import Outcome
from hubfold.folding.plan import Action, Plan
from hubfold.folding.planner import Policy
from hubfold.journal import journal
from hubfold.progress import Silent, Stop
from tests.building.folding import Scene

MODEL = os.urandom(300_000)


class Folding(Scene):
    """A blob in a cache and copies of it, a plan for them, and what the executor is told and tells."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.models = self.root("models")
        self.blob = self.file(self.cache, "blobs/x", MODEL)
        self.copy = self.file(self.models, "m", MODEL)
        self.policy = Policy()
        self.locks: Callable[[Action], Sequence[str]] = lambda action: ()
        self.progress = Progress()
        self.stop = Stop()
        self.readers = 2

    def fold(self, *copies: Path) -> list[Outcome]:
        return self.run(self.plan(self.blob, *(copies or [self.copy]), policy=self.policy))

    def run(self, what: Plan) -> list[Outcome]:
        """As the engine: what is open in the journal stays open."""
        with journal.Journal.create(self.runs, "consolidate", "test") as book:
            return Executor(
                book, locks=self.locks, readers=self.readers, progress=self.progress, stop=self.stop
            ).apply(what)

    def errors(self, *copies: Path) -> list[str]:
        return [outcome.error for outcome in self.fold(*copies)]

    @property
    def state_of_journal(self) -> dict[int, str]:
        return self.log().states

    @property
    def temporaries(self) -> list[Path]:
        return list(self.models.rglob(".hubfold-*"))

    def is_as_before(self) -> bool:
        return not self.copy.is_symlink() and self.copy.read_bytes() == MODEL and self.temporaries == []


class Progress(Silent):
    def __init__(self) -> None:
        self.started: list[tuple[str, int | None, str]] = []
        self.total = 0
        self.finished = 0

    def start(self, task: str, total: int | None, unit: str) -> None:
        self.started.append((task, total, unit))

    def advance(self, amount: int) -> None:
        self.total += amount

    def finish(self) -> None:
        self.finished += 1
