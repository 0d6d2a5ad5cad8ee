"""What all commands share: short helps that are whole sentences, sizes, and names mistyped."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from hubfold.cli.options import CommandGroup, HelpWithExamples, as_size


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("List models. More is said here.", 45, "List models"),
        ("List models\n  of all roots.\n\nMore.", 45, "List models of all roots"),
        ("Find files: by their names, and by their bytes.", 20, "Find files"),
        ("Remove models, or one revision of each.", 20, "Remove models"),
        ("Take back the last run (or any other).", 30, "Take back the last run"),
        ("", 45, ""),
    ],
)
def test_a_short_help_is_as_many_clauses_as_fit(text: str, limit: int, short: str) -> None:
    assert HelpWithExamples("x", help=text).get_short_help_str(limit) == short


@pytest.mark.parametrize("width", [40, 120])
def test_examples_are_never_broken(width: int) -> None:
    examples = [("hubfold scan ~/models --min-size 1GiB", "read the big ones"), ("hubfold scan", "all")]
    command = HelpWithExamples("scan", help="Scan.", examples=examples)
    out = CliRunner().invoke(command, ["--help"], terminal_width=width).output
    for line, meaning in examples:
        assert f"  {line}" in out.replace("\n", "\n ")
        assert meaning in out
    one_line = any(
        line.startswith("  hubfold scan ~") and line.endswith("big ones") for line in out.splitlines()
    )
    assert one_line is (width == 120)


def test_a_command_mistyped_gets_the_nearest_names() -> None:
    group = CommandGroup("hubfold", commands={name: click.Command(name) for name in ("scan", "status", "rm")})
    told = CliRunner().invoke(group, ["statsu"]).output
    assert "no command is called 'statsu'; did you mean status" in told
    far = CliRunner().invoke(group, ["quite-another"]).output
    assert "did you mean" not in far
    assert CliRunner().invoke(group, ["scan"]).exit_code == 0


def test_a_size_that_is_none_is_wrong_usage() -> None:
    @click.command()
    @click.option("--size", callback=as_size)
    def command(size: int | None) -> None:
        click.echo(repr(size))

    assert CliRunner().invoke(command, ["--size", "1.5KiB"]).output == "1536\n"
    assert CliRunner().invoke(command, []).output == "None\n"
    wrong = CliRunner().invoke(command, ["--size", "much"])
    assert wrong.exit_code == 2
    assert "much" in wrong.output
