"""``hubfold completion``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options
from hubfold.cli.shell import completion

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "completion",
    examples=[
        ('eval "$(hubfold completion bash)"', "in ~/.bashrc; for zsh likewise, in ~/.zshrc"),
        ("hubfold completion fish > ~/.config/fish/completions/hubfold.fish", "once, for fish"),
    ],
    reports=False,
)
@click.argument("shell", type=click.Choice(completion.SHELLS))
def command(session: Session, shell: str) -> None:
    """Let your shell complete commands, flags, models, runs and paths.

    Prints what your shell has to run when it starts. Models and roots are those of the last scan and of config.toml;
    nothing is searched while you type.
    """
    session.output.page(completion.script(shell, click.get_current_context().find_root().command))
