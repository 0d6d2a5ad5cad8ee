"""``hubfold gc``."""

from __future__ import annotations

from collections.abc import Iterator
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
@options.full
@options.before_change
def command(session: Session, forget_machine: str | None) -> int | None:
    """Remove vault objects that no link needs.

    An object goes only when every link that was made to it was seen to be gone. What another machine noted, what lies
    on a drive that is away or below a folder that is missing, stays.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        preview = engine.preview_gc(forget_machine=forget_machine)
        given_up = [f"given up, noted by {forget_machine}: {path}" for path in preview.forgotten]
        tell.some(output, given_up, full=session.full, indent="")
        if forget_machine and not preview.forgotten:
            output.message(f"no vault has a link that {forget_machine} noted")
        what = "removing" if session.yes and not session.dry_run else "not needed"
        tell.some(output, list(_objects(preview, what)), full=session.full, indent="")
        tell.goes(output, preview.vault_files, preview.folders, full=session.full)
        objects = display.count(len(preview.removed), "object")
        size = display.size(preview.bytes)
        nothing = not (preview.removed or preview.forgotten)
        if session.dry_run or nothing:
            output.line(f"{objects} to remove, {size} to reclaim", "bold")
        question = f"Remove {objects}{_last(preview)} and reclaim {size}?"
        if not tell.goes_on(session, preview, question, nothing=nothing, dry=""):
            return None
        report = engine.gc(forget_machine=forget_machine)
    output.report(report)
    code = tell.failures(output, report.failed)
    output.line(
        f"removed {display.count(len(report.removed), 'object')}, reclaimed {display.size(report.bytes)}",
        "bold",
    )
    return code or None


def _objects(preview: GcReport, what: str) -> Iterator[str]:
    """A line for each object, the last copies first: they are seen where the rest is not."""
    last = set(preview.last_copies)
    for path in sorted(preview.removed, key=lambda path: path not in last):
        yield f"{what}{', the last copy of its content' if path in last else ''}: {path}"


def _last(preview: GcReport) -> str:
    number = len(preview.last_copies)
    return f", the last copies of {display.count(number, 'file')}," if number else ""
