"""Every command on a terminal, narrow and wide: no line is longer than it, but for one path, name or command alone.

In process, on a stream that says it is a terminal: what a terminal would cut in two is a line that is too long for it.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from hubfold.cli import app, prose
from tests.building import tree

COLUMNS = (80, 120, 200)
LONG = "Some-Very-Long-Organisation-Name/An-Extremely-Long-Model-Name-of-Many-Words-Instruct-v0.3-GGUF"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
#: What a shell would take for a path.
_PATH = re.compile(r"[(']*[~/].*")
#: What differs from one time to the next.
_FIGURES = re.compile(r"[\d.]+ (s|min)\b|[\d.]+[BKMGT]\b|\b\d+ files? checked|[\d.]+[BKMGT] read")
_CHANGES_UNASKED = (
    "clean",
    "farm",
    "download",
    "backup",
    "register",
    "unregister",
    "pin",
    "unpin",
    "verify",
    "init",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line on a terminal of so many columns; what stood there in the end."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str, columns: int, colours: bool = False) -> str:
        screen = Terminal()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False) if colours else monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(sys, "stderr", screen)
        app.run(argv)
        return screen.getvalue()

    return run


@pytest.fixture
def home(isolated: Path) -> Path:
    """Two models, one with a very long name, each once more in folders with spaces and in other scripts; a link that
    leads nowhere, a download that was cut short, models that are not there, one that is not whole."""
    hub = str(isolated / "hf/hub")
    files = {
        "config.json": b"{}",
        "model.safetensors": tree.model("weights"),
        "sub/a.bin": tree.model("more"),
    }
    tree.cache(hub, "acme/base", files, "1" * 40)
    tree.cache(hub, LONG, {"config.json": b"{}", "model.safetensors": tree.model("long")}, "2" * 40)
    tree.cache(hub, "acme/模型-模型", {"config.json": b"{}"}, "3" * 40)
    for folder in ("models", "a folder of mine/with spaces/and/more", "模型 目录"):
        tree.write(str(isolated / folder / "model.safetensors"), tree.model("weights"))
    tree.write(str(isolated / "models/other.bin"), tree.model("more"))
    (isolated / "models/nowhere.bin").symlink_to(f"/nowhere/models--acme--gone/blobs/{'a' * 64}")
    partial = isolated / f"hf/hub/models--acme--base/blobs/{'b' * 64}.incomplete"
    tree.write(str(partial), b"some of it", mtime_ns=1)
    state = isolated / "hubfold"
    state.mkdir()
    (state / "config.toml").write_text(
        f'[models.base]\nrepo = "acme/base"\n[models.long]\nrepo = "{LONG}"\n[models.none]\nrepo = "acme/none"\n'
    )
    return isolated


#: Each with success, with nothing to do, and with what is wrong. They run one after the other.
TABLE = """
|roots|roots add {}/models|roots add '{}/a folder of mine'|roots add '{}/模型 目录' --name mine
roots add '{}/no such folder/anywhere/below/this/one/of/mine'|roots add {}/models --role third|roots rm /nowhere
scan|scan {}/models|scan /nowhere/at/all|scan --min-size much||roots
dupes|dupes --limit 1|dupes {}/hubfold|why {}/models/model.safetensors|why '{}/模型 目录/model.safetensors'|why /nowhere
ls|ls --paths|ls --files|ls --revisions|ls --sort nothing|ls acme/nothing|ls --filter 'size>much'
check|check --anywhere|check acme/none|check acme/bsae|check --in {}/hf|check --in {}/models
path acme/base|path acme/bsae|path acme/base nothing.bin
consolidate --dry-run|consolidate --dry-run --full|consolidate|consolidate --model acme/bsae
consolidate -y|consolidate -y||why {}/models/model.safetensors|runs|runs nothing|undo --dry-run|undo|roots
verify|doctor|doctor --fix|doctor --download|doctor --fix -y|doctor --mount {}/models:/models|recover
gc --dry-run|gc|gc --forget-machine laptop
farm {}/farm --dry-run|farm {}/farm|farm {}/farm|farm '{}/a folder of mine/farm' acme/base|farm {}/farm acme/bsae
register mine acme/base|register mine acme/base --at nowhere|registered|unregister mine|unregister mine|register
download|download acme/none|download --missing|download --missing --all|download acme/base --include '*.none'
rm acme/base --dry-run|rm acme/base|rm acme/bsae|rm acme/base nothing.bin|rm acme/base '*.bin' --dry-run|rm
rm {}/models|rm --redundant-copies --dry-run|rm --redundant-copies --revision 1|rm '*/*' --dry-run
clean --dry-run|clean|clean --older-than much|clean --older-than 0 --dry-run|clean --all {}/models|clean --old-revisions
move acme/base --to {}/other|move acme/base --to nowhere|move acme/base --to {}/other -y|recall acme/none
recall acme/base|recall acme/base -y|balance|pin acme/base|pin|unpin acme/base|unpin|pin acme/bsae
backup {}/backup --dry-run|backup {}/backup.zip|backup {}/backup acme/base|restore {}/backup --dry-run|restore {}/models
adopt {}/models|adopt {}/models --repo acme/mine --dry-run|adopt {}/nothing|migrate {}/hf/hub {}/new --dry-run
migrate {}/models {}/new|undo -y|undo -y|undo -y|undo
report|report --html {}/models|report --html {}/page.html|unlock|unlock /nowhere/at/all|serve --bind nonsense
serve --bind 0.0.0.0:8600|serve --token-file {}/none|ui --nothing|export {}/exported --dry-run|export {}/exported
fleet {}/exported|fleet {}/exported --model acme/none|fleet {}/models|fleet {}/nothing
plugins|plugins nothing|init|completion bash|completion fash|help nothing
nothing|ls --nothing|demo {}/models
"""


def lines_of(home: Path) -> Iterator[list[str]]:
    for line in TABLE.strip().splitlines():
        for command in line.split("|"):
            yield shlex.split(command.replace("{}", str(home)))


def too_long(text: str, columns: int) -> list[str]:
    """The lines that a terminal would break, but those that are one thing that somebody copies."""
    if "COMPREPLY" in text:
        return []  # a script, for a shell
    return [
        line
        for line in text.splitlines()
        if prose.cells(line) > columns
        and " " in line.strip()
        and not _is_path(line.strip())
        and not line.strip().startswith(("hubfold ", "`"))
    ]


def _is_path(line: str) -> bool:
    """Whether that is a path that is there or could be, and no word more than who it belongs to."""
    path = re.sub(r"[:,;.)]*( \([^ ]+\)| \(same file\))?[:,;.)]*$", "", line).strip("('")
    named = os.path.expanduser(path)
    return bool(_PATH.fullmatch(line)) and (
        os.path.lexists(os.path.dirname(named)) or "no such folder" in path
    )


@pytest.mark.parametrize("command", [*app.COMMANDS, "roots add", ""])
def test_help_is_as_wide_as_the_terminal_and_cuts_no_command(run: Run, command: str) -> None:
    for columns in (80, 120):  # it is never wider than 100
        text = run(*command.split(), "--help", columns=columns)
        assert "Usage:" in text
        assert not too_long(text, columns)
        assert all(line.count("`") % 2 == 0 and not re.search(r"\w-$", line) for line in text.splitlines())


@pytest.mark.parametrize("columns", COLUMNS)
def test_errors_are_sentences_in_lines(run: Run, columns: int) -> None:
    for argv in (["nothing"], ["ls", "--nothing"], ["runs", "nothing"], ["rm"], ["completion", "fash"]):
        text = run(*argv, columns=columns)
        assert text.startswith("hubfold: ") and not too_long(text, columns)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "colours"), [*((columns, False) for columns in COLUMNS), (80, True)], ids=str
)
def test_each_command(
    run: Run, home: Path, columns: int, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = []
    for argv in lines_of(home):
        text = run(*argv, columns=columns, colours=colours)
        assert colours or "\x1b" not in text
        plain = _ESCAPES.sub("", text).replace("\r", "")
        assert not too_long(plain, columns), f"{argv}\n{plain}"
        said.append(argv[0] if argv else "")
    assert set(said) >= app.COMMANDS.keys() - {"watch", "help"}


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80])
def test_no_word_is_cut(run: Run, home: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a narrow terminal shows are words that a wide one shows too, titles of tables in small letters."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for argv in lines_of(home):
        if "-y" in argv or (argv and argv[0] in _CHANGES_UNASKED):
            run(*argv, columns=80)
            continue
        wide, narrow = (
            {word.strip(",") for word in _FIGURES.sub("", run(*argv, columns=width)).split()}
            for width in (10_000, columns)
        )
        cut = narrow - wide - {""} - {word.lower() for word in wide}
        assert not cut, f"{argv}: {cut}"
