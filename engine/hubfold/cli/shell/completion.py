"""What a shell offers behind the cursor: commands and flags by click, and models, runs and roots by hubfold's memory.

What the help calls MODEL, RUN or PATH is completed as such, wherever it stands. Nothing is walked, no plugin is loaded,
nothing is written: the names are those of the last scan, of ``config.toml`` and of the journals. A mistake in any of
these is no reason to write into somebody's command line: there is nothing to offer then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.types import StringParamType, UnprocessedParamType

from hubfold.errors import HubfoldError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from hubfold.engine.engine import Engine

#: Set by the scripts below: the program answers instead of doing anything.
VARIABLE = "_HUBFOLD_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

#: As click's, but that folders and files are offered beside roots, and names with spaces and stars stay what they are.
_BASH = """\
%(complete_func)s() {
    local type value current="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            file)
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames 2>/dev/null
                ;;
        esac
    done < <(
        IFS=$'\\n'
        env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" %(complete_var)s=bash_complete "$1" 2>/dev/null
    )
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


def script(shell: str, program: click.Command) -> str:
    """What the user's shell has to run once."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise ValueError(f"{shell!r} is none of {', '.join(SHELLS)}")
    template = _BASH if shell == "bash" else made.source_template
    return template.strip() % made(program, {}, program.name or "", VARIABLE).source_vars() + "\n"


def attach(parameter: click.Parameter) -> None:
    """Let a parameter be completed as what its metavar says that it is."""
    if type(parameter.type) not in (UnprocessedParamType, StringParamType):
        return
    named = parameter.metavar or (parameter.human_readable_name.upper() if _is_argument(parameter) else "")
    offers = [_OFFERS[word] for word in re.findall(r"[A-Z/]+", named) if word in _OFFERS]
    if offers:
        parameter.type = _Offered(list(dict.fromkeys(offers)))


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


Offer = Callable[[click.Context], "Iterator[CompletionItem]"]


class _Offered(UnprocessedParamType):
    """A text as it is typed, for which there are offers."""

    def __init__(self, offers: list[Offer]) -> None:
        self.offers = offers

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found: list[CompletionItem] = []
        for offer in self.offers:
            with suppress(HubfoldError, OSError):
                found += offer(ctx)
        return [
            one
            for one in found
            if one.type != "plain" or (one.value.startswith(incomplete) and one.value.isprintable())
        ]


def _item(value: str, **about: str) -> CompletionItem:
    # Not above: every command has parameters, and hardly any is completed.
    from click.shell_completion import CompletionItem

    return CompletionItem(value, **about)


def _engine() -> Engine:
    from hubfold.engine.engine import Engine

    return Engine()


def _models(ctx: click.Context) -> Iterator[CompletionItem]:
    with _engine() as engine:
        yield from map(_item, engine.known_models())


def _runs(ctx: click.Context) -> Iterator[CompletionItem]:
    with _engine() as engine:
        for run in engine.runs():
            yield _item(run.run, help=f"{run.command} ({run.state})")


def _paths(ctx: click.Context) -> Iterator[CompletionItem]:
    yield _item("", type="file")
    with _engine() as engine:
        yield from map(_item, engine.known_roots())


def _commands(ctx: click.Context) -> Iterator[CompletionItem]:
    program = ctx.find_root().command
    if isinstance(program, click.Group):
        yield from map(_item, program.list_commands(ctx.find_root()))


_OFFERS: dict[str, Offer] = {
    **dict.fromkeys(("MODEL", "ORG/NAME"), _models),
    "RUN": _runs,
    **dict.fromkeys(("PATH", "DIR", "FOLDER", "CACHE", "COPY"), _paths),
    "COMMAND": _commands,
}
