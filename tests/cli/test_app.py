"""The program as a whole: help, version, typos, and that it starts at once."""

from __future__ import annotations

from importlib import import_module

import pytest

from hubfold.cli.app import COMMANDS
from tests.building.program import Program


def test_help_lists_the_commands_in_the_order_of_use(hubfold: Program) -> None:
    done = hubfold("--help")
    assert done.code == 0
    positions = [
        done.out.index(f"\n  {name} ") for name in ("scan", "dupes", "consolidate", "undo", "verify", "demo")
    ]
    assert positions == sorted(positions)
    assert "Examples:" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_how_the_help_of_a_command_begins(name: str) -> None:
    helped = import_module(f"hubfold.cli.commands.{name}").command.get_short_help_str(1000)
    assert helped.startswith(COMMANDS[name])
    assert helped.removeprefix(COMMANDS[name])[:1] in ("", ",", ":", ";", " ")
    assert len(f"  {'consolidate'}  {COMMANDS[name]}") < 80, "a line each"


def test_help_fits_a_narrow_terminal(hubfold: Program) -> None:
    done = hubfold.on_terminal("consolidate", "--help", columns=60)
    assert done.code == 0
    assert "--dry-run" in done.out


def test_version(hubfold: Program) -> None:
    done = hubfold("--version")
    assert done.out.startswith("hubfold 0.")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["scna"], "scan"),
        (["consolidat"], "consolidate"),
        (["roots", "ad"], "add"),
        (["scan", "--jsn"], "--json"),
    ],
)
def test_a_typo_gets_the_nearest_name(hubfold: Program, typed: list[str], meant: str) -> None:
    done = hubfold(*typed)
    assert done.code == 2
    assert done.out == ""
    what, hint = done.err.splitlines()
    assert what.startswith("hubfold: ") and "id you mean" in what and meant in what
    assert "--help" in hint


def test_a_name_like_nothing_gets_no_guess(hubfold: Program) -> None:
    done = hubfold("\x1b[31mxyzzy")
    assert done.code == 2
    assert "did you mean" not in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    "typed",
    [
        ["scan", "--min-size", "big"],
        ["dupes", "--limit", "-1"],
        ["dupes", "--sort", "taste"],
        ["consolidate", "--link", "glue"],
        ["roots", "add"],
        ["farm"],
        ["demo", "--size", "1M"],
        ["scan", "--threads", "0"],
        ["scan", "--executor", "nobody"],
        ["scan", "--executor", "processes:2", "--threads", "2"],
    ],
)
def test_wrong_usage_is_exit_2_and_two_lines(hubfold: Program, typed: list[str]) -> None:
    done = hubfold(*typed)
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 2
    assert not (hubfold.home / "state").exists(), "nothing is written for a mistyped command"


def test_help_starts_at_once(hubfold: Program) -> None:
    # Imports are what takes the time: 125 here, most of them Python's own. (Which ones: `test_architecture.py`.)
    assert len(hubfold.imports("--help")) < 200
