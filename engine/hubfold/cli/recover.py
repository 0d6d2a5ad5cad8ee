"""``hubfold recover``."""

from __future__ import annotations

from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.options import Session


@options.command(
    "recover",
    examples=[
        ("hubfold recover", "finish or roll back what a crash left"),
        ("hubfold recover --json", "and say what became of it, for a script"),
    ],
)
def command(session: Session) -> int | None:
    """Finish or roll back what a crash left.

    Every command that changes something does this first, so it is needed only where nothing else is to be done.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.recover()
    if output.as_json:
        output.json(report.as_json())
    elif not report.runs:
        output.line("nothing to recover")
    tell.recovered(output, report)
    return SOME_LEFT if report.left else None
