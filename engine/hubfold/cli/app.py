"""The `hubfold` command: which commands there are, loaded when they are called, and what becomes of errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

import click

from hubfold.cli import errors, streams
from hubfold.cli.guests import give_back, stdout
from hubfold.cli.options import CommandGroup, Session, output_options
from hubfold.cli.output import Output
from hubfold.cli.shell.completion import VARIABLE as COMPLETING

#: In the order of a user's way through them; each is `command` in the module of its name.
COMMANDS = (
    "scan",
    "dupes",
    "why",
    "consolidate",
    "undo",
    "runs",
    "recover",
    "verify",
    "doctor",
    "gc",
    "roots",
    "ls",
    "check",
    "path",
    "watch",
    "farm",
    "download",
    "rm",
    "clean",
    "move",
    "recall",
    "backup",
    "restore",
    "plugins",
    "demo",
    "init",
    "completion",
    "help",
)


class LazyGroup(CommandGroup):
    """Imports a command's module when that command, or the list of all, is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"hubfold.cli.commands.{cmd_name}").command
        return command


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from hubfold import __version__

        click.echo(f"hubfold {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=[
        ("hubfold", "where you stand and what to do next"),
        ("hubfold demo", "the whole job on a small set-up of its own"),
        ("hubfold scan ~/models", "this folder, and what it has in common with the known caches"),
        ("hubfold consolidate --dry-run", "what would be replaced by what, and why"),
    ],
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    callback=_version,
    expose_value=False,
    is_eager=True,
    help="Show the version.",
)
@output_options
@click.pass_context
def hubfold(ctx: click.Context, session: Session) -> None:
    """One copy of every model file.

    hubfold finds byte-identical files across Hugging Face caches, local copies, plain folders and drives, and folds
    them into one, leaving a link in each old place. Everything it does can be looked at first and undone afterwards.

    Without a command it tells where you stand: roots, space, what could be reclaimed, the last run.
    """
    if ctx.invoked_subcommand is None:
        from hubfold.cli.commands.status import status

        status(session)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error ends here as at most two lines on stderr."""
    try:
        code = _dispatch(list(arguments))
        streams.flush_stdout()
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get(errors.DEBUG_VARIABLE):
            raise
        code, what, hint = errors.explain(streams.named(error))
        _tell(what, hint)
        streams.let_go(stdout())
    finally:
        give_back()
    return code if isinstance(code, int) else errors.OK


def _dispatch(arguments: list[str]) -> object:
    if COMPLETING in os.environ:
        return hubfold.main(arguments, prog_name="hubfold")
    # Not `main`: that turns a closed pipe into exit code 1, which stands for an error here.
    try:
        with hubfold.make_context("hubfold", arguments) as context:
            return hubfold.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


def _tell(what: str, hint: str) -> None:
    """The error, after all that was said before it."""
    if not what:
        return
    streams.let_go(stdout())
    Output().error(what, hint)
