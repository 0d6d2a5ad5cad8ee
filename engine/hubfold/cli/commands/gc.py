"""``hubfold gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.options import Session

if TYPE_CHECKING:
    from hubfold.reports.runs import GcReport


@options.command(
    "gc",
    examples=[
        ("hubfold gc --dry-run", "which vault objects no link needs, and what they take"),
        ("hubfold gc -y", "remove them without a question"),
        ("hubfold gc --forget-machine old-laptop", "give up what a machine that is gone for good noted"),
    ],
)
@click.option(
    "--forget-machine",
    metavar="NAME",
    help="Give up the links that this machine (its name or id) noted: it is gone for good.",
)
@options.before_change
def command(session: Session, forget_machine: str | None, dry_run: bool, yes: bool) -> int | None:
    """Remove vault objects that no link needs.

    An object goes only when every link that was made to it was seen to be gone. What another machine noted, what lies
    on a drive that is away or below a folder that is missing, stays.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine, dry_run=dry_run, yes=yes)
        preview = engine.preview_gc(forget_machine=forget_machine)
        for path in preview.forgotten:
            output.line(f"given up, noted by {forget_machine}: {path}")
        if forget_machine and not preview.forgotten:
            output.message(f"no vault has a link that {forget_machine} noted")
        for path in preview.removed:
            last = ", the last copy of its content" if path in preview.last_copies else ""
            output.line(f"{'not needed' if dry_run or not yes else 'removing'}{last}: {path}")
        objects = display.count(len(preview.removed), "object")
        if dry_run or not (preview.removed or preview.forgotten):
            if output.as_json:
                output.json(preview.as_json())
            output.line(f"{objects} to remove, {display.size(preview.bytes)} to reclaim", "bold")
            return tell.failures(output, preview.failed) or None
        question = f"Remove {objects}{_last(preview)} and reclaim {display.size(preview.bytes)}?"
        if not tell.agreed(session, question, preview, yes=yes):
            return None
        report = engine.gc(forget_machine=forget_machine)
    if output.as_json:
        output.json(report.as_json())
    code = tell.failures(output, report.failed)
    output.line(
        f"removed {display.count(len(report.removed), 'object')}, reclaimed {display.size(report.bytes)}",
        "bold",
    )
    return code or None


def _last(preview: GcReport) -> str:
    number = len(preview.last_copies)
    return f", the last copies of {display.count(number, 'file')}," if number else ""
