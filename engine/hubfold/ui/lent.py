"""What the command line lends the view: engines, and each thing that can be done with what is marked, as a job.

A job's preview, its question and what it says afterwards are the command's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from hubfold.content import Marks
    from hubfold.engine.engine import Engine
    from hubfold.progress import Progress, Stop


class Line(NamedTuple):
    """A line that a command would print; `style` is "", ``bold``, ``yellow`` or ``red``."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command says when it is through. `told` is its summary; `undo` is the run that can be taken back."""

    lines: Sequence[Line]
    undo: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that was made and is shown: what is seen is what runs. No `question`: there is nothing to do."""

    lines: Sequence[Line]
    question: str
    run: Callable[[Engine], Done]
    #: What is done can be taken back.
    undoable: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done, by its name; making its plan changes nothing but what a crash left."""

    name: str
    plan: Callable[[Engine], Planned]


class Jobs(Protocol):
    """What can be done, each as the command of that name does it."""

    def fold(self, marks: Marks, min_size: int) -> Job: ...

    def remove(self, marks: Marks) -> Job: ...

    def move_to(self, marks: Marks, to: str) -> Job: ...

    def pin(self, models: Sequence[str], pinned: bool) -> Job: ...

    def undo(self, run: str | None) -> Job: ...


@dataclass(frozen=True, slots=True)
class Lent:
    """All of it."""

    engine: Callable[[Progress, Stop], AbstractContextManager[Engine]]
    jobs: Jobs
    #: What went wrong and what to do next, of an exception.
    explain: Callable[[BaseException], tuple[str, str]]
    #: Files under this many bytes are not folded.
    min_size: int
    #: The user's home, which paths are shown with ``~`` for.
    home: str = ""
