"""The manual page, made of the help of all commands: ``hubfold.1`` in roff, man(7).

It is made when a wheel is built (``engine/hatch_build.py``), so it cannot fall behind the program that it comes with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from hubfold.cli.errors import MEANINGS
from hubfold.cli.options import HelpWithExamples

_FILES = (
    (
        "~/.config/hubfold/config.toml",
        "The settings, if you want any; hubfold init writes one that explains them.",
    ),
    (
        "~/.local/state/hubfold/",
        "What hubfold knows: the journals of its runs, which undo needs, and the index.",
    ),
)
_ENVIRONMENT = (
    ("HUBFOLD_HOME", "A folder for all of hubfold's own files, config.toml too, instead of these."),
    ("HF_HOME, HF_HUB_CACHE", "Where the cache of huggingface_hub lies; its other variables count as well."),
    ("HF_ENDPOINT, HF_HUB_OFFLINE", "The Hub that download asks; that nothing may ask it."),
    ("NO_COLOR", "No colour and no progress bar."),
    ("HUBFOLD_DEBUG", "Show where an error happened."),
)


def page(program: click.Group, version: str) -> str:
    """The manual page of `program`, whose commands are loaded for it."""
    settings = {**program.context_settings, "max_content_width": 1000}
    context = click.Context(program, info_name=program.name, **settings)
    return "\n".join(_lines(program, context, version)) + "\n"


def _lines(program: click.Group, context: click.Context, version: str) -> Iterator[str]:
    summary, *more = _paragraphs(program)
    yield f'.TH {_quoted((program.name or "").upper())} 1 "" {_quoted(f"{program.name} {version}")} "User Commands"'
    yield ".SH NAME"
    yield _text(f"{program.name} - {summary[0].lower()}{summary[1:].rstrip('.')}")
    yield ".SH SYNOPSIS"
    yield f".B {_text(program.name or '')}"
    yield _text(" ".join(program.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield from _prose(more)
    yield ".SH OPTIONS"
    yield _text("Every command takes these, but for --version; --json where it reports something.")
    shared = _options(program, context)
    yield from _terms(shared)
    yield ".SH COMMANDS"
    for command, below in _commands(program, context):
        yield from _command(command, below, {flags for flags, _ in shared})
    yield ".SH EXAMPLES"
    yield from _examples(program)
    yield ".SH EXIT STATUS"
    yield from _terms([(str(code), meaning) for code, meaning in MEANINGS.items()])
    yield ".SH ENVIRONMENT"
    yield from _terms(_ENVIRONMENT)
    yield ".SH FILES"
    yield from _terms(_FILES)


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, info_name=name, parent=context, max_content_width=1000)
        yield command, below
        if isinstance(command, click.Group):
            yield from _commands(command, below)


def _command(command: click.Command, context: click.Context, shared: set[str]) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f".SS {_quoted(usage)}"
    yield from _prose(_paragraphs(command))
    yield from _terms([term for term in _options(command, context) if term[0] not in shared])
    yield from _examples(command)


def _paragraphs(command: click.Command) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", command.help or "") if part.strip()]


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """Flags, with what they take, and what they are for."""
    told = [
        one.get_help_record(context) for one in command.get_params(context) if isinstance(one, click.Option)
    ]
    return [record for record in told if record is not None]


def _examples(command: click.Command) -> Iterator[str]:
    for line, meaning in command.examples if isinstance(command, HelpWithExamples) else ():
        yield ".TP"
        yield f".B {_text(line)}"
        yield _text(meaning)


def _prose(paragraphs: list[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield ".PP"
        yield _text(paragraph)


def _terms(terms: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    for term, meaning in terms:
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(" ".join(meaning.split()))


def _text(text: str) -> str:
    """Text that roff shows as it is: no escape, no request, and hyphens that can be typed as they stand."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    escaped = escaped.replace("`", "\\(ga").replace("'", "\\(aq").replace("…", "...")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _quoted(text: str) -> str:
    return '"' + _text(text).replace('"', "\\(dq") + '"'
