"""What the pages show is what the program says: every block is run again, on files that are made for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import picture, sessions
from tests.building.sessions import Session

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "engine/docs").glob("*.md"))]
#: With HUBFOLD_TEST_WRITE_SESSIONS=1 the pages are written anew, with what the commands say now.
WRITE = os.environ.get("HUBFOLD_TEST_WRITE_SESSIONS", "0") not in ("", "0")


@pytest.fixture
def hub() -> Iterator[Callable[[], LoopbackHub]]:
    """Makes a Hub for one home: pages may have models of one name that differ."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(LoopbackHub())


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_the_commands_say(
    page: Path, tmp_path: Path, hub: Callable[[], LoopbackHub]
) -> None:
    shown = page.read_text(encoding="utf-8")
    now = sessions.again(shown, tmp_path, hub)
    if WRITE:
        page.write_text(now, encoding="utf-8")
    assert now == shown


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_as_it_stands(
    page: Path, tmp_path: Path, hub: Callable[[], LoopbackHub]
) -> None:
    """Each block in a program of its own, in a home with models and a folder ~/models."""
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ):
        session = Session("two-models-twice", tmp_path / str(number), hub())
        program = session.home / "program.py"
        program.write_text(block)
        done = subprocess.run(
            [sys.executable, program],
            cwd=session.home,
            env=session.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, block + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_session_of_a_page_is_run(page: Path) -> None:
    assert sessions.unlisted(page.read_text(encoding="utf-8")) == []
    assert all(block.commands for block in sessions.blocks(page.read_text(encoding="utf-8")))


def test_the_picture_is_of_the_sessions_of_the_readme() -> None:
    """It is made of them, which the tests above run; HUBFOLD_TEST_WRITE_SESSIONS=1 makes it anew."""
    now = picture.picture((ROOT / "README.md").read_text(encoding="utf-8"))
    file = ROOT / "engine/docs/session.svg"
    if WRITE:
        file.write_text(now, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == now
    assert (
        "url(" not in re.sub(r"url\(#", "", now)
        and "engine/docs/session.svg" in (ROOT / "README.md").read_text()
    )


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.slow
def test_a_session_that_says_something_else_is_seen(tmp_path: Path, hub: Callable[[], LoopbackHub]) -> None:
    page = "<!-- session: two-models-twice -->\n```console\n$ echo one\none\n$ echo three\ntwo\n```\n"
    now = sessions.again(page, tmp_path, hub)
    assert now == page.replace("\ntwo", "\nthree")
    assert sessions.unlisted(page + "```console\n$ rm\n```\n") == ["$ rm"]
