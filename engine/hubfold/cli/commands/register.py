"""``hubfold register``.

``--json``: ``{"model_name", "hf_path", "revision", "cache_location", "cache_path", "cache_dir", "base", "source",
"away"}``; with ``--from`` ``{"models": [those that were registered]}``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.reports.places import RegisteredModel


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
            output.report(report)
            for one in report.models:
                output.line(_told(one))
            output.line(display.count(len(report.models), "model"), "bold")
            return
        model = engine.register(name or "", repo or "", at=where.at, path=where.path, revision=where.revision)
    output.report(model)
    output.line(_told(model))
    if not output.as_json:
        output.message(f"next: hubfold download {shlex.quote(model.name)}")


def _told(model: RegisteredModel) -> str:
    """A model with the cache that it is to lie in."""
    at = f"@{model.revision}" if model.revision else ""
    where = f"{model.place}, " if model.place else ""
    away = ", which is away" if model.away else ""
    return f"{model.name}: {model.repo_id}{at}, in {where}{model.cache_dir}{away}"
