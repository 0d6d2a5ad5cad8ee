"""``hubfold report``.

``--json``: ``{"made_at", "host", "space", "reclaimable_bytes", "roots": [ROOT], "models": [{"id", "state",
"size_bytes", "physical_bytes", "freed_bytes", "last_accessed", "last_modified", "places": [{"root", "path",
"state"}]}], "duplicates": [SET], "set_count", "unreferenced": [...], "map": [{"path", "backend", "bytes", "models":
[{"id", "bytes", "files": [{"name", "bytes", "duplicate"}]}]}], "warnings": [{"path", "message"}]}``, where "space" is
that of ``hubfold scan``, ROOT that of ``hubfold roots`` and SET that of ``hubfold dupes``; with ``--html``
``{"path", "bytes"}`` of what was written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.page import document
from hubfold.cli.tables import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.engine.engine import Engine
    from hubfold.reports.overview import Overview

#: Rows of a list in the text; the page and the JSON have all.
_ROWS = 10


@options.command(
    "report",
    examples=[
        ("hubfold report", "the largest models and duplicates, and what is away or broken"),
        ("hubfold report --html report.html", "all of it as one page, to look at or to show"),
        ("hubfold report --json", "the same for a script"),
    ],
)
@click.option("--html", "page", metavar="FILE", help="Write a page that needs nothing else; - prints it.")
def command(session: Session, page: str | None) -> None:
    """Tell where the space goes: by place, model and file, what is there twice, what is away or broken.

    Scans the roots first. The page has all of it, with a picture, tables that sort, and nothing from the network.
    """
    output = session.output
    with session.engine() as engine:
        if page not in (None, "-"):
            engine.check_page(page, document.MARK)
        overview = engine.overview()
        if page is not None:
            _write(session.output, engine, overview, page)
            return
    if output.as_json:
        output.json(overview.as_json())
    elif not output.quiet:
        _show(output, overview)


def _write(output: Output, engine: Engine, overview: Overview, to: str) -> None:
    text = document.page(overview)
    if to == "-":
        output.page(text)
        return
    engine.write_page(to, text, document.MARK)
    size = len(text.encode())
    if output.as_json:
        output.json({"path": os.path.abspath(to), "bytes": size})
    else:
        output.line(f"{display.size(size)} written to ", path=to)


def _show(output: Output, overview: Overview) -> None:
    if not overview.roots:
        output.line("No cache was found here: `hubfold scan PATH` names a folder with models.")
        return
    tell.space(output, overview.space, overview.reclaimable_bytes)
    models = sorted(overview.models, key=lambda model: -model.physical_bytes)
    if models:
        output.line()
        columns = [
            Column("MODEL", name=True),
            *(Column(title, right=True) for title in ("SIZE", "ON DISK", "FREES")),
            Column("STATE"),
        ]
        sizes = display.size
        rows = [
            [one.id, sizes(one.bytes), sizes(one.physical_bytes), sizes(one.freed_bytes or 0), str(one.state)]
            for one in models[:_ROWS]
        ]
        output.table(columns, rows)
        _rest(output, len(models), "model", "hubfold ls")
    if overview.set_count:
        output.line()
        columns = [
            Column("FREES", right=True),
            Column("SIZE", right=True),
            Column("COPIES", right=True),
            Column("FILE"),
        ]
        rows = [
            [
                display.size(freed),
                display.size(duplicates.size),
                str(len(duplicates.payloads)),
                output.place(duplicates.replicas[0].path),
            ]
            for duplicates, freed in overview.duplicates.sets[:_ROWS]
        ]
        output.table(columns, rows)
        _rest(output, overview.set_count, "duplicate set", "hubfold dupes")
    for root in overview.away:
        output.line("away: " if root.away else f"{root.error}: ", path=root.path)
    if overview.unreferenced:
        output.line()
        tell.unreferenced(output, overview.unreferenced)
    tell.warnings(output, overview.warnings)
    output.message("next: hubfold report --html report.html")


def _rest(output: Output, count: int, noun: str, command: str) -> None:
    if count > _ROWS:
        output.line(f"and {display.count(count - _ROWS, f'more {noun}')}: `{command}`")
