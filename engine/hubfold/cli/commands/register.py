"""``hubfold register``.

``--json``: ``{"models": [{"model_name", "hf_path", "revision", "cache_location", "cache_path", "cache_dir", "base",
"source", "away"}]}``: those that were registered.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options
from hubfold.errors import UsageError
from hubfold.reports.places import RegistryReport

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output


@dataclass(frozen=True, slots=True)
class Where:
    """Where a model is to lie, and which revision of it."""

    at: str
    path: str | None
    revision: str | None


@options.command(
    "register",
    examples=[
        ("hubfold register small org/small", "`small` stands for it; it goes where downloads go"),
        ("hubfold register big org/big --at secondary", "it is to lie at that place (see `hubfold roots`)"),
        ("hubfold register big org/big --path /mnt/big", "in the hub/ below that folder, as with HF_HOME"),
        ("hubfold register --from models.json", "all that a file lists, as `registered --json` writes it"),
    ],
)
@click.argument("name", required=False, metavar="[NAME]", type=click.UNPROCESSED)
@click.argument("repo", required=False, metavar="[ORG/REPO]", type=click.UNPROCESSED)
@click.option("--at", metavar="PLACE", default="", help="The place that it is to lie at.")
@click.option("--path", metavar="BASE", help="A cache of its own, or the folder above its hub/.")
@click.option("--revision", metavar="REVISION", help="A branch, a tag or a commit (default: main).")
@click.option(
    "--from",
    "file",
    metavar="FILE.json",
    help="Objects with model_name, hf_path, cache_location, cache_path, revision.",
)
@options.gathered(where=Where)
def command(session: Session, name: str | None, repo: str | None, where: Where, file: str | None) -> None:
    """Let NAME stand for a model, at a place of yours.

    Nothing is downloaded or moved: `hubfold download NAME` gets it there, and `check`, `path` and `rm` know the name.
    A name that is there already stands for the new one. Of a file all is registered, or nothing where one is wrong.
    """
    output = session.output
    if file is not None and (name or where != Where("", None, None)):
        raise UsageError("--from takes all that a file lists", "leave out the name and the other options")
    if file is None and not (name and repo):
        raise UsageError(
            "NAME and ORG/REPO say what is to be registered", "write `hubfold register small org/small`"
        )
    with session.engine() as engine:
        if file is not None:
            report = engine.import_registry(file)
        else:
            one = engine.register(
                name or "", repo or "", at=where.at, path=where.path, revision=where.revision
            )
            report = RegistryReport((one,))
    output.report(report)
    show(output, report)
    if file is None and not output.as_json:
        output.message(f"next: hubfold download {shlex.quote(name or '')}")


def show(output: Output, report: RegistryReport) -> None:
    """The models with the caches that they are to lie in."""
    for one in report.models:
        at = f"@{one.revision}" if one.revision else ""
        where = f"{one.place}, " if one.place else ""
        away = ", which is away" if one.away else ""
        output.line(f"{one.name}: {one.repo_id}{at}, in {where}{one.cache_dir}{away}")
    if len(report.models) != 1:
        output.line(display.count(len(report.models), "model"), "bold")
