"""What the view knows: what its threads told so far, what is marked, and what that comes to.

All of it changes in the thread of the screen alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hubfold.content import Marks
from hubfold.reports.scans import DupesReport
from hubfold.ui import chosen, rows
from hubfold.ui.lanes import HandOver, Lane
from hubfold.ui.rows import Kind, Row, Shown

if TYPE_CHECKING:
    from hubfold.engine.engine import Engine
    from hubfold.engine.marking import Picture
    from hubfold.reports.pictures import Joint
    from hubfold.reports.scans import Remembered
    from hubfold.ui.lent import Lent

#: How many rows are added up before what a user asks for has its turn.
_AT_A_TIME = 20


class Told:
    """How far a thread is: written by it, read by the screen."""

    def __init__(self) -> None:
        self.task = ""
        self.unit = ""
        self.total: int | None = None
        self.done = 0

    def start(self, task: str, total: int | None, unit: str) -> None:
        self.done, self.total, self.unit, self.task = 0, total, unit, task

    def advance(self, amount: int) -> None:
        self.done += amount

    def finish(self) -> None:
        self.task = ""


class Known:
    """Asks the engine, and keeps what it answers. `changed` is called when there is something else to be seen."""

    def __init__(self, lent: Lent, hand_over: HandOver, changed: Callable[[], None]) -> None:
        self.lent = lent
        self.marks = Marks()
        #: What the last look at the disks told, and before the first one the index; None before both.
        self.shown: Shown | None = None
        self.looked = self.compared = False
        self._scanned: Sequence[Row] = ()
        self.dupes = DupesReport((), 0)
        self.sets: list[Row] = []
        self.frees: dict[str, int] = {}
        #: What removing, and what folding all that is marked frees; None until it is added up.
        self.removal: Joint | None = None
        self.folded: Joint | None = None
        self.notice = ""
        #: Of a first picture, seconds after the start: by memory, by the disks.
        self.seconds: dict[str, float] = {}
        self._began = time.monotonic()
        self._picture: Picture | None = None
        self.told = Told()
        self.index = Lane("index", lent.engine, Told(), hand_over)
        self.disks = Lane("disks", lent.engine, self.told, hand_over)
        #: Adds up what the last look found: what is to be done waits for no figure.
        self.sums = Lane("sums", lent.engine, Told(), hand_over)
        self._changed = changed

    def begin(self) -> None:
        """Show what the last scan saw, then ask the disks: no two threads at once want to be the first."""

        def without(error: Exception) -> None:
            self.failed(error)
            self.look()

        self.index.ask("remembered", lambda engine: engine.remembered(), self._remember, without)

    def end(self) -> None:
        """No thread does anything more; one that a drive keeps waiting is left to it."""
        for lane in self.lanes:
            lane.end()

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return self.index, self.sums, self.disks

    # what is known

    def _remember(self, known: Remembered) -> None:
        self.seconds["remembered"] = time.monotonic() - self._began
        before = rows.remembered(known)
        self._scanned = before.roots
        self.shown = before
        self._changed()
        self.look()

    def look(self) -> None:
        """Ask the disks for the models, and the index for the duplicates."""
        self.sums.drop("frees")
        self._picture = None
        self.add_up()

        def looked(engine: Engine) -> tuple[Picture, tuple[str, ...]]:
            picture = engine.picture()
            warned = (one.line for one in picture.figures.warnings)
            return picture, (*warned, *engine.notices, *(fault.line for fault in engine.faults))

        self.disks.ask("picture", looked, self._pictured, self.failed)
        least = self.lent.min_size
        self.index.ask("dupes", lambda engine: engine.dupes(min_size=least), self._set_out, self.failed)
        self._changed()

    def scan(self) -> None:
        """Walk the roots anew, then look."""
        least = self.lent.min_size

        def scanned(engine: Engine) -> Any:
            return engine.scan(min_size=least, promise=False)

        self.disks.ask("scan", scanned, lambda _: self.look(), self.failed)
        self._changed()

    def _pictured(self, found: tuple[Picture, tuple[str, ...]]) -> None:
        picture, told = found
        self.seconds["picture"] = time.monotonic() - self._began
        self._picture = picture
        self.shown = rows.shown(picture.figures, self._scanned)
        self.looked = True
        more = f" (and {len(set(told)) - 1:,} more: `hubfold ls` tells all)" if len(set(told)) > 1 else ""
        self.notice = f"{told[0]}{more}" if told else ""
        self.frees = {}
        self._keep_marks()
        self.add_up()
        self._changed()

    def _set_out(self, dupes: DupesReport) -> None:
        self.dupes, self.sets, self.compared = dupes, rows.sets(dupes), True
        self._keep_marks()
        self._changed()

    def _keep_marks(self) -> None:
        if self.shown is not None and self.looked:
            known = {row.key for row in self.sets} if self.compared else self.marks.sets
            self.change(chosen.only_there(self.marks, self.shown.places, known))

    def failed(self, error: Exception) -> None:
        """Something could not be told."""
        what, hint = self.lent.explain(error)
        self.notice = f"{what}: {hint}" if hint else what
        self._changed()

    # what rows free, a few at a time, when nothing else is asked for

    def add_up_rows(self, seen: Sequence[Row] = ()) -> None:
        """Ask what rows free, those that are `seen` first, and places last: all of one takes as long as all in it."""
        picture = self._picture
        # What is being added up now asks for the next when it is told.
        if picture is None or self.shown is None or self.sums.doing == "frees":
            return
        every = (*seen, *self.shown.places.values(), *self.shown.models)
        models = [row for row in every if row.kind is not Kind.ROOT and self._is_unknown(row)]
        some = models[:_AT_A_TIME] or list(filter(self._is_unknown, self.shown.roots))[:1]
        if some:
            each = {row.key: Marks(places=row.places, files=row.files) for row in some}
            self.sums.ask(
                "frees",
                lambda engine: (picture, engine.frees(picture, each)),
                self._freed,
                self.failed,
                last=True,
            )

    def _is_unknown(self, row: Row) -> bool:
        return bool(row.places or row.files) and row.key not in self.frees

    def _freed(self, found: tuple[Picture, dict[str, int]]) -> None:
        picture, frees = found
        if picture is self._picture:
            self.frees |= frees
            self._changed()

    # marks

    def change(self, marks: Marks) -> None:
        """Other marks: what they come to is added up, and until then not told."""
        if marks == self.marks:
            return
        self.marks = marks
        self.add_up()
        self._changed()

    def add_up(self) -> None:
        """Ask for the figures of all that is marked."""
        marks, picture, least = self.marks, self._picture, self.lent.min_size
        for key in ("removal", "fold"):
            self.sums.drop(key)
        self.removal = self.folded = None
        if not marks or picture is None:
            return
        self.sums.ask(
            "removal",
            lambda engine: (marks, engine.joint_removal(picture, marks)),
            self._added_up,
            self.failed,
        )
        self.sums.ask(
            "fold",
            lambda engine: (marks, engine.joint_fold(picture, marks, min_size=least)),
            self._folded,
            self.failed,
        )

    def _added_up(self, found: tuple[Marks, Joint]) -> None:
        marks, joint = found
        if marks == self.marks:
            self.removal = joint
            self._changed()

    def _folded(self, found: tuple[Marks, Joint]) -> None:
        marks, joint = found
        if marks == self.marks:
            self.folded = joint
            self._changed()
