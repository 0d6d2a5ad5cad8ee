"""``hubfold unregister``.

``--json``: ``{"models": [{"model_name", "hf_path", "revision", "cache_location", "cache_path", "cache_dir", "base",
"source", "away"}]}``: those that are registered no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "unregister",
    examples=[
        ("hubfold unregister small", "the name stands for nothing any more; the model stays where it is"),
        ("hubfold unregister small big", "several"),
    ],
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=click.UNPROCESSED)
def command(session: Session, names: tuple[str, ...]) -> None:
    """Forget names of models. No file is touched."""
    output = session.output
    with session.engine() as engine:
        report = engine.unregister(names)
    output.report(report)
    for one in report.models:
        output.line(f"{one.name} stands for {one.repo_id} no more; what is there of it stays")
