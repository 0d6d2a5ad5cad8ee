"""What the commands do, lent to the view (`hubfold ui`): each with its own preview, question and last words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hubfold import display
from hubfold.cli import tables, tell
from hubfold.cli.commands import consolidate, move, rm, undo
from hubfold.cli.errors import INTERRUPTED
from hubfold.cli.output import Output
from hubfold.ui.lent import Done, Job, Line, Planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubfold.cli.tables import Column
    from hubfold.content import Marks
    from hubfold.engine.engine import Engine


class Page(Output):
    """What a command says, kept as lines instead of being printed; tables are as wide as `width` lets them be."""

    def __init__(self, width: int) -> None:
        super().__init__(plain=True)
        self.lines: list[Line] = []
        self._cells = width

    def line(self, text: str = "", style: str = "", *, path: str = "") -> None:
        """A line of data."""
        self.lines.append(Line(display.shown(text + path), style))

    def names(self, names: Iterable[str]) -> None:
        """A name a line."""
        self.lines += [Line(display.shown(name)) for name in names]

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """A table as a terminal shows it."""
        escaped = [[display.shown(cell) for cell in row] for row in rows]
        self.lines += [
            Line(line.text, "bold" if line.title else "")
            for line in tables.lines(columns, escaped, self._cells)
        ]

    def message(self, text: str) -> None:
        """Something to know."""
        self.lines.append(Line(display.shown(text)))

    def warning(self, text: str) -> None:
        """Something that may need the user."""
        self.lines.append(Line(display.shown(f"warning: {text}"), "yellow"))


class Jobs:
    """See `hubfold.ui.lent.Jobs`. `width` tells how wide the screen is."""

    def __init__(self, width: Callable[[], int]) -> None:
        self._width = width

    def fold(self, marks: Marks, min_size: int) -> Job:
        """As `hubfold consolidate`: the roots are scanned first."""

        def plan(engine: Engine) -> Planned:
            page = self._page(engine)
            engine.scan(min_size=min_size, promise=False)
            made = engine.plan_fold(marks, min_size=min_size)
            consolidate.show(page, made, full=True)

            def run(engine: Engine) -> Done:
                page = Page(self._width())
                report = engine.apply(made)
                consolidate.otherwise(page, engine.preview(made), report)
                code = consolidate.result(page, report)
                taken_back = report.run if report.actions else None
                return Done(page.lines, taken_back, code == INTERRUPTED)

            question = consolidate.question(made) if made.actions else ""
            return Planned(page.lines, question, run, undoable=True)

        return Job("fold", plan)

    def remove(self, marks: Marks) -> Job:
        """As `hubfold rm`."""

        def plan(engine: Engine) -> Planned:
            page = self._page(engine)
            made = engine.plan_removal(marks)
            preview = engine.preview_removal(made)
            rm.show(page, preview, full=True)

            def run(engine: Engine) -> Done:
                page = Page(self._width())
                code = rm.result(page, engine.apply_removal(made))
                return Done(page.lines, None, code == INTERRUPTED)

            return Planned(page.lines, rm.question(preview) if preview.models else "", run)

        return Job("remove", plan)

    def move_to(self, marks: Marks, to: str) -> Job:
        """As `hubfold move`."""

        def plan(engine: Engine) -> Planned:
            page = self._page(engine)
            made = engine.plan_move_of(marks, to)
            preview = engine.preview_move(made)
            move.show(page, preview, full=True)

            def run(engine: Engine) -> Done:
                page = Page(self._width())
                report = engine.apply_move(made)
                code = move.result(page, report)
                runs = [one.run for one in report.models if one.run]
                return Done(page.lines, runs[-1] if runs else None, code == INTERRUPTED)

            question = move.question(preview) if preview.models else ""
            return Planned(page.lines, question, run, undoable=True)

        return Job("move", plan)

    def pin(self, models: Sequence[str], pinned: bool) -> Job:
        """As `hubfold pin` and `hubfold unpin`."""
        what = display.count(len(models), "model")
        then = (
            "`hubfold balance` leaves them where they are"
            if pinned
            else "`hubfold balance` may move them again"
        )

        def run(engine: Engine) -> Done:
            found = engine.pin(models, pinned=pinned).pinned
            return Done([Line(f"{what} {'pinned' if pinned else 'unpinned'}; {len(found):,} in all", "bold")])

        def plan(engine: Engine) -> Planned:
            return Planned(
                [*map(Line, models), Line(f"{what}: {then}", "bold")],
                f"{'Pin' if pinned else 'Unpin'} {what}?" if models else "",
                run,
            )

        return Job("pin" if pinned else "unpin", plan)

    def undo(self, run: str | None) -> Job:
        """As `hubfold undo`."""

        def plan(engine: Engine) -> Planned:
            page = self._page(engine)
            preview = engine.preview_undo(run)
            undo.show(page, preview, full=True)
            ask = undo.question(preview)
            if not ask:
                page.line(f"nothing to take back in run {preview.run}", "bold")
                tell.waits(page, preview)
            return Planned(page.lines, ask, partial(self._taken_back, preview.run))

        return Job("undo", plan)

    def _taken_back(self, run: str, engine: Engine) -> Done:
        page = Page(self._width())
        code = undo.result(page, engine.undo(run))
        return Done(page.lines, None, code == INTERRUPTED)

    def _page(self, engine: Engine) -> Page:
        """A page to begin with; it tells what a crash had left, which every command tidies up first."""
        page = Page(self._width())
        tell.recovered(page, engine.recover())
        return page
