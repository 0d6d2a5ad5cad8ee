"""``hubfold move``."""

from __future__ import annotations

import os
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
    cache: str | None
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
        ("hubfold move --cache ~/.cache/huggingface --to /mnt/large/hub", "a whole cache, with its vault"),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option(
    "--to", required=True, metavar="CACHE", help="The cache that they go to; it need not be there yet."
)
@click.option("--from", "source", metavar="CACHE", help="Which cache they leave, where several have them.")
@click.option("--all-of", metavar="CACHE", help="Every model of this cache.")
@click.option("--cache", metavar="CACHE", help="All of this cache, with what only its vault has.")
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

    Links elsewhere that read a model through a vault are led to the copy. With --cache those go too that read what no
    model of it has any more: nothing outside needs the old cache then, or what does is told.

    The same command goes on with a move that was cut short. `hubfold recall` or `hubfold undo` brings a model back.
    """
    chosen = [
        name for name, value in (("--all-of", where.all_of), ("--cache", where.cache)) if value is not None
    ]
    if bool(models) + len(chosen) != 1:
        raise UsageError(_wrong(models, chosen), "see `hubfold move --help`")
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        plan = engine.plan_move(
            models,
            where.to,
            source=where.cache or where.all_of or where.source,
            whole=where.cache is not None,
            min_size=where.min_size,
            pace=where.limit_rate,
        )
        preview = engine.preview_move(plan)
        show(output, preview, full=session.full)
        if not tell.goes_on(session, preview, question(preview), nothing=not preview.models):
            return None
        report = engine.apply_move(plan)
    output.report(report)
    return result(output, report)


def _wrong(models: tuple[str, ...], chosen: list[str]) -> str:
    if models and chosen:
        return f"{chosen[0]} moves every model: no MODEL goes with it"
    if chosen:
        return "--cache has all that --all-of moves: give one of them"
    return "give MODELs, --all-of CACHE or --cache CACHE"


def question(preview: MoveReport) -> str:
    """What is asked before it is done."""
    return f"Move {_count(preview)} to {preview.target} and free {display.size(preview.freed)}?"


def _count(report: MoveReport) -> str:
    models = [one for one in report.models if one.revisions]
    alone = len(report.models) - len(models)
    told = display.count(len(models), "model")
    return f"{told} and {display.count(alone, 'vault object')}" if alone else told


def show(output: Output, preview: MoveReport, *, full: bool = False) -> None:
    """What would be copied, what becomes a link, what stays."""
    if preview.models:
        output.table(
            [
                Column("MODEL", name=True),
                Column("SIZE", right=True),
                Column("COPY", right=True),
                Column("FREES", right=True),
                Column("FROM"),
            ],
            [
                [
                    one.name if one.revisions else f"vault object {os.path.basename(one.name)[:12]}",
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
        f"moved {_count(report)} to {output.place(report.target)}: "
        f"{display.size(report.copied)} copied, {display.size(report.freed)} freed",
        "bold",
    )
    for one in report.models:
        back = f"recall {one.name}" if one.revisions else f"undo {one.run}"
        output.message(f"run {one.run}; `hubfold {back}` brings it back")
    if report.interrupted:
        output.message("stopped before the end: every model is whole; the same command goes on from here")
        return INTERRUPTED
    return code or None
