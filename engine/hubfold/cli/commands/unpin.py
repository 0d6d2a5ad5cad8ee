"""``hubfold unpin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options
from hubfold.cli.commands.pin import show

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "unpin",
    examples=[
        ("hubfold unpin org/model", "`hubfold balance` may move it again"),
        ("hubfold unpin org/a org/b", "two of them"),
    ],
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=click.UNPROCESSED)
def command(session: Session, models: tuple[str, ...]) -> None:
    """Let pinned models move again. Lists those that are pinned still."""
    with session.engine() as engine:
        report = engine.pin(models, pinned=False)
    show(session.output, report)
