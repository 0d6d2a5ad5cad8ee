"""``hubfold backup``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.transfers import BackedUpModel


@options.command(
    "backup",
    examples=[
        (
            "hubfold backup /mnt/usb/models",
            "every cached model, as a folder that the next backup goes on with",
        ),
        ("hubfold backup models.tar org/small org/large", "these two, as one file"),
        ("hubfold backup models.tar.zst --dry-run", "what it would hold, and how large"),
    ],
)
@click.argument("target", metavar="DIR|FILE.tar[.zst]", type=click.UNPROCESSED)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@options.executor
@options.before_change
def command(session: Session, target: str, models: tuple[str, ...]) -> int | None:
    """Back up models to a folder or a file, each content once.

    Each file is checked against its digest while it is read. A folder can be gone on with after an interruption, and
    extended later; a file is begun anew. A name with another ending than .tar and .tar.zst is refused; a folder of
    such a name ends in a slash. Nothing is written over, so nothing is asked. `hubfold restore` puts the models back,
    here or on another machine.
    """
    output = session.output
    with session.engine() as engine:
        plan = engine.plan_backup(target, models)
        preview = engine.preview_backup(plan)
        if session.dry_run or not preview.models:
            output.report(preview)
            show(output, preview.models)
            output.line(
                f"{display.count(len(preview.models), 'revision')}, {display.size(preview.bytes)}", "bold"
            )
            if not session.dry_run and not preview.failed:
                output.message("no root holds a model, so nothing was written")
            return tell.failures(output, preview.failed) or None
        tell.recovered(output, engine.recover())
        report = engine.backup(plan)
    output.report(report)
    show(output, report.models)
    count = display.count(len(report.models), "revision")
    output.line(
        f"{count} in {report.target}, {display.size(report.bytes)}; {display.size(report.written)} were written",
        "bold",
    )
    return tell.failures(output, report.failed) or None


def show(output: Output, models: tuple[BackedUpModel, ...]) -> None:
    """One line for each revision."""
    for model in models:
        files = display.count(model.files, "file")
        output.line(f"{model.name} ({model.revision[:12]}): {files}, {display.size(model.bytes)}")
