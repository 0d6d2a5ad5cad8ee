"""The one screen that a plan is looked at on, agreed to, and seen running; the question where to move, and the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, Static

from hubfold import display
from hubfold.ui.lent import Done, Job, Line, Planned
from hubfold.ui.table import Lines

if TYPE_CHECKING:
    from hubfold.ui.known import Known

_TICK = 0.2
_BAR = 30


class Review(Screen[bool]):
    """What a job would do; on a yes it does that. Left with whether anything may have changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "agree", show=False),
        Binding("n,escape,q,left,backspace", "refuse", show=False),
        Binding("enter", "go_on", show=False),
        Binding("u", "undo", show=False),
    ]

    def __init__(self, known: Known, job: Job) -> None:
        super().__init__()
        self.known = known
        self.job = job
        self.planned: Planned | None = None
        self.running = self.stopping = False
        self._changed = False
        self._done: Done | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="tabs", markup=False)
        yield Lines(id="plan")
        yield Static(id="question", markup=False)
        yield Static(id="status", markup=False)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(Lines).focus()
        self.set_interval(_TICK, self._tick)
        self._plan()

    def _plan(self) -> None:
        self.planned = self._done = None
        self.query_one("#tabs", Static).update(f"{self.job.name}: what would be done")
        self._say("planning …", "escape goes back")
        self.known.disks.ask("plan", self.job.plan, self._planned, self._failed)

    def _planned(self, planned: Planned) -> None:
        if not self.is_attached:
            return
        self.planned = planned
        self.query_one(Lines).show(planned.lines)
        if planned.question:
            back = " `u` takes it back then." if planned.undoable else ""
            self._say(f"{planned.question}{back}", "y do it  n do not  up/down look at all of it")
        else:
            self._say("there is nothing to do", "enter goes back")

    def _failed(self, error: Exception) -> None:
        self.running = self.stopping = False
        if not self.is_attached:
            return
        what, hint = self.known.lent.explain(error)
        self.query_one(Lines).show([Line(what, "red"), Line(hint)])
        self._done = Done(())
        self._say("it ended with an error", "enter goes back")

    def _say(self, question: str, keys: str) -> None:
        self.query_one("#question", Static).update(question)
        self.query_one("#keys", Static).update(keys)

    def action_agree(self) -> None:
        """Do it."""
        planned = self.planned
        if planned is None or not planned.question or self.running or self._done is not None:
            return
        self.running = self._changed = True
        self.query_one("#tabs", Static).update(f"{self.job.name}: running")
        self._say("", "q or ctrl+c stops after what is being done now; ctrl+c again aborts at once")
        self.known.disks.ask("run", planned.run, self._ran, self._failed)

    def _ran(self, done: Done) -> None:
        self.running = self.stopping = False
        self._done = done
        if not self.is_attached:
            return
        how = "stopped" if done.interrupted else "done"
        self.query_one("#tabs", Static).update(f"{self.job.name}: {how}")
        self.query_one(Lines).show(done.lines, end=True)
        self._say(how, "enter goes back" + (f"  u takes run {done.undo} back" if done.undo else ""))

    def stop(self) -> None:
        """Let what runs come to its next end, as the first Ctrl-C of a command does."""
        self.stopping = True
        self.known.disks.stop.set()
        self._say("stopping after what is being done now", "ctrl+c again aborts at once")

    def action_refuse(self) -> None:
        """Back; what runs is stopped instead, and its end is told."""
        if self.running:
            self.stop()
            return
        if self.planned is None and self._done is None:
            # A plan that takes long is given up.
            self.known.disks.drop("plan")
            if self.known.disks.doing == "plan":
                self.known.disks.stop.set()
        self.dismiss(self._changed)

    def action_go_on(self) -> None:
        """Back, where there is nothing to answer: a question wants a y."""
        if not self.running and (self._done is not None or (self.planned and not self.planned.question)):
            self.dismiss(self._changed)

    def action_undo(self) -> None:
        """Look at what taking this very run back would do."""
        if self._done is not None and self._done.undo:
            self.job = self.known.lent.jobs.undo(self._done.undo)
            self.query_one(Lines).show([])
            self._plan()

    def _tick(self) -> None:
        told = self.known.told
        text = ""
        if (self.running or self.planned is None) and self._done is None and told.task:
            text = f"{told.task}  {_bar(told.done, told.total, told.unit)}"
        self.query_one("#status", Static).update(text)


def _bar(done: int, total: int | None, unit: str) -> str:
    told = display.size(done) if unit == "bytes" else f"{done:,} {unit}"
    if not total:
        return told
    filled = min(_BAR, _BAR * done // total)
    whole = display.size(total) if unit == "bytes" else f"{total:,} {unit}"
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {told} of {whole}"


class Where(Screen[str]):
    """Where models are moved to."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False, priority=True)]

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.known = known

    def compose(self) -> ComposeResult:
        yield Static("move: where to?", id="tabs", markup=False)
        yield Input(placeholder="a place, or the folder of a cache; it need not be there yet", id="to")
        yield Lines(id="places")
        yield Static("enter goes on to the plan  escape goes back", id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.known.index.ask("places", lambda engine: engine.places(), self._show, self.known.failed)

    def _show(self, places: Sequence[object]) -> None:
        if self.is_attached:
            lines = [Line("places that are known:", "bold")]
            lines += [Line(f"  {one.called}  {one.cache}") for one in places]  # type: ignore[attr-defined]
            self.query_one(Lines).show(lines)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self.dismiss(message.value.strip())

    def action_leave(self) -> None:
        """Back."""
        self.dismiss("")


#: Every key with what it does.
KEYS = (
    ("up down, k j", "the row before, the next"),
    ("pageup pagedown, home end", "further"),
    ("enter, right, l, double click", "what is in it: models of a place, places of a model, files, copies"),
    ("left, h, backspace", "back"),
    ("tab, 1 2 3", "places, models, duplicates"),
    ("space, a click at the margin", "mark it, or not; marks stay while you look elsewhere"),
    ("a", "mark all that is seen"),
    ("c", "no marks"),
    ("/", "only what fits: words out of the name, the place, or what is said of it; escape shows all"),
    ("s, a click on a title", "sort by the next column, by this one"),
    ("r", "the other way round"),
    ("x", "of a place: what lies here stays, is neither marked nor replaced"),
    ("f", "fold: leave one copy, and a link in the place of each other (can be undone)"),
    ("d, delete", "remove (cannot be undone)"),
    ("m", "move to another place; it loads from both (can be undone)"),
    ("p", "pin: `hubfold balance` leaves it where it is; of pinned ones, unpin"),
    ("u", "take the last run back"),
    ("ctrl+r, f5", "scan again"),
    ("q, ctrl+c", "the end; while something runs: stop after what is being done now"),
)
_ABOUT = (
    "What is done with what is marked is shown first, as the command of that name shows it, and runs on a y.",
    "",
    "size: one copy; on disk: what it takes (of models that share files, its part of it); frees: what removing it",
    "alone would free, of a duplicate set what folding it would. What is marked is added up as one: what several of it",
    "share counts once, and what something else needs does not count. * is marked, - is marked in part.",
)


class Help(Screen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark,f1", "leave", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield Static("keys", id="tabs", markup=False)
        yield Lines(id="help")
        yield Static("escape goes back", id="keys", markup=False)

    def on_mount(self) -> None:
        width = max(len(keys) for keys, _ in KEYS)
        lines = [Line(f"{keys:{width}}  {what}") for keys, what in KEYS]
        self.query_one(Lines).focus()
        self.query_one(Lines).show([*lines, Line(""), *map(Line, _ABOUT)])

    def action_leave(self) -> None:
        """Back."""
        self.dismiss(None)
