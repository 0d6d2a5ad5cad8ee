"""``hubfold registered``.

``--json``: ``{"models": [{"model_name", "hf_path", "revision", "cache_location", "cache_path", "cache_dir", "base",
"source", "away"}]}``, which `hubfold register --from` takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "registered",
    examples=[
        ("hubfold registered", "the names that stand for models, and where these are to lie"),
        ("hubfold registered small --json", "one of them: cache_dir is what from_pretrained needs"),
        ("hubfold registered --json > models.json", "all of them, for `hubfold register --from`"),
    ],
)
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.UNPROCESSED)
def command(session: Session, names: tuple[str, ...]) -> None:
    """Show the models that were registered, and those of config.toml and of the project's hubfold.toml.

    The cache of each is what programs give as cache_dir; the base above it, if there is one, what HF_HOME may name.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.registered_models(names)
    output.report(report)
    if output.as_json:
        return
    if output.quiet:
        output.names(one.name for one in report.models)
        return
    if not report.models:
        output.line("no model is registered")
        output.message("next: hubfold register NAME ORG/REPO")
        return
    columns = [
        Column("NAME"),
        Column("MODEL"),
        Column("PLACE"),
        Column("FROM"),
        Column("CACHE", below=True),
    ]
    output.table(
        columns,
        [
            [
                one.name,
                f"{one.repo_id}@{one.revision}" if one.revision else one.repo_id,
                f"{one.place}{' (away)' if one.away else ''}",
                one.source,
                one.cache_dir or f"no place is called {one.place}",
            ]
            for one in report.models
        ],
    )
