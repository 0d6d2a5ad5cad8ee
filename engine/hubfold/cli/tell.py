"""What several commands tell in the same words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from hubfold import display
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.guests import stdout

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.content import Scope
    from hubfold.engine.engine import Engine
    from hubfold.json_form import JsonForm
    from hubfold.reports.outcomes import Failed, Left, Notice
    from hubfold.reports.runs import RecoverReport, UndoReport
    from hubfold.reports.scans import Space, Unreferenced

#: The figures that are told though they are 0.
_ALWAYS = ("in caches", "in local copies", "total", "duplicate", "after folding")
#: The last word of a dry run.
DRY_RUN = "this was a dry run: nothing was changed"
#: How many paths a terminal gets of a list that is not the point of the command.
FEW = 3


def left_alone(
    output: Output, left: Iterable[tuple[str, str]], *, full: bool = False, noun: str = "file"
) -> None:
    """Paths that stay as they are, by reason; on a terminal a few of each unless `full`."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in left:
        by_reason.setdefault(reason, []).append(path)
    for reason, paths in by_reason.items():
        output.line(f"left alone, {display.count(len(paths), noun)}: {reason}")
        some(output, paths, full=full)


def parts_of(output: Output, paths: Iterable[str], roots: Iterable[str]) -> None:
    """Paths that a layout takes for a part of a store: it is one root, and all of it is meant."""
    above = [(root, os.path.join(os.path.realpath(root), "")) for root in roots]
    for path in paths:
        real = os.path.realpath(path)
        for root, folder in above:
            if real.startswith(folder):
                output.message(f"{path} is a part of {root}, which is one root: all of it is meant")


def some(output: Output, paths: Sequence[str], *, full: bool = False, indent: str = "  ") -> None:
    """Paths, or lines about them, indented; on a terminal a few of them unless `full`."""
    shown = paths if full or not stdout().isatty() else paths[:FEW]
    for path in shown:
        label, path = _labelled(path)
        output.line(f"{indent}{label}", path=output.place(path, full=full))
    if len(shown) < len(paths):
        output.line(f"{indent}and {len(paths) - len(shown):,} more (--full lists them)")


def _labelled(text: str) -> tuple[str, str]:
    """(what is said of it, a path that may have any spaces)."""
    start = 0 if text.startswith("/") else text.find(" /") + 1
    return (text[:start], text[start:]) if start or text.startswith("/") else (text, "")


def space(output: Output, found: Space, reclaimable: int, *, about: str = "") -> None:
    """Where the bytes are: in caches, in local copies, in all; what duplicates take, and what is left without them."""
    after = found.total_bytes - reclaimable
    rows = [
        ("in caches", found.cache_bytes, ""),
        ("in local copies", found.copy_bytes, ""),
        ("kept by vaults alone", found.vault_bytes, "`hubfold gc` tells which of it nothing needs"),
        ("total", found.total_bytes, ""),
        ("duplicate", reclaimable, about),
        ("after folding", after, ""),
        ("saved so far", found.saved_bytes or 0, "by folds that were not taken back"),
    ]
    sizes = [
        (display.size(size), f"  {what}{f' ({note})' if note else ''}")
        for what, size, note in rows
        if size or what in _ALWAYS
    ]
    width = max(len(size) for size, _ in sizes)
    for size, what in sizes:
        output.line(f"{size:>{width}}{what}")


def unreferenced(output: Output, found: Sequence[Unreferenced]) -> None:
    """What no model refers to, each with the command that frees it or the folder of programs that it lies in."""
    if not found:
        return
    output.line("no model refers to:")
    width = max(len(display.size(one.bytes)) for one in found)
    for one in found:
        how = f": `{one.command}` frees it" if one.command else f" in {output.place(one.path or '')}"
        output.line(
            f"{display.size(one.bytes):>{width}}  {one.what}, {display.count(one.files, 'file')}{how}"
        )


def goes(output: Output, paths: Sequence[str], folders: Sequence[str] = (), *, full: bool = False) -> None:
    """Every path that goes, folders with a slash at their end; on a terminal a few of them unless `full`."""
    every = [*paths, *(os.path.join(folder, "") for folder in folders)]
    if every:
        output.line(f"what goes, {display.count(len(every), 'path')}:")
        some(output, every, full=full)


def warnings(output: Output, found: Iterable[Notice]) -> None:
    """What could not be read, or is odd."""
    for warning in found:
        output.warning(warning.line)


def reasons(left: Iterable[Left]) -> list[tuple[str, str]]:
    return [(item.path, item.reason) for item in left]


def failures(output: Output, failed: Sequence[Failed]) -> int:
    """List what went wrong, on stderr and with `-q` too; returns the exit code that this makes."""
    for failure in failed:
        output.warning(f"left alone because of an error: {failure.path}: {failure.error}")
    return SOME_LEFT if failed else 0


def waits(output: Output, report: UndoReport) -> int:
    """Say that a run stays open for what is away; returns the exit code that this makes."""
    if not report.waiting:
        return 0
    files = display.count(len(report.waiting), "file")
    output.message(
        f"{files} of it cannot be looked at now: `hubfold undo {report.run}` goes on when they can"
    )
    return SOME_LEFT


def recovered(output: Output, report: RecoverReport) -> None:
    """What an earlier crash had left and what became of it."""
    if not report.runs:
        return
    output.message(
        f"recovered {display.count(len(report.runs), 'unfinished run')}: "
        f"{display.count(len(report.finished), 'action')} finished, {len(report.rolled_back):,} rolled back"
    )
    for left in report.left:
        output.warning(f"{left.path}: {left.reason}")
    if report.waiting:
        output.message(
            "what cannot be looked at now is tried again by every command; connect its drive, "
            "or give it up: hubfold recover --forget"
        )


def recover_first(session: Session, engine: Engine, *, asks: bool = True) -> None:
    """Tidy up after a crash before anything is looked at, unless this command line may change nothing at all."""
    if not session.dry_run and (not asks or session.yes or session.output.can_ask):
        recovered(session.output, engine.recover())


def next_command(command: str, paths: Sequence[str], scope: Scope, *same: str) -> str:
    """The next command, about what this one was about; `same` are options that it gets as this one got them."""
    flags = [flag for flag, given in (("--only", scope.only), ("--all-files", scope.all_files)) if given]
    for name, globs in (("--include", scope.include), ("--exclude", scope.exclude)):
        flags += [word for glob in globs for word in (name, glob)]
    return shlex.join(["hubfold", *command.split(), *_given(same), *flags, *paths])


def _given(names: Sequence[str]) -> Iterator[str]:
    """These options, as far as they were typed."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in names or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        for one in value if isinstance(value, tuple) else (value,):
            yield from (parameter.opts[0],) if one is True else (parameter.opts[0], str(one))


def goes_on(
    session: Session,
    preview: JsonForm,
    question: str | Callable[[], bool],
    *,
    nothing: bool,
    dry: str = DRY_RUN,
) -> bool:
    """Whether a command does what its preview says: it is no dry run, there is something to do, and the user agrees.

    `question`, or what asks it. `dry` is the last word of a dry run. Where it ends here, JSON has the preview.
    """
    output = session.output
    if session.dry_run or nothing:
        output.report(preview)
        if dry and not (nothing or output.as_json):
            output.message(dry)
        return False
    return question() if callable(question) else agreed(session, question, preview)


def agreed(session: Session, question: str, preview: JsonForm | None = None) -> bool:
    """Whether to go on: `-y`, or a yes at the terminal. Where nobody can be asked, JSON still has the preview."""
    output = session.output
    if preview is not None and not session.yes and not output.can_ask:
        output.report(preview)
    output.deliver()
    if session.yes or session.confirm(question):
        return True
    output.message("nothing was changed")
    return False
