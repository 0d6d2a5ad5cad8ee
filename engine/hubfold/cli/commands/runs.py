"""``hubfold runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.runs import RunDetail


@options.command(
    "runs",
    examples=[
        ("hubfold runs", "past runs, the last one first"),
        ("hubfold runs 20260131-120000-ab12cd", "one run, action by action"),
        ("hubfold runs -q", "only their names"),
    ],
)
@click.argument("run", required=False, metavar="[RUN]")
def command(session: Session, run: str | None) -> None:
    """Show past runs, or one run action by action."""
    output = session.output
    with session.engine() as engine:
        if run is not None:
            _show_run(output, engine.run(run))
            return
        runs = engine.runs()
    if output.as_json:
        output.json({"runs": [summary.as_json() for summary in runs]})
    elif output.quiet:
        output.names(summary.run for summary in runs)
    elif not runs:
        output.line("no runs yet")
        output.message("next: hubfold consolidate --dry-run")
    else:
        output.table(
            [
                Column("STARTED"),
                Column("COMMAND"),
                Column("STATE"),
                Column("ACTIONS", right=True),
                Column("FREED", right=True),
                Column("RUN", below=True),
            ],
            [
                [
                    summary.started,
                    summary.command,
                    summary.state,
                    f"{summary.actions:,}",
                    display.size(summary.bytes),
                    summary.run,
                ]
                for summary in runs
            ],
        )


def _show_run(output: Output, detail: RunDetail) -> None:
    output.report(detail)
    if output.as_json:
        return
    if output.quiet:
        output.names(done.path for done, _ in detail.actions)
        return
    summary = detail.summary
    output.line(f"run {summary.run}: {summary.command}, started {summary.started}, {summary.state}", "bold")
    for done, state in detail.actions:
        output.line(f"{state}: {done.link}, {display.size(done.bytes)}: ", path=done.path)
        output.line(f"  reads {done.target}")
        output.line(f"  {done.reason}")
