"""``hubfold undo``."""

from __future__ import annotations

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import INTERRUPTED
from hubfold.cli.options import Session


@options.command(
    "undo",
    examples=[
        ("hubfold undo --dry-run", "what the last run would take back, and the space it needs"),
        ("hubfold undo", "the last run, after a question"),
        ("hubfold undo 20260131-120000-ab12cd -y", "one of those that `hubfold runs` lists"),
    ],
)
@click.argument("run", required=False, metavar="[RUN]")
@click.option("--full", is_flag=True, help="List every file on a terminal too.")
@options.before_change
def command(session: Session, run: str | None, full: bool, dry_run: bool, yes: bool) -> int | None:
    """Take back the last run, or RUN.

    Every path gets its own copy again, with mode, owner, times and attributes as they were. A path that changed
    since is left alone; one that is on a drive that is away, or whose content is, waits for it, and the same command
    goes on with it then. Free space is checked first.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine, dry_run=dry_run, yes=yes)
        preview = engine.preview_undo(run)
        if not (output.as_json or yes):
            for path in preview.restored:
                output.line(f"restore {path}")
            tell.left_alone(output, tell.reasons(preview.left), full=full)
            for kept in preview.kept:
                output.line(f"{kept.path}: {kept.reason}")
        files = display.count(len(preview.restored), "file")
        # A run whose paths all changed since has to be ended too, or it would stand before the older ones for good.
        nothing = not (preview.restored or preview.left)
        if dry_run or nothing:
            if output.as_json:
                output.json(preview.as_json())
            elif nothing:
                output.line(f"nothing to take back in run {preview.run}", "bold")
            else:
                output.line(
                    f"run {preview.run}: {files}, {display.size(preview.bytes_needed)} needed", "bold"
                )
                output.message("this was a dry run: nothing was changed. Next: hubfold undo")
            return tell.failures(output, preview.failed) or tell.waits(output, preview) or None
        if not preview.restored and len(preview.left) == len(preview.waiting):
            if output.as_json:
                output.json(preview.as_json())
            elif yes:
                tell.left_alone(output, tell.reasons(preview.left), full=full)
            return tell.failures(output, preview.failed) or tell.waits(output, preview) or None
        question = f"Restore {files} of run {preview.run}, which takes {display.size(preview.bytes_needed)}?"
        if not preview.restored:
            question = f"Nothing of run {preview.run} can be restored. Leave its paths as they are for good?"
        if not tell.agreed(session, question, preview, yes=yes):
            return None
        report = engine.undo(preview.run)
    if output.as_json:
        output.json(report.as_json())
    elif yes:
        tell.left_alone(output, tell.reasons(report.left), full=full)
        for kept in report.kept:
            output.line(f"{kept.path}: {kept.reason}")
    code = tell.failures(output, report.failed) or tell.waits(output, report)
    output.line(f"restored {display.count(len(report.restored), 'file')} of run {report.run}", "bold")
    if report.interrupted:
        output.message(f"stopped before the end: `hubfold undo {report.run}` goes on from here")
        return INTERRUPTED
    return code or None
