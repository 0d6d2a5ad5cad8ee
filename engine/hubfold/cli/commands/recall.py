"""``hubfold recall``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options, tell
from hubfold.cli.commands.undo import take_back

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "recall",
    examples=[
        ("hubfold recall org/model --dry-run", "what would come back, and what goes with that"),
        ("hubfold recall org/model", "the same, then ask, then do it"),
    ],
)
@click.argument("model", metavar="MODEL", type=click.UNPROCESSED)
@options.full
@options.before_change
def command(session: Session, model: str) -> int | None:
    """Bring a model back to where it was before it was moved.

    This takes the last move of it back, as `hubfold undo` does: the links get their content again, each file checked
    before it takes its place, and then the copy goes that the move had made, but for what something else needs by then.
    """
    with session.engine() as engine:
        tell.recover_first(session, engine)
        return take_back(session, engine, engine.move_of(model))
