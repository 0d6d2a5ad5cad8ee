"""What all commands share: their flags, their help with examples, and a session with an engine that Ctrl-C can stop."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hubfold import display
from hubfold.cli import prose, streams
from hubfold.cli.errors import INTERRUPTED, SOME_LEFT
from hubfold.cli.guests import shut_out
from hubfold.cli.output import Output
from hubfold.cli.shell import completion
from hubfold.errors import Interrupted, UsageError
from hubfold.progress import Stop

if TYPE_CHECKING:
    from types import FrameType

    from hubfold.engine.engine import Engine

Example = tuple[str, str]
#: Options that a `Session` has, for the commands that take them.
_OF_SESSION = frozenset({"dry_run", "yes", "full", "threads", "executor"})
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """One command line: its output, its engine, and the flags that mean the same for every command that has them."""

    output: Output
    dry_run: bool = False
    yes: bool = False
    full: bool = False
    threads: int | None = None
    executor: str | None = None
    stop: Stop = field(default_factory=Stop)
    #: A plugin did something wrong: what it was asked about is left out.
    plugin_failed: bool = False
    #: Ctrl-C came twice.
    _aborting: bool = False

    @contextmanager
    def engine(self, *, silent: bool = False) -> Iterator[Engine]:
        """An engine that draws progress and that the first Ctrl-C stops between two actions.

        At its end its notices are printed, but for a `silent` one.
        """
        from hubfold.engine.engine import Engine

        if self.threads and self.executor:
            raise UsageError("--threads and --executor both say who reads", "give one of them")
        with (
            Engine(
                progress=self.output.progress(),
                stop=self.stop,
                guests=shut_out,
                executor=f"threads:{self.threads}" if self.threads else self.executor,
            ) as engine,
            streams.interrupts(self._on_interrupt),
        ):
            try:
                yield engine
            finally:
                self.plugin_failed |= bool(engine.faults)
                for notice in (
                    (*engine.notices, *(fault.line for fault in engine.faults)) if not silent else ()
                ):
                    self.output.warning(notice)

    def confirm(self, question: str) -> bool:
        """See `Output.confirm`."""
        return self.output.confirm(question)

    @contextmanager
    def ended_by_interrupt(self) -> Iterator[None]:
        """Ctrl-C is the way to end what goes on for ever, and no error."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stop:
                signal.default_int_handler(number, frame)
            self.stop.set()

        with streams.interrupts(stop), suppress(Interrupted):
            yield

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stop.anywhere:
            _say(b"\nstopped: what is there stays, and the same command goes on from here\n")
            # An exception would wait for the threads of the client, each at a file that may take hours.
            os._exit(INTERRUPTED)
        if self.stop and self._aborting:
            # A plugin that swallows even that: whatever is half done, the next command settles as after a crash.
            os._exit(INTERRUPTED)
        if self.stop:
            self._aborting = True
            signal.default_int_handler(number, frame)
        self.stop.set()
        _say(b"\nstopping after what is being done now; Ctrl-C again aborts at once\n")


def _say(text: bytes) -> None:
    """Not through a buffered stream: the handler of a signal may have interrupted a write to it."""
    with suppress(OSError):
        os.write(streams.STDERR, text)


#: Not called by its name below, which is that of what writes a file.
_broken_into_lines = click.HelpFormatter.write_text


class _Formatter(click.HelpFormatter):
    """Breaks lines inside of no command and no flag."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prose.glued(prog), prose.glued(args), prefix)

    def write_text(self, text: str) -> None:
        _broken_into_lines(self, prose.glued(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(first, prose.glued(text)) for first, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        return prose.unglued(super().getvalue())


class _Context(click.Context):
    formatter_class = _Formatter


class HelpWithExamples(click.Command):
    """A command whose help ends in examples, kept as they are typed."""

    context_class = _Context

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        for parameter in self.params:
            completion.attach(parameter)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, or as many of its clauses as fit; never words cut off."""
        sentence = " ".join((self.help or "").split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        if len(sentence) > limit:
            sentence = sentence.partition(": ")[0]
        while len(sentence) > limit:
            end = max(sentence.rfind(mark) for mark in (", ", "; ", " and ", " ("))
            if end <= 0:
                return super().get_short_help_str(limit)
            sentence = sentence[:end].rstrip(",;")
        return sentence

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        column = max((len(line) for line, _ in self.examples), default=0) + 2
        fits = all(column + len(meaning) + 2 <= formatter.width for _, meaning in self.examples)
        with formatter.section("Examples"):
            indent = " " * formatter.current_indent
            for line, meaning in self.examples:
                formatter.write(
                    f"{indent}{line:{column}}{meaning}\n"
                    if fits
                    else f"{indent}{line}\n{indent}    {meaning}\n"
                )


class CommandGroup(HelpWithExamples, click.Group):
    """A command with commands below it; a name mistyped gets the nearest ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        self.named(ctx, args[0])
        return super().resolve_command(ctx, args)

    def named(self, ctx: click.Context, name: str) -> click.Command:
        """The command of this name. Raises `click.UsageError`, with the nearest names, where there is none."""
        if (found := self.get_command(ctx, name)) is not None:
            return found
        import difflib

        near = difflib.get_close_matches(name, self.list_commands(ctx), n=3, cutoff=0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise click.UsageError(f"no command is called {name!r}{meant}", ctx)


def as_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """The callback of an option that takes a size: ``500M``, ``1.5GiB``, ``10GB``."""
    if value is None:
        return None
    try:
        return display.parse_size(value)
    except UsageError as error:
        raise click.BadParameter(f"{error}: {error.hint}", ctx, param) from error


def as_age(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """The callback of an option that takes a time span, in seconds: ``7d``, ``90m``; a number alone is hours."""
    try:
        return float(value) * 3600 if value.replace(".", "", 1).isdecimal() else display.parse_duration(value)
    except UsageError as error:
        raise click.BadParameter(f"{error}: {error.hint}", ctx, param) from error


def output_options(function: Function) -> Function:
    """Add --json, -q and --no-color, and hand the function a `Session` made of them and of its other flags.

    Given before the command or after it, a flag counts.
    """
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")(
        _shared_options(function)
    )


def _shared_options(function: Function) -> Function:
    """The same without --json, for what reports nothing."""

    @click.option("-q", "--quiet", is_flag=True, help="Print only errors; of a list, only the names.")
    @click.option("--no-color", is_flag=True, help="No colour and no progress bar (as with NO_COLOR).")
    @functools.wraps(function)
    def with_session(quiet: bool, no_color: bool, as_json: bool = False, **kwargs: Any) -> Any:
        ctx = click.get_current_context()
        above: Output | None = ctx.find_object(Output)
        output = Output(
            as_json=as_json or (above is not None and above.as_json),
            quiet=quiet or (above is not None and above.quiet),
            plain=no_color or (above is not None and above.plain),
        )
        ctx.obj = output
        if ctx.invoked_subcommand is None and (output.as_json or not output.quiet):
            streams.check_stdout()
        flags = {name: kwargs.pop(name) for name in _OF_SESSION & kwargs.keys()}
        session = Session(output, **flags)
        code = function(session=session, **kwargs)
        return SOME_LEFT if session.plugin_failed and not code else code

    return with_session  # type: ignore[return-value]


def command(
    name: str, *, examples: Sequence[Example], reports: bool = True
) -> Callable[[Callable[..., Any]], HelpWithExamples]:
    """A command with the shared flags; its function takes `session` and returns the exit code.

    One that reports nothing (it prints a text of ours) has no --json.
    """

    def decorate(function: Callable[..., Any]) -> HelpWithExamples:
        flagged = output_options if reports else _shared_options
        return click.command(name, cls=HelpWithExamples, examples=examples)(flagged(function))

    return decorate


def paths(function: Function) -> Function:
    """PATH..., as many as the user likes."""
    return click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.UNPROCESSED)(function)


def gathered(**parts: type[Any] | Callable[[], type[Any]]) -> Callable[[Function], Function]:
    """Hand the options that are fields of a dataclass over as one argument. Stands right above the function.

    A field that a command has no option for has its default.
    A dataclass that a list of commands need not have loaded is given by a function that loads it.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def with_parts(**kwargs: Any) -> Any:
            for name, given in parts.items():
                part = given if isinstance(given, type) else given()
                kwargs[name] = part(
                    **{one.name: kwargs.pop(one.name) for one in fields(part) if one.name in kwargs}
                )
            return function(**kwargs)

        return with_parts  # type: ignore[return-value]

    return decorate


def _scope() -> type[Any]:
    from hubfold.content import Scope

    return Scope


def scope(function: Function) -> Function:
    """--only, --exclude, --include and --all-files, for commands that look at the files of roots; one `Scope`.

    Stands right above the function, or above what is gathered there.
    """
    function = gathered(scope=_scope)(function)
    for flag, text in (
        ("--all-files", "Of plain folders everything, not just model files."),
        ("--only", "PATH alone: copies in known roots do not count."),
    ):
        function = click.option(flag, is_flag=True, help=text)(function)
    for flag, text in (
        ("--include", "Of plain folders only files like this, whatever they are (may be repeated)."),
        ("--exclude", "Leave out what is like this; patterns as in .gitignore (may be repeated)."),
    ):
        function = click.option(flag, multiple=True, metavar="GLOB", help=text)(function)
    return function


def threads(function: Function) -> Function:
    """--threads, which the session has."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="How many files are read at a time (default: as the drive likes).",
    )(function)


def executor(function: Function) -> Function:
    """--executor, which the session has."""
    return click.option(
        "--executor",
        metavar="WORKERS",
        help="Readers: processes:N, dask:tcp://HOST:PORT, dask:local[:N], dask:slurm?queue=Q, mpi (default: threads).",
    )(function)


def min_size(function: Function) -> Function:
    return click.option(
        "--min-size",
        callback=as_size,
        default="1MiB",
        show_default=True,
        metavar="SIZE",
        help="Leave smaller files alone.",
    )(function)


def full(function: Function) -> Function:
    """--full, which the session has."""
    return click.option("--full", is_flag=True, help="List every file on a terminal too.")(function)


def before_change(function: Function) -> Function:
    """--dry-run and -y, for commands that change something; the session has them."""
    function = click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)
    return click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")(function)
