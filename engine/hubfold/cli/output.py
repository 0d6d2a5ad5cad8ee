"""The one way out: data on stdout, progress and messages on stderr, as text for people or as JSON.

Every piece of text passes `display.shown`, so nothing that comes from a disk reaches a terminal as it is. Where stdout
is no terminal a line is as long as it has to be: paths are data and are never cut.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

from hubfold import display
from hubfold.cli import streams
from hubfold.cli.guests import stdout
from hubfold.errors import NeedsConfirmation
from hubfold.progress import Silent

if TYPE_CHECKING:
    import rich.progress
    from rich.console import Console, RenderableType
    from rich.table import Table

    from hubfold.json_form import JsonForm
    from hubfold.progress import Progress

#: Room that the last column of a table needs; below it, a terminal gets one block of lines per row.
_LAST_COLUMN = 30
_ENDLESS = 1_000_000
_REFRESH_SECONDS = 0.1
_BLINK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The last one of a table holds what may be long: a path."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a live view shows at one moment: lines, then tables."""

    lines: Sequence[str]
    tables: Sequence[tuple[Sequence[Column], Sequence[Sequence[str]]]]


class Output:
    """Where a command sends what it has to say. `plain`: no colour and no bar, whatever the streams are."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, plain: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        for stream in (stdout(), sys.stderr):
            # A terminal that knows no UTF-8 gets an escape for what it cannot show, never a crash.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        self.plain = plain or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._warned: set[str] = set()

    # data

    def json(self, document: Any) -> None:
        """The one JSON document of a command."""
        stdout().write(f"{display.as_json(document)}\n")

    def report(self, report: JsonForm) -> None:
        """A report as the one JSON document, where JSON is asked for."""
        if self.as_json:
            self.json(report.as_json())

    def line(self, text: str = "", style: str = "") -> None:
        """One line of data for people."""
        if not (self.quiet or self.as_json):
            self._print(stdout(), text, style)

    def names(self, names: Iterable[str]) -> None:
        """What `-q` leaves of a list: one name per line."""
        for name in names:
            self._print(stdout(), name)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows under their titles; on a terminal that is too narrow for that, each row as a block."""
        if self.quiet or self.as_json:
            return
        shown = [[display.shown(cell) for cell in row] for row in rows]
        width = shutil.get_terminal_size().columns if stdout().isatty() else _ENDLESS
        fixed = sum(
            max([len(column.title), *(len(row[number]) for row in shown)]) + 2
            for number, column in enumerate(columns[:-1])
        )
        if fixed + _LAST_COLUMN > width:
            for row in shown:
                cells = zip(columns[:-1], row[:-1], strict=True)
                facts = [f"{column.title.strip().lower()} {cell}" for column, cell in cells if cell]
                self._print(stdout(), row[-1])
                self._print(stdout(), f"  {', '.join(facts)}")
        elif stdout().isatty():
            self._print_table(columns, shown)
        else:
            for line in _aligned(columns, shown):
                self._print(stdout(), line)

    def sheet(self, sheet: Sheet) -> None:
        """A sheet as it is now, tables without rows left out."""
        for line in sheet.lines:
            self.line(line, "bold")
        for columns, rows in sheet.tables:
            if rows:
                self.line()
                self.table(columns, rows)

    @property
    def can_draw(self) -> bool:
        """Whether a live view can be shown: somebody looks, and a plain text was not asked for."""
        return stdout().isatty() and not (self.quiet or self.as_json) and os.environ.get("TERM") != "dumb"

    @contextmanager
    def screen(self) -> Iterator[Callable[[Sheet], None]]:
        """A view of its own on the terminal; what was there before comes back at the end. What does not fit is cut."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=stdout(), markup=False, emoji=False, highlight=False, no_color=self.plain)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield lambda sheet: live.update(_drawn(sheet), refresh=True)

    @property
    def to_terminal(self) -> bool:
        """Whether somebody looks at the data: what is long is shortened for him, and for nobody else."""
        return stdout().isatty()

    def place(self, path: str, *, full: bool = False) -> str:
        """A path as people write it: with ``~`` for the home, where a terminal shows it and not all is asked for."""
        return path if full or not self.to_terminal else display.from_home(path, os.path.expanduser("~"))

    # messages

    def message(self, text: str) -> None:
        """Something to know, on stderr."""
        if not self.quiet:
            self._note(text)

    def warning(self, text: str) -> None:
        """Something that may need the user, told once; shown with `-q` too."""
        if text not in self._warned:
            self._warned.add(text)
            self._note(f"warning: {text}", "yellow")

    def told(self, text: str) -> None:
        """This is told in another way: it is no warning any more."""
        self._warned.add(text)

    def error(self, what: str, hint: str = "") -> None:
        """Two lines: what went wrong, and what to do next."""
        self._note(f"hubfold: {what}", "red")
        if hint:
            self._note(f"  {hint}")

    def progress(self) -> Progress:
        """A bar where somebody watches, silence elsewhere."""
        if not self.watched:
            return Silent()
        return Bar(self._console(sys.stderr))

    @property
    def watched(self) -> bool:
        """Whether somebody watches stderr who wants to see bars."""
        return not (self.quiet or self.plain) and sys.stderr.isatty()

    # questions

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to ask, who sees the question."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    def deliver(self) -> None:
        """Write out what was said so far, before something is changed. Raises `OutputLost`, `BrokenPipeError`."""
        streams.flush_stdout()

    def confirm(self, question: str) -> bool:
        """Ask on stderr, read from the terminal; anything but y or yes is a no. Raises `NeedsConfirmation`."""
        if not self.can_ask:
            raise NeedsConfirmation(
                "this would change something and there is nobody to ask; nothing was changed",
                "give -y to do it without a question, or --dry-run to only look",
            )
        return self.ask(f"{question} [y/N]").strip().lower() in ("y", "yes")

    def ask(self, question: str) -> str:
        """Ask on stderr, read a line from the terminal; for a user who is there (`can_ask`)."""
        self.deliver()
        sys.stderr.write(f"{display.shown(question)} ")
        sys.stderr.flush()
        streams.wait_for_line()
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):
            sys.stderr.write("\n")
        return answer

    # rich

    def _console(self, stream: TextIO) -> Console:
        from rich.console import Console

        return Console(
            file=stream,
            force_terminal=stream.isatty() and not self.plain,
            width=shutil.get_terminal_size().columns if stream is sys.stderr else _ENDLESS,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
        )

    def _note(self, text: str, style: str = "") -> None:
        """A line on stderr; where that is full or gone, the work goes on without."""
        try:
            self._print(sys.stderr, text, style)
            sys.stderr.flush()
        except OSError:
            streams.let_go(sys.stderr)

    def _print(self, stream: TextIO, text: str, style: str = "") -> None:
        escaped = display.shown(text)
        if style and stream.isatty() and not self.plain:
            from rich.text import Text

            self._console(stream).print(Text(escaped, style))
        else:
            stream.write(f"{escaped}\n")

    def _print_table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        from rich.segment import Segment
        from rich.table import Table
        from rich.text import Text

        table: Table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(Text(column.title), justify="right" if column.right else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console = self._console(stdout())
        for segments in console.render_lines(table, pad=False):
            # Cells are padded to the longest of their column; a terminal would wrap that padding into empty lines.
            while segments and not segments[-1].text.strip():
                segments.pop()
            if segments:
                text, style, control = segments[-1]
                segments[-1] = Segment(text.rstrip(), style, control)
            console.print(_Line(segments), end="")
            console.print()


def _aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table for what is no terminal: rich, which would draw the same, takes as long to import as a
    small scan."""
    table = [[column.title for column in columns], *rows]
    widths = [max(map(_width, cells)) for cells in zip(*table, strict=True)]
    for row in table:
        cells = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            space = " " * (width - _width(cell))
            cells.append(space + cell if column.right else cell + space)
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _drawn(sheet: Sheet) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(display.shown(line), "bold") for line in sheet.lines]
    for columns, rows in sheet.tables:
        if not rows:
            continue
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            justify: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(Text(column.title), justify=justify, no_wrap=True, overflow="ellipsis")
        for row in rows:
            table.add_row(*(Text(display.shown(cell)) for cell in row))
        parts += [Text(), table]
    return Group(*parts)


class _Line:
    """Segments that are printed as they are."""

    def __init__(self, segments: Sequence[Any]) -> None:
        self.segments = segments

    def __rich_console__(self, console: Console, options: object) -> Iterable[Any]:
        return self.segments


class Bar:
    """Progress as a bar on stderr: how much, how fast, how long still.

    It comes when a stage takes longer than a blink, and goes when the stage is over.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._stage: tuple[str, int | None, str] = ("", None, "")
        self._bar: rich.progress.Progress | None = None
        self._done = 0
        self._next = float("inf")

    def start(self, task: str, total: int | None, unit: str) -> None:
        self.finish()
        with self._lock:
            self._stage, self._done = (display.shown(task), total, unit), 0
            self._next = time.monotonic() + _BLINK_SECONDS

    def advance(self, amount: int) -> None:
        with self._lock:
            self._done += amount
            # A scan advances a million times; the bar is redrawn ten times a second.
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _REFRESH_SECONDS
            if self._bar is None:
                self._bar = self._drawn()
                _quietly(self._bar.start)
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def finish(self) -> None:
        with self._lock:
            bar, self._bar, self._next = self._bar, None, float("inf")
        if bar is not None:
            _quietly(bar.stop)

    def _drawn(self) -> rich.progress.Progress:
        from rich import progress

        task, total, unit = self._stage
        columns: list[progress.ProgressColumn] = [progress.TextColumn("{task.description}", markup=False)]
        if total is None:
            columns += [
                progress.SpinnerColumn(),
                progress.TextColumn(f"{{task.completed:,}} {unit}", markup=False),
            ]
        elif unit == "bytes":
            columns += [progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn()]
        else:
            columns += [
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn(unit, markup=False),
            ]
        if total is not None:
            columns.append(progress.TimeRemainingColumn())
        bar = progress.Progress(*columns, console=self._console, transient=True)
        bar.add_task(task, total=total)
        return bar


def _quietly(draw: Callable[[], None]) -> None:
    """A terminal that went away must not stop the work it shows."""
    try:
        draw()
    except OSError:
        return
