"""``hubfold check``.

``--json``: ``{"models": [{"name", "id", "revision", "status": "cached"|"incomplete"|"missing"|"unknown", "path",
"root", "size_bytes", "expected_bytes", "missing": [{"name", "bytes", "partial_bytes", "reason"}], "missing_bytes",
"near", "copies": [{"path"}], "reclaimable_bytes", "elsewhere", "place", "away"}], "whole", "cache", "free_bytes",
"reserve_bytes", "disk_bytes", "there", "readable", "writable", "anywhere", "unconfigured": [{"id", "size_bytes",
"state"}], "places": [{"name", "cache", "used_bytes", "limit_bytes", "away"}], "recommendations": [{"kind":
"download"|"resume"|"broken"|"elsewhere"|"placed"|"unreadable"|"unwritable"|"connect"|"duplicate"|"reserve"|"space"|
"limit", "message", "command", "model"}], "warnings": [{"path", "message"}]}``; what is not known is null. `place` and
`away` are there for a model that is registered at a place, `places` where somebody named some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.guests import stdout
from hubfold.cli.output import Column
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.models import CheckedModel, CheckReport

_FEW_FILES = 5


_STYLES = {"cached": "green", "incomplete": "yellow", "missing": "red", "unknown": "yellow"}


@options.command(
    "check",
    examples=[
        ("hubfold check", "the models that config.toml names, in the cache that programs load from"),
        ("hubfold check org/model datasets/org/data", "these"),
        ("hubfold check --in /srv/models", "in the cache of another program: its folder, or its HF_HOME"),
        ("hubfold check --anywhere", "whole in any root is enough"),
        (
            "hubfold check -q || hubfold download --missing",
            "for a script: nothing is printed, exit code 3 if one is not whole",
        ),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option(
    "--in",
    "cache",
    metavar="CACHE",
    help="Whole in this cache (default: the one that this environment loads from).",
)
@click.option("--anywhere", is_flag=True, help="Whole in any root is enough.")
def command(session: Session, models: tuple[str, ...], cache: str | None, anywhere: bool) -> int | None:
    """Tell whether models are whole where a program would load them: cached, incomplete or missing; and what to do.

    Without MODEL, those of [models] in config.toml. The cache is the one that HF_HUB_CACHE or HF_HOME names, and
    for a model that `download --into` put elsewhere that cache too; one that is whole in another root only is told,
    and `download` brings it here without fetching it again.

    Needs no network: a model is held against its listing where the client kept one, else against the shards and parts
    that its indexes name and against open downloads; a model without weights is not whole, and of texts alone it is
    `unknown` whether that is all. What `verify` found corrupt is not whole until it is mended. Where only some files
    are wanted (`include` and `exclude` of a model in config.toml, or `download --include`), those have to be there.
    Exit code 3 if one of them is not whole. Less free space than `reserve` in config.toml is told.
    """
    if cache is not None and anywhere:
        raise UsageError("--in and --anywhere exclude each other", "give one of them")
    output = session.output
    with session.engine(silent=output.quiet) as engine:
        report = engine.check(models, cache=cache, anywhere=anywhere)
    output.report(report)
    if not output.as_json:
        _show(output, report)
    return None if report.whole else SOME_LEFT


def _show(output: Output, report: CheckReport) -> None:
    columns = [
        Column("STATUS", styles=_STYLES),
        Column("SIZE", right=True),
        Column("MISSING", right=True),
        Column("MODEL"),
        Column("WHERE", below=True),
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
    elsewhere = any(model.status == "cached" and model.root != report.cache for model in report.models)
    where = f" in {report.cache}" if report.cache and not elsewhere else ""
    where = " anywhere" if report.anywhere else where
    output.line(f"{whole:,} of {display.count(len(report.models), 'model')} whole{where}", "bold")
    _cache(output, report)
    _places(output, report)
    for item in report.recommendations:
        output.line(f"{item.message}{': ' if item.command else ''}{item.command}")
    if not output.quiet:
        tell.warnings(output, report.warnings)


def _cache(output: Output, report: CheckReport) -> None:
    """What the cache takes, what is free beside it, and what else is in it."""
    if report.there is False:
        output.line(f"{report.cache} is not there yet")
    if report.disk_bytes is not None and report.free_bytes is not None:
        reserve = f", {display.size(report.reserve_bytes)} of it in reserve" if report.reserve_bytes else ""
        output.line(
            f"the cache takes {display.size(report.disk_bytes)}, {display.size(report.free_bytes)} free{reserve}"
        )
    if report.unconfigured:
        told = [f"{one.id} ({display.size(one.bytes)})" for one in report.unconfigured]
        shown = told if not stdout().isatty() else told[:_FEW_FILES]
        more = f" and {len(told) - len(shown):,} more" if len(shown) < len(told) else ""
        output.line(f"in the cache and not in config.toml: {', '.join(shown)}{more}")


def _places(output: Output, report: CheckReport) -> None:
    """What the places hold of what they may, and which of them are away."""
    for place in report.places:
        called = f"{place.name} ({place.cache})" if place.name else place.cache
        if place.away:
            output.line(f"{called} is away: its drive is not there")
        elif place.limit_bytes is not None and place.used_bytes is not None:
            output.line(
                f"{called} holds {display.size(place.used_bytes)} of {display.size(place.limit_bytes)}"
            )


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
