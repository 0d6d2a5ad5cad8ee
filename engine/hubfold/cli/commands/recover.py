"""``hubfold recover``."""

from __future__ import annotations

import click

from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.options import Session


@options.command(
    "recover",
    examples=[
        ("hubfold recover", "finish or roll back what a crash left"),
        ("hubfold recover --json", "and say what became of it, for a script"),
        ("hubfold recover --forget", "give up what lies on a drive that is gone for good"),
    ],
)
@click.option("--forget", is_flag=True, help="Give up what cannot be looked at, and do not try it again.")
def command(session: Session, forget: bool) -> int | None:
    """Finish or roll back what a crash left.

    Every command that changes something does this first, so it is needed only where nothing else is to be done. What
    cannot be looked at, since its drive is away, waits and keeps nothing else from being done.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.recover(forget=forget)
    output.report(report)
    if not report.runs:
        output.line("nothing to recover")
    tell.recovered(output, report)
    return SOME_LEFT if report.left else None
