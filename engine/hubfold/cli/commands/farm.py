"""``hubfold farm``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.runs import FarmReport


@options.command(
    "farm",
    examples=[
        ("hubfold farm ~/models", "every cached model as ~/models/<org>/<name>/<file>"),
        ("hubfold farm ~/models org/small org/large", "only these"),
        ("hubfold farm ~/models --dry-run", "what would be added and removed"),
        ("hubfold farm --for PROGRAM DIR org/small", "the folder of another program, in its own layout"),
    ],
)
@click.option(
    "--for",
    "program",
    metavar="PROGRAM",
    help="DIR is a folder of this program (the name of its backend, see `hubfold plugins`).",
)
@click.argument("path", metavar="DIR", type=click.UNPROCESSED)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@options.full
@options.before_change
def command(session: Session, path: str, models: tuple[str, ...], program: str | None) -> int | None:
    """Build or refresh a folder of links, DIR/<org>/<name>/<file>, which takes no space.

    What is only added needs no question; links of ours that lead nowhere any more are removed after one.

    With --for, DIR gets those models that the program has a use for, where and under the names that it looks for them:
    symlinks, or where it takes none hard links, by which the file in the cache gets read-only. Nothing is copied. What
    lies there of anybody else stays, and so does what became the last copy of its content. `hubfold undo` takes it
    back.
    """
    output = session.output
    with session.engine() as engine:
        preview = engine.preview_farm(path, models, program=program)
        changes = bool(preview.added or preview.removed)
        if session.dry_run or not changes:
            report = preview
        else:
            tell.recover_first(session, engine, asks=bool(preview.removed))
            _show(output, preview, full=session.full)
            if preview.removed:
                links = display.count(len(preview.removed), "link")
                question = f"Remove {links} and add {len(preview.added):,} in {path}?"
                if not tell.agreed(session, question, preview):
                    return None
            report = engine.farm(path, models, program=program)
    output.report(report)
    if session.dry_run:
        tell.some(output, [f"add {link}" for link in report.added], full=session.full, indent="")
        _show(output, report, full=session.full)
    tell.left_alone(output, tell.reasons(report.left), full=session.full)
    code = tell.failures(output, report.failed)
    output.line(
        f"{report.path}: {len(report.added):,} added, {len(report.removed):,} removed, {report.kept:,} kept",
        "bold",
    )
    if session.dry_run and changes:
        output.message(tell.DRY_RUN)
    return code or None


def _show(output: Output, preview: FarmReport, *, full: bool) -> None:
    tell.some(output, [f"remove {link}" for link in preview.removed], full=full, indent="")
