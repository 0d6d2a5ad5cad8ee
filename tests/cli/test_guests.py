"""stdout is the command's own: what plugins print by any means goes to stderr; and one that hangs can be ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from hubfold.cli import guests
from tests import CHECKOUT
from tests.building import loud, plugin
from tests.building.program import Program
from tests.building.waiting import PATIENCE

pytestmark = pytest.mark.slow

#: What a plugin prints by.
MEANS = ("printed by", "written by", "sneaked by", "fd of", "child of")


@pytest.fixture
def boxed(hubfold: Program, tmp_path: Path) -> Program:
    """A program with the loud plugin installed, and a box that it was told of."""
    loud.install(tmp_path / "plugin")
    plugin.fill(tmp_path / "box", content=b"b" * (2 << 20))
    hubfold.environ["PYTHONPATH"] = f"{tmp_path / 'plugin'}:{CHECKOUT}"
    done = hubfold.started("roots", "add", tmp_path / "box")
    assert done.code == 0, done.err
    return hubfold


def loudly(program: Program, *arguments: str, methods: str = "all") -> tuple[str, str]:
    program.environ["LOUD"] = methods
    done = program.started(*arguments)
    assert done.code in (0, 3), done.err
    return done.out, done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan"],
        ["ls"],
        ["roots"],
        ["plugins"],
        ["check", "acme/boxed"],
        ["consolidate", "--dry-run"],
        ["doctor"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_json_is_one_document_whatever_plugins_print(boxed: Program, arguments: list[str]) -> None:
    out, err = loudly(boxed, *arguments, "--json")
    assert isinstance(json.loads(out), dict)
    for means in MEANS:
        assert f"{means} import" in err
        assert f"{means} default_roots" in err or arguments == ["plugins"]
        assert means not in out


def test_piped_output_is_what_it_is_without_a_word_from_plugins(boxed: Program) -> None:
    quiet, _ = loudly(boxed, "ls", methods="")
    assert "acme/boxed" in quiet
    assert loudly(boxed, "ls")[0] == quiet


def test_what_a_plugin_prints_when_the_process_ends_is_not_ours_either(boxed: Program) -> None:
    out, err = loudly(boxed, "ls", "-q", methods="import")
    assert out == "acme/boxed\n"
    assert "printed by exit" in err
    assert "fd of exit" in err


def test_with_stderr_closed_it_goes_nowhere(boxed: Program) -> None:
    boxed.environ["LOUD"] = "recognise"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *map(os.fsdecode, boxed.command(["ls", "-q"]))],
        env=boxed.environ,
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"acme/boxed\n"


def test_with_our_own_plugins_alone_stdout_is_left_as_it_is(hubfold: Program) -> None:
    hubfold.environ["PYTHONPATH"] = str(CHECKOUT)
    program = (
        "import sys, os\n"
        "from hubfold.cli.app import run\n"
        "before, dups, dup2 = sys.stdout, [], os.dup2\n"
        "os.dup2 = lambda *args: dups.append(args) or dup2(*args)\n"
        "run(['ls'])\n"
        "assert sys.stdout is before and not dups\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=hubfold.environ, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_who_captures_stdout_gets_it_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    guests.shut_out()
    guests.shut_out()
    print("of a plugin")
    guests.stdout().write("ours\n")
    guests.give_back()
    assert sys.stdout is before
    assert guests.stdout() is before
    assert capsys.readouterr() == ("ours\n", "of a plugin\n")


# a plugin that does not come back


def begun(program: Program, method: str, command: str) -> tuple[subprocess.Popen[str], IO[str]]:
    program.environ["HANG"] = method
    going = subprocess.Popen(
        program.command([command]),
        env=program.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert going.stderr is not None
    for line in going.stderr:
        if line == "hanging\n":
            return going, going.stderr
    raise AssertionError("it did not hang")


@pytest.mark.parametrize(
    ("method", "command"), [("snapshots", "ls"), ("replicas", "scan"), ("default_roots", "scan")]
)
def test_ctrl_c_ends_a_command_whose_plugin_hangs(boxed: Program, method: str, command: str) -> None:
    going, err = begun(boxed, method, command)
    going.send_signal(signal.SIGINT)
    for line in err:
        if "Ctrl-C again aborts at once" in line:
            break
    going.send_signal(signal.SIGINT)
    assert going.wait(PATIENCE) == 130
    del boxed.environ["HANG"]
    assert boxed.started("ls", "-q").out == "acme/boxed\n"


def test_the_third_one_ends_a_plugin_that_swallows_it(boxed: Program) -> None:
    boxed.environ["DEAF"] = "1"
    going, err = begun(boxed, "snapshots", "ls")
    for word in ("Ctrl-C again aborts at once", "deaf"):
        going.send_signal(signal.SIGINT)
        for line in err:
            if word in line:
                break
    going.send_signal(signal.SIGINT)
    assert going.wait(PATIENCE) == 130
