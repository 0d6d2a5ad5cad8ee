"""``hubfold verify``."""

from __future__ import annotations

import click

from hubfold import display
from hubfold.cli import options
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.options import Session


@options.command(
    "verify",
    examples=[
        ("hubfold verify", "everything in the known roots"),
        ("hubfold verify org/model ~/models/model", "one model wherever it lies, and one folder"),
        ("hubfold verify --json", "for a script; exit code 3 where there is a problem"),
    ],
)
@click.argument("targets", nargs=-1, metavar="[PATH|MODEL]...", type=click.UNPROCESSED)
@click.option("--restart", is_flag=True, help="Read again what an interrupted verify has found good, too.")
@options.threads
@options.executor
def command(session: Session, targets: tuple[str, ...], restart: bool) -> int | None:
    """Read content again and compare it with what is known of it.

    Tells what was edited here from what is corrupt, where it can. Exit code 3 where there is any problem. After an
    interruption the same command goes on.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.verify(targets, restart=restart)
    output.report(report)
    if output.quiet and not output.as_json:
        output.names(problem.path for problem in report.problems)
    for problem in report.problems:
        output.line(f"{problem.kind}: ", "red", path=problem.path)
        output.line(f"  {problem.message}")
    if report.resumed:
        output.message(
            f"{display.count(report.resumed, 'file')} of them read before the interruption (--restart: again)"
        )
    read = f"{display.count(report.checked, 'file')} checked, {display.size(report.bytes_read)} read"
    output.line(
        f"{read}, {display.count(len(report.problems), 'problem') if report.problems else 'all good'}", "bold"
    )
    return SOME_LEFT if report.problems else None
