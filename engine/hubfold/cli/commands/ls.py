"""``hubfold ls``.

``--json``: ``{"models": [{"id", "repo_id", "repo_type", "state": "whole"|"incomplete"|"broken"|"offline", "cached",
"size_bytes", "physical_bytes", "freed_bytes", "refs", "last_accessed", "last_modified", "places": [{"root", "backend",
"role", "path", "size_bytes", "revisions": [REVISION]}]}], "physical_bytes", "warnings": [{"path", "message"}]}`` where
REVISION is ``{"revision", "refs", "path", "state", "judged_by": "listing"|"shards"|"files", "size_bytes", "file_count",
"missing": [{"name", "bytes", "partial_bytes", "reason"}], "missing_bytes", "last_modified"}``, with ``--files`` also
``"files": [{"name", "path", "bytes"}]``, and ``"selected": [{"include", "exclude"}]`` where it is held against what was
asked for of it, which was not all. With ``--revisions`` the rows of ``models`` are revisions, with "id",
"repo_id" and "repo_type". Times are seconds since the epoch; what is not known is null.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.models import Model, ModelPlace, ModelsReport, Revision

_COMMIT = 12


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows are shown, and in which order."""

    revisions: bool
    filters: tuple[str, ...]
    sort: str | None
    limit: int | None


@options.command(
    "ls",
    examples=[
        ("hubfold ls", "every model of every root"),
        ("hubfold ls --filter 'size>1GB' --filter 'accessed>30d' --sort size", "what could go"),
        ("hubfold ls org/model --files", "one model, file by file"),
        ("hubfold ls --revisions --json", "every revision, for a script"),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option("--revisions", is_flag=True, help="A row for each revision instead of one for each model.")
@click.option("--files", is_flag=True, help="Show the files of each one by one.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="EXPR",
    help="size>1GB, accessed>7d, modified<2w, type=model, refs=main or state=broken; several have to hold all.",
)
@click.option(
    "--sort",
    metavar="KEY",
    help="accessed, modified, name or size; append :asc or :desc (default: by name).",
)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show the first N only.")
@options.gathered(rows=Rows)
def command(session: Session, models: tuple[str, ...], rows: Rows, files: bool) -> None:
    """Show the models of all roots: caches, local copies and farms.

    SIZE is one copy of the model, ON DISK its share of the disks (what several models use counts in parts), FREED what
    `hubfold rm MODEL` would free now. Broken models are shown as such, and half-downloaded ones as incomplete; one of
    which only some files were asked for (by `download --include`, or in config.toml) is whole with those. Asks the
    disks, reads no content, changes nothing; --filter, --sort and --limit are those of `hf cache ls`.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.models(
            models, filters=rows.filters, sort=rows.sort, limit=rows.limit, revisions=rows.revisions
        )
    if output.as_json:
        output.json(report.as_json(files=files))
        return
    if output.quiet:
        output.names(dict.fromkeys(_name(model, revision) for model, revision in report.rows))
        return
    tell.warnings(output, report.warnings)
    if not report.rows:
        output.line("no models" if not (models or rows.filters) else "no model fits")
        return
    if rows.revisions:
        _revisions(output, report)
    else:
        _models(output, report)
    if files:
        _files(output, report)
    output.line()
    output.line(
        f"{display.count(len(report.models), 'model')}, {display.size(report.physical_bytes)} on disk", "bold"
    )
    if any(model.state == "broken" for model in report.models):
        output.message("broken: `hubfold check MODEL` says what is wrong")


def _name(model: Model, revision: Revision | None) -> str:
    return model.id if revision is None else revision.revision or revision.path


def _models(output: Output, report: ModelsReport) -> None:
    columns = [
        Column("SIZE", right=True),
        Column("ON DISK", right=True),
        Column("FREED", right=True),
        Column("REVISIONS", right=True),
        Column("USED"),
        Column("STATE"),
        Column("MODEL"),
        Column("WHERE"),
    ]
    rows = []
    for model, _ in report.rows:
        first, *others = model.places
        commits = {revision.revision for revision in model.revisions}
        rows.append(
            [
                display.size(model.bytes),
                display.size(model.physical_bytes),
                display.size(model.freed_bytes or 0),
                f"{len(commits):,}",
                _ago(model.last_accessed),
                f"{model.state}{_selected(first.default)}",
                model.id,
                first.path,
            ]
        )
        rows += [["", "", "", "", "", _state(place), "", place.path] for place in others]
    output.table(columns, rows)


def _state(place: ModelPlace) -> str:
    return f"also there, {place.default.state}{_selected(place.default)}"


def _selected(revision: Revision) -> str:
    """What was asked for, where that is not all there is."""
    return f" ({'; '.join(map(str, revision.selected))})" if revision.selected else ""


def _revisions(output: Output, report: ModelsReport) -> None:
    columns = [
        Column("SIZE", right=True),
        Column("MODIFIED"),
        Column("STATE"),
        Column("REVISION"),
        Column("REFS"),
        Column("MODEL"),
        Column("WHERE"),
    ]
    output.table(
        columns,
        [
            [
                display.size(revision.bytes),
                _ago(revision.last_modified),
                f"{revision.state}{_selected(revision)}",
                revision.revision[:_COMMIT] or "unknown",
                " ".join(revision.refs),
                model.id,
                revision.path,
            ]
            for model, revision in report.rows
            if revision is not None
        ],
    )


def _files(output: Output, report: ModelsReport) -> None:
    for model, chosen in report.rows:
        for revision in (chosen,) if chosen is not None else tuple(place.default for place in model.places):
            output.line()
            named = ", ".join(revision.refs) or revision.revision[:_COMMIT] or "unknown revision"
            output.line(f"{model.id} ({named}) in {revision.path}", "bold")
            lacking = {file.name: file for file in revision.missing}
            rows = []
            for file in revision.files:
                reason = lacking.pop(file.name).reason if file.name in lacking else ""
                rows.append([display.size(file.bytes) if file.bytes is not None else "", reason, file.name])
            rows += [
                [display.size(file.bytes) if file.bytes is not None else "", file.reason, file.name]
                for file in lacking.values()
            ]
            output.table([Column("SIZE", right=True), Column("MISSING"), Column("FILE")], rows)


def _ago(when: float | None) -> str:
    """How long ago, roughly, as people say it."""
    if when is None:
        return ""
    seconds = max(time.time() - when, 0)
    for unit, length in (("y", 365 * 86400), ("mo", 30 * 86400), ("w", 7 * 86400), ("d", 86400), ("h", 3600)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit} ago"
    return f"{seconds // 60:.0f}m ago" if seconds >= 120 else "just now"
