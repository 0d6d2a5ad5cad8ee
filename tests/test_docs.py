"""What is written is true: help, README and hooks agree with the program."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
import yaml

from hubfold.backend import hookspecs
from hubfold.cli.app import COMMANDS
from hubfold.cli.app import hubfold as program
from hubfold.cli.options import HelpWithExamples

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "engine/docs").glob("*.md"))]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: The lint of .ci/run, as it is typed.
LINT = re.findall(
    r"^\.venv/bin/(?:ruff .*|mypy)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def commands() -> Iterator[tuple[str, HelpWithExamples]]:
    """Every command by the words that call it."""
    context = click.Context(program)
    yield "hubfold", program
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert isinstance(command, HelpWithExamples)
        yield f"hubfold {name}", command
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                subcommand = command.get_command(context, below)
                assert isinstance(subcommand, HelpWithExamples)
                yield f"hubfold {name} {below}", subcommand


ALL = dict(commands())


def check_command_line(line: str) -> None:
    """A line as it is typed: its command exists, and so does every option."""
    for other in line.split(" || ")[1:]:
        check_command_line(other)
    line = line.split(" || ")[0]
    inner = re.search(r"\$\((hubfold [^)]*)\)", line)
    line = inner[1] if inner else line
    words = shlex.split(line.partition(" | ")[0].replace("…", ""), comments=True)
    start = words.index("hubfold")
    words = words[start + 1 :]
    name = "hubfold"
    while words and f"{name} {words[0]}" in ALL:
        name = f"{name} {words.pop(0)}"
    command = ALL[name]
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        raise AssertionError(f"{line!r}: {name} has no command {words[0]!r}")
    known = {option for parameter in command.params for option in parameter.opts} | {
        "--help",
        "-h",
        "--version",
    }
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"{line!r}: {name} has no option {word}"


@pytest.mark.parametrize("name", ALL)
def test_every_command_explains_itself_with_examples(name: str) -> None:
    command = ALL[name]
    assert command.help, name
    assert len(command.examples) >= 2, name
    for line, meaning in command.examples:
        assert meaning, line
        check_command_line(line)
    assert any(name in line for line, _ in command.examples)


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str) -> None:
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_names_every_command(name: str) -> None:
    page = (ROOT / "engine/docs/commands.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| .*`(hubfold )?{name}\b.* \|", page, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^\$ (hubfold [^|\n]*)", text, re.MULTILINE)
    lines += re.findall(r"`(hubfold [^`|\\]+)", text)
    assert lines or page.stem == "commands"
    for line in lines:
        check_command_line(line.partition(" || ")[0])


def test_the_readme_has_one_line_for_the_demo_and_one_for_the_tests() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert [line.rpartition(" && ")[2] for line in lines] == [".venv/bin/hubfold demo", ".venv/bin/pytest"]


def test_contributing_has_the_commands_of_the_readme_and_of_ci() -> None:
    set_up, check, _ = re.findall(r"^```\n(.+)\n```$", CONTRIBUTING, re.MULTILINE)
    assert f"{set_up} && .venv/bin/pytest" in README.splitlines()
    assert len(LINT) == 3
    assert check.split(" && ") == [*LINT, ".venv/bin/pytest"]


def test_the_hooks_run_what_ci_runs_and_fetch_nothing() -> None:
    [repo] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"] for hook in repo["hooks"]] == LINT
    for hook in repo["hooks"]:
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)
        assert re.search(hook["files"], "engine/hubfold/errors.py") and re.search(
            hook["files"], "pyproject.toml"
        )


def test_the_changelog_begins_with_the_version_that_is_made() -> None:
    first = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert first == PROJECT["project"]["version"]


def at_the_top() -> set[str]:
    """What the project has at its top level, and not what somebody keeps beside it."""
    if (ROOT / ".git").exists():
        command = ["git", "-c", "safe.directory=*", "ls-files"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return {path.partition("/")[0] for path in listed.splitlines()}
    left_out = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    names = {path.name for path in ROOT.iterdir()} - {"PKG-INFO"}
    return {name for name in names if not any(fnmatch(name, pattern) for pattern in left_out)}


def test_what_lies_at_the_top_is_in_the_source_distribution() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {f"/{name}" for name in at_the_top()} == {*included}


def test_the_python_of_the_readme_uses_what_there_is() -> None:
    import hubfold

    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
        for names in re.findall(r"^from hubfold import (.+)$", block, re.MULTILINE):
            for name in names.split(","):
                assert hasattr(hubfold, name.strip()), name


@pytest.mark.parametrize("name", [name for name in dir(hookspecs) if name.startswith("hubfold_")])
def test_every_hook_says_when_it_fires_and_is_in_the_docs(name: str) -> None:
    documentation = getattr(hookspecs, name).__doc__ or ""
    assert "Fires" in documentation
    assert name in (ROOT / "plugins/README.md").read_text(encoding="utf-8")


def test_there_are_eight_hooks_at_the_most() -> None:
    assert 1 <= len([name for name in dir(hookspecs) if name.startswith("hubfold_")]) <= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_floors_are_floors() -> None:
    dependencies = PROJECT["project"]["dependencies"]
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", dependency) for dependency in dependencies)


@pytest.mark.parametrize("name", ALL)
def test_what_can_be_looked_at_first_takes_a_yes(name: str) -> None:
    """So that a script may give -y to all of them; and what asks can be told not to."""
    flags = {flag for parameter in ALL[name].params for flag in parameter.opts}
    assert ("--dry-run" in flags) == ("--yes" in flags) or name == "hubfold doctor"


@pytest.mark.parametrize("name", ALL)
def test_what_reports_has_json(name: str) -> None:
    flags = {flag for parameter in ALL[name].params for flag in parameter.opts}
    prints_a_text_of_ours = {"hubfold help", "hubfold completion", "hubfold serve", "hubfold ui"}
    assert ("--json" in flags) != (name in prints_a_text_of_ours)
