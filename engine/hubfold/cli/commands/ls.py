"""``hubfold ls``.

``--json``: ``{"models": [{"id", "repo_id", "repo_type", "state": "whole"|"incomplete"|"broken"|"offline", "cached",
"size_bytes", "physical_bytes", "freed_bytes", "refs", "last_accessed", "last_modified", "places": [{"root", "backend",
"role", "path", "size_bytes", "revisions": [REVISION]}]}], "physical_bytes", "warnings": [{"path", "message"}],
"unreferenced": [{"what", "files", "bytes", "command", "path"}]}`` ("unreferenced" where there is some; without a
command, "path" is a folder that programs keep for themselves) where REVISION is
``{"revision", "refs", "path", "state", "judged_by": "listing"|"shards"|"files", "size_bytes", "file_count",
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
from hubfold.cli.tables import Column

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
    with_paths: bool


@options.command(
    "ls",
    examples=[
        ("hubfold ls", "every model of every root"),
        ("hubfold ls --filter 'frees>1GB' --filter 'accessed>30d' --sort frees", "what could go"),
        ("hubfold ls --filter 'model=org/*' --paths", "those of one organisation, and where they lie"),
        ("hubfold ls org/model --files", "one model, file by file"),
        ("hubfold ls --revisions --json", "every revision, for a script"),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option("--paths", "with_paths", is_flag=True, help="Show where each one lies, every place of it.")
@click.option("--revisions", is_flag=True, help="A row for each revision instead of one for each model.")
@click.option("--files", is_flag=True, help="Show the files of each one by one.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="EXPR",
    help="Like size>1GB, accessed>7d, state=broken or model=org/* (may be repeated: all have to hold).",
)
@click.option("--sort", metavar="KEY", help="By what; append :asc or :desc (default: by name).")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show the first N only.")
@options.gathered(rows=Rows)
def command(session: Session, models: tuple[str, ...], rows: Rows, files: bool) -> None:
    """Show the models of all roots: caches, local copies and farms.

    SIZE is one copy of the model, ON DISK its share of the disks (what several models use counts in parts), FREES what
    `hubfold rm MODEL` would free now, PLACES in how many places it lies. Broken models are shown as such, and
    half-downloaded ones as incomplete; one of which only some files were asked for (by `download --include`, or in
    config.toml) is whole with those. Asks the disks, reads no content, changes nothing.

    KEY, to sort and to filter by: model, size, on-disk, frees, state, places, where, accessed, modified, type, refs.
    Sizes and ages are compared (size>1GB, accessed>7d: not used for a week), texts are patterns (model=*-GGUF) or a
    folder (where=/mnt/usb). Those of `hf cache ls` mean the same here.
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
    if report.rows:
        _show(output, report, rows, files)
    else:
        output.line("no models" if not (models or rows.filters) else "no model fits")
    tell.warnings(output, report.warnings)


def _show(output: Output, report: ModelsReport, rows: Rows, files: bool) -> None:
    if rows.revisions:
        _revisions(output, report)
    else:
        _models(output, report, rows.with_paths)
    if files:
        _files(output, report)
    output.line()
    output.line(
        f"{display.count(len(report.models), 'model')}, {display.size(report.physical_bytes)} on disk", "bold"
    )
    if report.unreferenced:
        output.line()
        tell.unreferenced(output, report.unreferenced)
    if any(model.state == "broken" for model in report.models):
        output.message("broken: `hubfold check MODEL` says what is wrong")


def _name(model: Model, revision: Revision | None) -> str:
    return model.id if revision is None else revision.revision or revision.path


def _models(output: Output, report: ModelsReport, with_paths: bool) -> None:
    times = [key for key in ("accessed", "modified") if key in report.by]
    columns = [
        Column("MODEL", name=True),
        Column("SIZE", right=True),
        Column("ON DISK", right=True),
        Column("FREES", right=True),
        *(Column(key.upper()) for key in times),
        Column("STATE"),
        Column("PLACES", right=True),
        *([Column("WHERE", below=True)] if with_paths else []),
    ]
    rows = []
    for model, _ in report.rows:
        ages = {"accessed": model.last_accessed, "modified": model.last_modified}
        first, *others = model.places
        rows.append(
            [
                model.id,
                display.size(model.bytes),
                display.size(model.physical_bytes),
                display.size(model.freed_bytes or 0),
                *(_ago(ages[key]) for key in times),
                str(model.state),
                f"{len(model.places):,}",
                *([first.path] if with_paths else []),
            ]
        )
        rows += _asked_for(first, len(columns))
        for place in others if with_paths else ():
            state = [str(place.default.state), "", place.path]
            rows += [[""] * (len(columns) - 3) + state, *_asked_for(place, len(columns))]
    output.table(columns, rows)


def _asked_for(place: ModelPlace, columns: int) -> list[list[str]]:
    """A line below a place: what was asked for of the model, where that is not all there is."""
    told = _selected(place.default)
    return [[f"  {told}"] + [""] * (columns - 1)] if told else []


def _selected(revision: Revision) -> str:
    """What was asked for, where that is not all there is."""
    return "; ".join(map(str, revision.selected))


def _revisions(output: Output, report: ModelsReport) -> None:
    columns = [
        Column("MODEL", name=True),
        Column("REVISION"),
        Column("SIZE", right=True),
        Column("MODIFIED"),
        Column("STATE"),
        Column("REFS"),
        Column("WHERE", below=True),
    ]
    rows = []
    for model, revision in report.rows:
        if revision is None:
            continue
        rows.append(
            [
                model.id,
                revision.revision[:_COMMIT] or "unknown",
                display.size(revision.bytes),
                _ago(revision.last_modified),
                str(revision.state),
                " ".join(revision.refs),
                revision.path,
            ]
        )
        if told := _selected(revision):
            rows.append([f"  {told}"] + [""] * (len(columns) - 1))
    output.table(columns, rows)


def _files(output: Output, report: ModelsReport) -> None:
    for model, chosen in report.rows:
        for revision in (chosen,) if chosen is not None else tuple(place.default for place in model.places):
            output.line()
            named = ", ".join(revision.refs) or revision.revision[:_COMMIT] or "unknown revision"
            output.line(f"{model.id} ({named}) in ", "bold", path=revision.path)
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
    return display.ago(when, time.time())
