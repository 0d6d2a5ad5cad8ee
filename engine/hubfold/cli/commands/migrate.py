"""``hubfold migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.commands.backup import show

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.transfers import MigrateReport

#: For people, what becomes of the old cache.
_THEN = {
    "leave": "{old} stays as it is",
    "move": "{old} is emptied then; no undo brings that back, migrating the other way does",
    "link": "files of {old} become links to what {new} has",
}
_HOW = {"hardlink": "shared", "reflink": "whose extents are shared", "copy": "to copy"}


@options.command(
    "migrate",
    examples=[
        (
            "hubfold migrate ~/.cache/huggingface ./cache --dry-run",
            "what would come into the project's cache",
        ),
        ("hubfold migrate ~/.cache/huggingface ./cache --how link", "and the old one keeps links"),
        ("hubfold migrate /old/hub /mnt/large/hub --how move -y", "and the old one is emptied"),
    ],
)
@click.argument("old", metavar="OLD", type=click.UNPROCESSED)
@click.argument("new", metavar="NEW", type=click.UNPROCESSED)
@click.option(
    "--how",
    type=click.Choice(list(_THEN)),
    default="leave",
    show_default=True,
    help="What becomes of OLD: it stays, is emptied, or keeps links.",
)
@options.full
@options.before_change
def command(session: Session, old: str, new: str, how: str) -> int | None:
    """Put a whole cache into another one.

    Every revision of every model and dataset comes over, what is in both once; on one file system no byte is copied.
    Each file is read and held against its name, and one that is corrupt does not go. What NEW has already stays, so the
    same command goes on after an interruption; a branch that both have names the commit that was written last. `hubfold
    undo` takes it back, but for what `--how move` emptied.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        plan = engine.plan_migrate(old, new)
        preview = engine.preview_migrate(plan, how)
        _show(session, output, preview)
        engine.check_adopt_space(plan)
        nothing = not preview.models
        question = _question(preview)
        if not tell.goes_on(session, preview, question, nothing=nothing):
            if nothing:
                output.message(f"{preview.old} has no model that could go")
            return tell.failures(output, preview.failed) or None
        report = engine.migrate(plan, how)
    output.report(report)
    tell.left_alone(output, tell.reasons(report.left[len(preview.left) :]), full=session.full)
    made, written = display.count(len(report.made), "path"), display.size(report.written)
    output.line(
        f"{display.count(len(report.models), 'revision')} in {report.new}: {made} made, {written} written",
        "bold",
    )
    if report.renewed:
        output.line(f"refs there that name the newer commit, {len(report.renewed)}")
    if report.links:
        output.line(f"{display.count(len(report.links), 'file')} of {report.old} read what {report.new} has")
    if report.removed:
        output.line(f"{display.count(len(report.removed), 'path')} of {report.old} removed")
    elif how == "move" and report.failed:
        output.message(f"{report.old} was not emptied, since not all of it came over")
    return tell.failures(output, report.failed) or None


def _question(preview: MigrateReport) -> str:
    what = f"Make {display.count(len(preview.made), 'path')}"
    if preview.renewed:
        what += f", change {display.count(len(preview.renewed), 'ref')}"
    emptied = f", and empty {preview.old}" if preview.how == "move" else ""
    return f"{what} in {preview.new}{emptied}?"


def _show(session: Session, output: Output, preview: MigrateReport) -> None:
    show(output, preview.models)
    for how, words in _HOW.items():
        files = [one for one in preview.reused if one.how == how]
        if files:
            size = display.size(sum(one.bytes for one in files))
            output.line(f"{display.count(len(files), 'file')} {words}, {size}")
    if preview.made:
        output.line(f"what is made in {preview.new}, {display.count(len(preview.made), 'path')}:")
        tell.some(output, preview.made, full=session.full)
    if preview.renewed:
        output.line(f"refs there that name the newer commit then, {len(preview.renewed)}:")
        tell.some(output, preview.renewed, full=session.full)
    tell.left_alone(output, tell.reasons(preview.left), full=session.full)
    if preview.models:
        output.line(_THEN[preview.how].format(old=preview.old, new=preview.new))
