"""``hubfold help``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "help",
    examples=[
        ("hubfold help", "all commands, as --help shows them"),
        ("hubfold help scan", "what scan does and takes"),
        ("hubfold help roots add", "a command below another one"),
    ],
    reports=False,
)
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
def command(session: Session, names: tuple[str, ...]) -> None:
    """Show the help of hubfold, or of one of its commands."""
    context = click.get_current_context().find_root()
    for name in names:
        group = context.command
        if not isinstance(group, options.CommandGroup):
            raise click.UsageError(f"{context.command_path} has no commands below it", context)
        found = group.named(context, name)
        context = click.Context(found, info_name=name, parent=context, **found.context_settings)
    session.output.page(context.get_help())
