"""``hubfold balance``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import INTERRUPTED, SOME_LEFT
from hubfold.cli.output import Column
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.engine.engine import Engine
    from hubfold.reports.moves import BalanceReport


@dataclass(frozen=True, slots=True)
class How:
    """How fast, which files, and how often."""

    limit_rate: int | None
    min_size: int
    watch: bool
    every: float


@options.command(
    "balance",
    examples=[
        ("hubfold balance --dry-run", "what would move where, and by what it is known that it is its turn"),
        ("hubfold balance", "the same, then ask, then do it"),
        ("hubfold balance --watch --every 6h -y", "for good, four times a day"),
    ],
)
@click.option(
    "--limit-rate", callback=options.as_size, metavar="SIZE", help="Copy no more than this a second (50MB)."
)
@click.option("--watch", is_flag=True, help="Go on for good: look again every so often; Ctrl-C ends it.")
@click.option(
    "--every",
    default="1h",
    callback=options.as_age,
    show_default=True,
    metavar="TIME",
    help="How often, with --watch.",
)
@options.min_size
@options.before_change
@options.gathered(how=How)
def command(session: Session, how: How) -> int | None:
    """Bring each place under its limit.

    The models that were used longest ago go to the next place that has room for them, as `hubfold move` moves them:
    they load from where they were, too. A use is a `hubfold download`, `path` or `check` of a model, or an access time
    where the drive keeps these; the table says which. Pinned models stay (`hubfold pin`), and what a program has open.
    What stands in the way of a limit is told, and the exit code is 3 then.
    """
    if how.watch and (session.dry_run or not session.yes):
        raise UsageError("--watch asks nobody and does what has to be done", "give -y, and no --dry-run")
    with session.engine() as engine:
        if not how.watch:
            return _once(session, engine, how)
        with session.ended_by_interrupt():
            while not session.stop:
                _once(session, engine, how)
                session.stop.wait(how.every)
    return None


def _once(session: Session, engine: Engine, how: How) -> int | None:
    output = session.output
    tell.recover_first(session, engine)
    plan = engine.plan_balance(min_size=how.min_size, pace=how.limit_rate)
    preview = engine.preview_balance(plan)
    if not preview.places:
        output.report(preview)
        output.line("no place has a limit", "bold")
        output.message("give one: hubfold roots add PATH --limit SIZE")
        return None
    show(output, preview)
    number, freed = display.count(len(preview.models), "model"), sum(one.freed for one in preview.models)
    question = f"Move {number} and free {display.size(freed)}?"
    if not tell.goes_on(session, preview, question, nothing=not preview.models):
        return SOME_LEFT if any(one.over for one in preview.places) and not preview.models else None
    report = engine.apply_balance(plan, min_size=how.min_size)
    output.report(report)
    return result(output, report)


def show(output: Output, preview: BalanceReport) -> None:
    """What each place holds, what goes where and why it, what stays."""
    _places(output, preview)
    if preview.models:
        output.table(
            [Column("MODEL"), Column("FREES", right=True), Column("LAST USED"), Column("BY"), Column("TO")],
            [
                [one.name, display.size(one.freed), _moment(one.used), one.known_by, output.place(one.target)]
                for one in preview.models
            ],
        )
    tell.left_alone(output, tell.reasons(preview.left), noun="model")
    if not preview.models:
        kept = all(not one.over for one in preview.places)
        output.line("every place is under its limit" if kept else "nothing can move", "bold")


def result(output: Output, report: BalanceReport) -> int | None:
    """How it went; the exit code."""
    code = tell.failures(output, report.failed)
    freed = sum(one.freed for one in report.models)
    output.line(f"moved {display.count(len(report.models), 'model')}, {display.size(freed)} freed", "bold")
    for one in report.places:
        if one.over:
            output.warning(f"{one.name} is {display.size(one.over)} over its limit still")
            code = code or SOME_LEFT
    tell.left_alone(output, tell.reasons(report.left), noun="model")
    if report.interrupted:
        output.message("stopped before the end: every model is whole; the same command goes on from here")
        return INTERRUPTED
    return code or None


def _places(output: Output, preview: BalanceReport) -> None:
    output.table(
        [
            Column("PLACE"),
            Column("HOLDS", right=True),
            Column("LIMIT", right=True),
            Column("OVER THEN", right=True),
        ],
        [
            [
                one.name,
                display.size(one.used),
                display.size(one.limit),
                display.size(one.over) if one.over else "",
            ]
            for one in preview.places
        ],
    )


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
