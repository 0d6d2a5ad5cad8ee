"""The one way out: data on stdout, progress and messages on stderr, as text for people or as JSON.

Every piece of text passes `display.shown`, so nothing that comes from a disk reaches a terminal as it is. Where stdout
is no terminal a line is as long as it has to be: paths are data and are never cut.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from hubfold import display
from hubfold.cli import prose, streams, tables
from hubfold.cli.guests import stdout
from hubfold.cli.tables import Column as Column
from hubfold.errors import Interrupted, NeedsConfirmation
from hubfold.progress import Silent

if TYPE_CHECKING:
    import rich.progress
    from rich.console import Console, RenderableType

    from hubfold.json_form import JsonForm
    from hubfold.progress import Progress

_ENDLESS = 1_000_000
_REFRESH_SECONDS = 0.1
_BLINK_SECONDS = 0.3


class Sheet(NamedTuple):
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

    def json_line(self, document: Any) -> None:
        """One of many JSON documents, on a line of its own; whoever reads along has it at once."""
        stdout().write(f"{display.as_json(document, indent=None)}\n")
        self.deliver()

    def report(self, report: JsonForm) -> None:
        """A report as the one JSON document, where JSON is asked for."""
        if self.as_json:
            self.json(report.as_json())

    def line(self, text: str = "", style: str = "", *, path: str = "") -> None:
        """One line of data for people; on a terminal it is broken between words, and a `path` at its end nowhere."""
        if not (self.quiet or self.as_json):
            self._sentence(stdout(), text, style, path)

    def names(self, names: Iterable[str]) -> None:
        """What `-q` leaves of a list: one name per line."""
        for name in names:
            self._print(stdout(), name)

    def page(self, text: str) -> None:
        """A text of ours as it is, for a command that is there to print it: `-q` does not count."""
        stdout().write(text if text.endswith("\n") else f"{text}\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows under their titles; on a terminal that is too narrow for that, each row as a block."""
        if self.quiet or self.as_json:
            return
        width = _width(stdout()) if stdout().isatty() else None
        for line in tables.lines(columns, _shown(rows), width):
            self._print(stdout(), line.text, "bold" if line.title else "", line.marks)

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
        """A view of its own on the terminal; what was there before comes back at the end.

        Names that do not fit are shortened and rows left out at the end, which is said; figures stay whole.
        """
        from rich.console import Console
        from rich.live import Live

        console = Console(file=stdout(), markup=False, emoji=False, highlight=False, no_color=self.plain)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield lambda sheet: live.update(_drawn(sheet, console.width, console.height), refresh=True)

    @property
    def to_terminal(self) -> bool:
        """Whether somebody looks at the data: what is long is shortened for him, and for nobody else."""
        return stdout().isatty()

    def place(self, path: str, *, full: bool = False) -> str:
        """A path, or a sentence with some, as people write it: with ``~`` for the home.

        Where a terminal shows it, and not all is asked for.
        """
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
        return sys.stdin is not None and sys.stdin.isatty() and streams.has_terminal()

    def deliver(self) -> None:
        """Write out what was said so far: before a change, or a wait. Raises `OutputLost`, `BrokenPipeError`."""
        streams.flush_stdout()

    def confirm(self, question: str) -> bool:
        """Ask; anything but y or yes is a no. Raises `NeedsConfirmation`, and what `ask` raises."""
        if not self.can_ask:
            raise NeedsConfirmation(
                "this would change something and there is nobody to ask; nothing was changed",
                "give -y to do it without a question, or --dry-run to only look",
            )
        return self.ask(f"{question} [y/N]").strip().lower() in ("y", "yes")

    def ask(self, question: str) -> str:
        """Ask on the terminal, wherever stderr goes, and read a line there; for a user who is there (`can_ask`).

        Ctrl-C ends the command at once, since what is asked about has not begun: raises `Interrupted`.
        """
        self.deliver()
        try:
            return self._answered(question)
        except KeyboardInterrupt:
            raise Interrupted("stopped at the question: nothing was changed") from None

    def _answered(self, question: str) -> str:
        with streams.terminal() as terminal, streams.interrupts(signal.default_int_handler):
            try:
                asked = prose.lines(display.shown(question), _width(terminal) - 1)
                terminal.write("\n".join(asked) + " ")
                terminal.flush()
                streams.wait_for_line()
                answer = sys.stdin.readline()
            except KeyboardInterrupt:
                terminal.write("\n")
                raise
            if not answer.endswith("\n"):
                terminal.write("\n")
        return answer

    # rich

    def _console(self, stream: TextIO) -> Console:
        from rich.console import Console

        return Console(
            file=stream,
            force_terminal=stream.isatty() and not self.plain,
            width=_width(stream) if stream is sys.stderr else _ENDLESS,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
        )

    def _note(self, text: str, style: str = "") -> None:
        """A line on stderr, after what it refers to; where stderr is full or gone, the work goes on without."""
        with suppress(OSError, ValueError):  # told where it is written out for good
            stdout().flush()
        try:
            self._sentence(sys.stderr, text, style)
            sys.stderr.flush()
        except OSError:
            streams.let_go(sys.stderr)

    def _sentence(self, stream: TextIO, text: str, style: str, path: str = "") -> None:
        text, path = display.shown(text), display.shown(path)
        parts = prose.lines(text, _width(stream), path) if stream.isatty() else [text + path]
        for part in parts:
            self._print(stream, part, style)

    def _print(
        self, stream: TextIO, text: str, style: str = "", marks: Sequence[tuple[int, int, str]] = ()
    ) -> None:
        """A line in one style; `marks` are parts of it that have another."""
        escaped = display.shown(text)
        if (style or marks) and stream.isatty() and not self.plain:
            from rich.text import Text

            drawn = Text(escaped, style)
            for first, end, colour in marks:
                drawn.stylize(colour, first, end)
            self._console(stream).print(drawn)
        else:
            stream.write(f"{escaped}\n")


def _width(stream: TextIO) -> int:
    """How many cells a line of this terminal has."""
    # Loads three compressors: not for who writes into a pipe.
    import shutil

    with suppress(OSError, ValueError):
        found = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(stream.fileno()).columns
        if found > 0:
            return found
    return shutil.get_terminal_size().columns


def _drawn(sheet: Sheet, width: int, height: int) -> RenderableType:
    from rich.text import Text

    drawn = [Text(part, "bold") for line in sheet.lines for part in _folded(display.shown(line), width)]
    for columns, rows in sheet.tables:
        if rows:
            drawn.append(Text())
            for line in tables.cut(columns, _shown(rows), width):
                drawn.append(Text(line.text, "bold" if line.title else ""))
    if len(drawn) > height:
        hidden = len(drawn) - height + 1
        drawn[height - 1 :] = [Text(f"and {display.count(hidden, 'more line')}", "bold")]
    return Text("\n", no_wrap=True, overflow="crop").join(drawn)


def _folded(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def _shown(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[display.shown(cell) for cell in row] for row in rows]


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
