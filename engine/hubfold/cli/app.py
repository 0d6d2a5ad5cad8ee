"""The `hubfold` command: which commands there are, loaded when they are called, and what becomes of errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module

import click

from hubfold.cli import errors, streams
from hubfold.cli.guests import give_back, shut_out, stdout
from hubfold.cli.options import CommandGroup, Session, output_options
from hubfold.cli.output import Output
from hubfold.cli.shell.completion import VARIABLE as COMPLETING

#: In the order of a user's way through them, each with how its help begins: the list of all loads none of them. Each is
#: `command` in the module of its name.
COMMANDS = {
    "scan": "Walk the roots and tell what duplicates cost",
    "dupes": "Show the duplicate sets",
    "why": "Tell what became of the file at PATH, and why",
    "consolidate": "Fold duplicates into one copy",
    "undo": "Take back the last run, or RUN",
    "runs": "Show past runs, or one run action by action",
    "recover": "Finish or roll back what a crash left",
    "unlock": "Take away locks that hosts left behind",
    "verify": "Read content again and compare it with what is known of it",
    "doctor": "Look for dangling links, interrupted downloads",
    "gc": "Remove vault objects that no link needs",
    "roots": "Show, add and remove roots",
    "ls": "Show the models of all roots",
    "check": "Tell whether models are whole where a program would load them",
    "path": "Print where MODEL lies, in whichever root it is whole",
    "report": "Tell where the space goes",
    "watch": "Show models, space and running downloads, and how they grow",
    "farm": "Build or refresh a folder of links",
    "register": "Let NAME stand for a model, at a place of yours",
    "registered": "Show the models that were registered",
    "unregister": "Forget names of models",
    "download": "Download models into the cache, never a second copy",
    "serve": "Hand out the models of this host to others",
    "rm": "Remove models from the caches",
    "clean": "Remove what was left behind",
    "move": "Move models to another cache",
    "recall": "Bring a model back to where it was before it was moved",
    "balance": "Bring each place under its limit",
    "pin": "Let models stay where they are",
    "unpin": "Let pinned models move again",
    "backup": "Back up models to a folder or a file, each content once",
    "restore": "Restore models from a backup",
    "adopt": "Make a folder of files a model of the cache",
    "migrate": "Put a whole cache into another one",
    "ui": "Look at what takes the space, mark what is to go",
    "export": "Write the index of this host into DIR",
    "fleet": "Tell what many hosts have",
    "plugins": "Show which backends are loaded, from which distribution",
    "demo": "Do the whole job on a small set-up of its own",
    "init": "Write a config.toml with every setting explained",
    "completion": "Let your shell complete commands, flags, models, runs and paths",
    "help": "Show the help of hubfold, or of one of its commands",
}


class LazyGroup(CommandGroup):
    """Imports a command's module when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return _of_plugins(cmd_name)
        command: click.Command = import_module(f"hubfold.cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@cache
def _of_plugins(name: str) -> click.Command | None:
    """The command of a plugin's own that is called so."""
    from hubfold.engine.engine import Engine

    with Engine(guests=shut_out) as engine:
        found: click.Command | None = engine.commands.get(name)
    return found


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
