"""``hubfold move``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import INTERRUPTED
from hubfold.cli.output import Column
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.moves import MoveReport


@dataclass(frozen=True, slots=True)
class Where:
    """From where to where, and how fast."""

    to: str
    source: str | None
    all_of: str | None
    limit_rate: int | None
    min_size: int


@options.command(
    "move",
    examples=[
        ("hubfold move org/model --to /mnt/slow/hub --dry-run", "what would be copied, and what that frees"),
        ("hubfold move org/model --to /mnt/slow/hub", "the same, then ask, then do it"),
        (
            "hubfold move org/a org/b --to /mnt/slow/hub --limit-rate 50MB -y",
            "two of them, not at full speed",
        ),
        ("hubfold move --all-of ~/.cache/huggingface/hub --to /mnt/slow/hub", "every model of a cache"),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option(
    "--to", required=True, metavar="CACHE", help="The cache that they go to; it need not be there yet."
)
@click.option("--from", "source", metavar="CACHE", help="Which cache they leave, where several have them.")
@click.option("--all-of", metavar="CACHE", help="Every model of this cache.")
@click.option(
    "--limit-rate", callback=options.as_size, metavar="SIZE", help="Copy no more than this a second (50MB)."
)
@options.min_size
@options.full
@options.before_change
@options.gathered(where=Where)
def command(session: Session, models: tuple[str, ...], where: Where) -> int | None:
    """Move models to another cache, on another drive as it were; programs find them in both.

    A model is copied, each file compared with its digest and synced, and only then do the files where it was become
    links to the copy, compared byte for byte right before. So it loads from its old place all the while and afterwards,
    and is whole in one place after a crash. Files below --min-size stay in both.

    The same command goes on with a move that was cut short. `hubfold recall` or `hubfold undo` brings a model back.
    """
    if bool(models) == (where.all_of is not None):
        raise UsageError(
            "give MODELs, or --all-of CACHE"
            if not models
            else "--all-of moves every model: no MODEL goes with it",
            "see `hubfold move --help`",
        )
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        plan = engine.plan_move(
            models,
            where.to,
            source=where.all_of if where.all_of is not None else where.source,
            min_size=where.min_size,
            pace=where.limit_rate,
        )
        preview = engine.preview_move(plan)
        show(output, preview, full=session.full)
        number = display.count(len(preview.models), "model")
        question = f"Move {number} to {preview.target} and free {display.size(preview.freed)}?"
        if not tell.goes_on(session, preview, question, nothing=not preview.models):
            return None
        report = engine.apply_move(plan)
    output.report(report)
    return result(output, report)


def show(output: Output, preview: MoveReport, *, full: bool = False) -> None:
    """What would be copied, what becomes a link, what stays."""
    if preview.models:
        output.table(
            [
                Column("MODEL"),
                Column("SIZE", right=True),
                Column("COPY", right=True),
                Column("FREES", right=True),
                Column("FROM"),
            ],
            [
                [
                    one.name,
                    *map(display.size, (one.bytes, one.copied, one.freed)),
                    output.place(one.source, full=full),
                ]
                for one in preview.models
            ],
        )
        paths = [path for one in preview.models for path in one.links]
        output.line(f"what becomes a link, {display.count(len(paths), 'file')}:")
        tell.some(output, paths, full=full)
    tell.left_alone(output, tell.reasons(preview.left), full=full, noun="model")
    if any(one.links and not one.freed for one in preview.models):
        output.line("note: on one drive both places get one file with two names: nothing is freed")
    if preview.models:
        output.line(
            f"{display.size(preview.copied)} to copy to {output.place(preview.target, full=full)}, "
            f"{display.size(preview.freed)} to free",
            "bold",
        )
    else:
        output.line("nothing to move", "bold")


def result(output: Output, report: MoveReport) -> int | None:
    """How it went; the exit code."""
    code = tell.failures(output, report.failed)
    tell.left_alone(output, tell.reasons(report.left), noun="path")
    output.line(
        f"moved {display.count(len(report.models), 'model')} to {output.place(report.target)}: "
        f"{display.size(report.copied)} copied, {display.size(report.freed)} freed",
        "bold",
    )
    for one in report.models:
        output.message(f"run {one.run}; `hubfold recall {one.name}` brings it back")
    if report.interrupted:
        output.message("stopped before the end: every model is whole; the same command goes on from here")
        return INTERRUPTED
    return code or None
