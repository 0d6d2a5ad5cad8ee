"""``hubfold pin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.moves import PinReport


@options.command(
    "pin",
    examples=[
        ("hubfold pin org/model", "it stays on its drive, whatever `hubfold balance` has to move"),
        ("hubfold pin", "the models that are pinned"),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
def command(session: Session, models: tuple[str, ...]) -> None:
    """Let models stay where they are.

    `hubfold balance` moves no pinned model; `hubfold move` does, since you name it. Without MODEL the pinned ones are
    listed.
    """
    with session.engine() as engine:
        report = engine.pin(models) if models else engine.pins()
    show(session.output, report)


def show(output: Output, report: PinReport) -> None:
    output.report(report)
    for name in report.pinned:
        output.line(name)
    if not report.pinned:
        output.message("no model is pinned")
