"""``hubfold fleet``.

``--json``: ``{"files": [{"path", "host", "machine", "files", "age_seconds", "stale"}], "answers": {QUESTION: [{COLUMN:
value}]}, "warnings": [{"path", "message"}]}``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.output import Column
from hubfold.content import STALE_AFTER

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.fleet import Answer

#: Columns that are sizes, and those that are no figures.
_SIZES = frozenset({"bytes", "saved", "saved_between_hosts", "smallest", "largest"})
_TEXTS = frozenset({"host", "other_host", "model", "revision", "name", "root", "backend"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, of how many rows, and from which age in seconds a host is called stale."""

    model: str = ""
    show: tuple[str, ...] = ()
    limit: int = 20
    stale_after: float = STALE_AFTER


@options.command(
    "fleet",
    examples=[
        ("hubfold fleet /mnt/share/fleet", "what there is, how often, and what one shared cache would save"),
        ("hubfold fleet /mnt/share/fleet --model acme/base", "which hosts have this model"),
        ("hubfold fleet '/mnt/share/fleet/node*' --show only --json", "what only one host has, for a script"),
        ("hubfold fleet /mnt/share/fleet --show saves --explain", "the SQL, for DuckDB itself"),
    ],
)
@click.argument("places", nargs=-1, required=True, metavar="DIR|GLOB...", type=click.UNPROCESSED)
@click.option("--model", metavar="ORG/NAME", default="", help="Which hosts have this model, and where.")
@click.option(
    "--show",
    multiple=True,
    metavar="QUESTION",
    help="Only this: hosts, saves, held, only or differs (may be given more than once).",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many rows.")
@click.option(
    "--stale-after",
    callback=options.as_age,
    default=display.time_span(STALE_AFTER),
    show_default=True,
    metavar="AGE",
    help="Tell which hosts were scanned longer ago: 7d, 12h, 90m, or a number of hours.",
)
@click.option("--explain", is_flag=True, help="Print the SQL, and ask nothing.")
@options.gathered(asked=Asked)
def command(session: Session, places: tuple[str, ...], asked: Asked, explain: bool) -> None:
    """Tell what many hosts have, by what each wrote with `hubfold export`.

    hosts: what each has; saves: what one shared cache would save; held: which models are held how often; only: what
    only one host has; differs: files of a model that differ under one name. A file on a share counts once, whoever has
    the share mounted. Needs `pip install 'hubfold[fleet]'`.
    """
    output = session.output
    with session.engine() as engine:
        if explain:
            output.page(engine.explain_fleet(places, asked.show, model=asked.model))
            return
        report = engine.fleet(
            places, asked.show, model=asked.model, limit=asked.limit, stale_after=asked.stale_after
        )
    output.report(report)
    tell.warnings(output, report.warnings)
    for file in report.files:
        if file.stale:
            output.warning(f"{file.path}: {file.host} was scanned {_ago(file.age)}")
    if output.as_json:
        return
    for number, answer in enumerate(report.answers):
        if number:
            output.line()
        output.line(f"{answer.title}:", "bold")
        _table(output, answer)


def _table(output: Output, answer: Answer) -> None:
    if not answer.rows:
        output.line("nothing")
        return
    columns = [
        Column(_title(name), right=name not in _TEXTS, name=place == 0, below=name == "root")
        for place, name in enumerate(answer.columns)
    ]
    rows = [
        [_cell(name, value) for name, value in zip(answer.columns, row, strict=True)] for row in answer.rows
    ]
    output.table(columns, rows)


def _ago(seconds: float) -> str:
    """As in "3d ago", in the largest unit of which there are two or more."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit} ago"
    return "now"


def _title(name: str) -> str:
    return name.replace("_", " ").upper()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in _SIZES:
        return display.size(value)
    if name == "scanned":
        return _ago(time.time() - value)
    if name == "revision":
        return str(value)[:12]
    return f"{value:,}" if isinstance(value, int) else str(value)
