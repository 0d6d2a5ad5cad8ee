"""`hubfold completion`, and what is offered behind the cursor."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from hubfold import Engine
from hubfold.cli.app import hubfold as program
from hubfold.cli.shell import completion
from hubfold.testing.trees import Tree, hub_cache, model_files
from tests.building.program import Program
from tests.test_docs import ALL

Offered = Callable[..., list[str]]


@pytest.fixture
def offered(isolated: Path) -> Offered:
    """What is offered behind a line; files as ``FILES``."""

    def ask(*words: str) -> list[str]:
        shell = BashComplete(program, {}, "hubfold", completion.VARIABLE)
        found = shell.get_completions(list(words[:-1]), words[-1])
        return ["FILES" if one.type == "file" else one.value for one in found]

    return ask


@pytest.fixture
def scanned(tree: Tree, isolated: Path) -> Tree:
    """org/base and org/other in a cache that was scanned, and a short name for one of them."""
    for name in ("org/base", "org/other"):
        tree.hub.add(name, model_files(name, 40_000))
    tree.hub.add("org/rows", {"a.parquet": b"rows"}, repo_type="dataset")
    tree.build({"hf/hub": hub_cache("org/base", "org/other", "datasets/org/rows")})
    with Engine() as engine:
        engine.add_root(tree["hf/hub"])
        engine.scan()
        (isolated / "hubfold" / "config.toml").write_text('[models]\nbase = "org/base"\n')
    return tree


def test_models_are_those_of_the_scan_and_of_the_configuration(offered: Offered, scanned: Tree) -> None:
    every = ["base", "datasets/org/rows", "org/base", "org/other"]
    assert offered("ls", "") == offered("check", "org/base", "") == offered("rm", "")[:4] == every
    assert offered("ls", "org/o") == ["org/other"]
    assert offered("path", "b") == ["base"]
    assert offered("backup", "saved.tar", "data") == ["datasets/org/rows"]


def test_paths_are_the_roots_and_whatever_the_shell_finds(offered: Offered, scanned: Tree) -> None:
    assert offered("scan", "") == ["FILES", str(scanned["hf/hub"])]
    assert offered("consolidate", "--into", "/") == ["FILES", str(scanned["hf/hub"])]
    assert offered("roots", "rm", "./") == ["FILES"]
    assert offered("verify", "org/b") == ["FILES", "org/base"]


def test_runs_are_those_of_the_journals(
    hubfold: Program, folded: tuple[str, object], offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBFOLD_HOME", str(hubfold.home / "state"))
    run, _ = folded
    assert offered("undo", "") == offered("runs", run[:4]) == [run]
    assert offered("undo", "nothing") == []


def test_commands_are_offered_to_help(offered: Offered) -> None:
    assert offered("help", "ch") == ["check"]
    assert offered("co") == ["consolidate", "completion"]


def test_where_nothing_is_known_nothing_is_offered_and_nothing_made(offered: Offered, isolated: Path) -> None:
    assert offered("ls", "") == offered("undo", "") == []
    assert not (isolated / "hubfold").exists()
    (isolated / "hubfold").mkdir()
    (isolated / "hubfold" / "config.toml").write_text("no = toml = at all")
    assert offered("ls", "") == []
    assert offered("scan", "") == ["FILES"]


def test_what_could_harm_a_terminal_is_not_offered(offered: Offered, isolated: Path) -> None:
    (isolated / "hubfold").mkdir()
    (isolated / "hubfold" / "config.toml").write_text('[models]\n"a\\u001b[31m" = "org/a"\ngood = "org/b"\n')
    assert offered("ls", "") == ["good"]


@pytest.mark.parametrize("name", [name for name in ALL if name != "hubfold"])
def test_what_the_help_calls_so_is_completed(name: str) -> None:
    """So that a parameter that is added later is no text like any other."""
    for parameter in ALL[name].params:
        named = parameter.metavar or (parameter.human_readable_name or "").upper()
        if any(word in named for word in ("MODEL", "RUN", "PATH", "DIR", "CACHE")) and not isinstance(
            parameter.type, click.Choice | click.types.BoolParamType
        ):
            assert type(parameter.type).__name__ == "_Offered", parameter.opts


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_asks_the_program(hubfold: Program, shell: str) -> None:
    done = hubfold("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert f"{completion.VARIABLE}={shell}_complete" in done.out
    assert "%(" not in done.out


def test_an_unknown_shell_is_wrong_usage(hubfold: Program) -> None:
    done = hubfold("completion", "tcsh")
    assert (done.code, done.out) == (2, "")
    assert "bash" in done.err and "fish" in done.err
    none = hubfold("completion")
    assert none.code == 2
    assert none.err.splitlines()[0].endswith("Choose from: bash, zsh, fish")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_a_model_and_a_file_beside_a_root(
    hubfold: Program, scanned: Tree, isolated: Path, tmp_path: Path
) -> None:
    (tmp_path / "a * b").mkdir()
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    line = " ".join(f'"{word}"' for word in map(str, hubfold.command([])))
    (bin_ / "hubfold").write_text(f'#!/bin/sh\nexec {line} "$@"\n')
    (bin_ / "hubfold").chmod(0o755)
    asked = "\n".join(
        f"COMP_WORDS=(hubfold {words}); COMP_CWORD={len(words.split())}; _hubfold_completion hubfold;"
        ' printf "%s\\n" "${COMPREPLY[@]}" --'
        for words in ("path org/o", "scan /", "scan a")
    )
    done = subprocess.run(
        ["bash", "-c", f'eval "$(hubfold completion bash)"\n{asked}'],
        env={
            **hubfold.environ,
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "HUBFOLD_HOME": str(isolated / "hubfold"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    models, roots, files, _ = done.stdout.split("--\n")
    assert models.split() == ["org/other"]
    assert {str(scanned["hf/hub"]), "/usr"} <= set(roots.splitlines())
    assert files.splitlines() == ["a * b"]
    assert done.stderr == ""
