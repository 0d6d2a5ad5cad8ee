"""``hubfold undo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import INTERRUPTED
from hubfold.cli.options import Session

if TYPE_CHECKING:
    from hubfold.cli.output import Output
    from hubfold.engine.engine import Engine
    from hubfold.reports.runs import UndoReport


@options.command(
    "undo",
    examples=[
        ("hubfold undo --dry-run", "what the last run would take back, and the space it needs"),
        ("hubfold undo", "the last run, after a question"),
        ("hubfold undo 20260131-120000-ab12cd -y", "one of those that `hubfold runs` lists"),
    ],
)
@click.argument("run", required=False, metavar="[RUN]")
@options.full
@options.before_change
def command(session: Session, run: str | None) -> int | None:
    """Take back the last run, or RUN.

    Every path gets its own copy again, with mode, owner, times and attributes as they were. A path that changed
    since is left alone; one that is on a drive that is away, or whose content is, waits for it, and the same command
    goes on with it then. Free space is checked first.
    """
    with session.engine() as engine:
        tell.recover_first(session, engine)
        return take_back(session, engine, run)


def take_back(session: Session, engine: Engine, run: str | None) -> int | None:
    """Show what taking a run back does, ask, and do it; the exit code."""
    output = session.output
    preview = engine.preview_undo(run)
    if not (output.as_json or session.yes):
        show(output, preview, full=session.full)
    files = _count(preview)
    ask = question(preview)
    waits = _waits(preview)
    size = display.size(preview.bytes_needed)
    if waits and session.yes:
        _stays(output, preview, full=session.full)
    elif not ask and not waits:
        output.line(f"nothing to take back in run {preview.run}", "bold")
    elif session.dry_run:
        output.line(f"run {preview.run}: {files}, {size} needed", "bold")
    dry = f"{tell.DRY_RUN}. Next: hubfold undo"
    if not tell.goes_on(session, preview, ask, nothing=not ask, dry=dry):
        looked = session.dry_run or not ask
        code = tell.failures(output, preview.failed) or tell.waits(output, preview)
        return code or None if looked else None
    report = engine.undo(preview.run)
    output.report(report)
    if session.yes:
        _stays(output, report, full=session.full)
    return result(output, report)


def show(output: Output, preview: UndoReport, *, full: bool) -> None:
    """What is restored, what goes, what stays as it is."""
    gone = set(preview.removed)
    restored = [f"restore {output.place(path, full=full)}" for path in preview.restored if path not in gone]
    tell.some(output, restored, full=full, indent="")
    tell.goes(output, preview.removed, preview.folders, full=full)
    _stays(output, preview, full=full)


def question(preview: UndoReport) -> str:
    """What is asked before it is done; "" where there is nothing to do, or all of it waits for a drive."""
    # A run whose paths all changed since has to be ended too, or it would stand before the older ones for good.
    ends = preview.open and not preview.failed
    if not (preview.restored or preview.left or ends) or _waits(preview):
        return ""
    if not preview.restored:
        return f"Nothing of run {preview.run} can be restored. Leave its paths as they are for good?"
    if preview.removed and set(preview.removed) >= set(preview.restored):
        return f"Remove {_count(preview)} that run {preview.run} made?"
    return (
        f"Restore {_count(preview)} of run {preview.run}, which takes {display.size(preview.bytes_needed)}?"
    )


def _waits(preview: UndoReport) -> bool:
    """Whether all that is left of it waits for what is away."""
    return bool(preview.waiting) and not preview.restored and len(preview.left) == len(preview.waiting)


def result(output: Output, report: UndoReport) -> int | None:
    """How it went; the exit code."""
    code = tell.failures(output, report.failed) or tell.waits(output, report)
    if report.removed and set(report.removed) >= set(report.restored):
        output.line(f"removed {_count(report)} that run {report.run} made", "bold")
    else:
        output.line(f"restored {_count(report)} of run {report.run}", "bold")
    if report.interrupted:
        output.message(f"stopped before the end: `hubfold undo {report.run}` goes on from here")
        return INTERRUPTED
    return code or None


def _count(report: UndoReport) -> str:
    """How many paths are as they were before the run: those at which there is nothing then, too."""
    noun = "path" if report.removed else "file"
    return display.count(len(report.restored), noun)


def _stays(output: Output, report: UndoReport, *, full: bool) -> None:
    """What is not taken back, and what of a path that is."""
    tell.left_alone(output, tell.reasons(report.left), full=full)
    for kept in report.kept:
        output.line(f"{kept.path}: {kept.reason}")
