"""``hubfold check``.

``--json``: ``{"models": [{"name", "id", "revision", "status": "cached"|"incomplete"|"missing"|"unknown", "path",
"root", "size_bytes", "expected_bytes", "missing": [{"name", "bytes", "partial_bytes", "reason"}], "missing_bytes",
"near", "copies": [{"path"}], "reclaimable_bytes"}], "whole", "cache", "free_bytes", "recommendations": [{"kind":
"download"|"resume"|"broken"|"unreadable"|"connect"|"duplicate"|"space", "message", "command", "model"}], "warnings":
[{"path", "message"}]}``; what is not known is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.guests import stdout
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.models import CheckedModel, CheckReport

_FEW_FILES = 5


@options.command(
    "check",
    examples=[
        ("hubfold check", "the models that config.toml names"),
        ("hubfold check org/model datasets/org/data", "these"),
        (
            "hubfold check -q || hubfold download --missing",
            "for a script: nothing is printed, exit code 3 if one is not whole",
        ),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
def command(session: Session, models: tuple[str, ...]) -> int | None:
    """Tell whether models are there as a whole: cached, incomplete or missing; where, and what to do.

    Without MODEL, those of [models] in config.toml. Needs no network: a model is held against its listing where the
    client kept one, else against the shards and parts that its indexes name and against open downloads; a model
    without weights is not whole, and of texts alone it is `unknown` whether that is all. What `verify` found corrupt
    is not whole until it is mended. Where only some files are wanted (`include` and `exclude` of a model in
    config.toml, or `download --include`), those have to be there. Exit code 3 if one of them is not whole.
    """
    output = session.output
    with session.engine(silent=output.quiet) as engine:
        report = engine.check(models)
    output.report(report)
    if not output.as_json:
        _show(output, report)
    return None if report.whole else SOME_LEFT


def _show(output: Output, report: CheckReport) -> None:
    if not output.quiet:
        tell.warnings(output, report.warnings)
    columns = [
        Column("STATUS"),
        Column("SIZE", right=True),
        Column("MISSING", right=True),
        Column("MODEL"),
        Column("WHERE"),
    ]
    output.table(
        columns,
        [
            [
                model.status,
                display.size(model.bytes) if model.status != "missing" else "",
                _missing(model),
                model.name if model.name == model.id else f"{model.name} ({model.id})",
                model.path or model.root or "",
            ]
            for model in report.models
        ],
    )
    for model in report.models:
        _files(output, model)
    output.line()
    whole = sum(model.status == "cached" for model in report.models)
    free = (
        f", {display.size(report.free_bytes)} free at {report.cache}" if report.free_bytes is not None else ""
    )
    output.line(f"{whole:,} of {display.count(len(report.models), 'model')} whole{free}", "bold")
    for item in report.recommendations:
        output.line(f"{item.message}{': ' if item.command else ''}{item.command}")


def _missing(model: CheckedModel) -> str:
    if model.status == "cached":
        return ""
    return display.size(model.missing_bytes) if model.missing_bytes is not None else "?"


def _files(output: Output, model: CheckedModel) -> None:
    shown = model.missing if not stdout().isatty() else model.missing[:_FEW_FILES]
    for file in shown:
        length = f" ({display.size(file.bytes)})" if file.bytes is not None and file.name else ""
        begun = f", {display.size(file.partial_bytes)} of it begun" if file.partial_bytes else ""
        output.line(f"{model.name}: {f'{file.name} ' if file.name else ''}{file.reason}{length}{begun}")
    if len(shown) < len(model.missing):
        output.line(f"{model.name}: and {display.count(len(model.missing) - len(shown), 'more file')}")
