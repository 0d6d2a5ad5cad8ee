"""Started by a daemon, from cron or into a full disk: streams that are closed, full, or read by nobody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.building.program import Finished, Program, Scene

pytestmark = pytest.mark.slow

#: Commands that change something, each with what it is for it to have something to do; and commands that only tell.
CHANGING = {
    "consolidate": ["consolidate", "-y", "--link", "hardlink", "HUB", "MODELS"],
    "consolidate --json": ["consolidate", "-y", "--link", "hardlink", "--json", "HUB", "MODELS"],
    "rm": ["rm", "-y", "org/base"],
    "rm --json": ["rm", "-y", "--json", "org/base"],
    "farm": ["farm", "-y", "FARM"],
    "roots add": ["roots", "add", "MODELS"],
    "backup": ["backup", "BACKUP"],
}
TELLING = [
    ["--help"],
    [],
    ["scan", "--json"],
    ["consolidate", "--dry-run"],
    ["ls", "-q"],
    ["check", "org/base"],
    ["path", "org/base"],
    ["doctor"],
]


def _run(hubfold: Program, scene: Scene, arguments: list[str], redirection: str) -> Finished:
    """The program as a shell starts it with `redirection`."""
    places = {
        "HUB": scene.hub,
        "MODELS": scene.models,
        "FARM": hubfold.home / "farm",
        "BACKUP": hubfold.home / "backup",
    }
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh"]
        + [os.fspath(part) for part in hubfold.command([places.get(one, one) for one in arguments])],
        env=hubfold.environ,
        cwd=hubfold.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return Finished(done.returncode, done.stdout, done.stderr)


def _state(folder: Path) -> dict[str, object]:
    """Every name below a folder, with what tells whether it was replaced or written."""
    found: dict[str, object] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            st = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (
                st.st_ino,
                st.st_nlink,
                st.st_mode,
                st.st_size,
                st.st_mtime_ns,
            )
    return found


def _content(hubfold: Program, scene: Scene) -> dict[str, object]:
    roots = hubfold.home / "state" / "roots.json"
    folders = (scene.hub, scene.models, hubfold.home / "farm", hubfold.home / "backup")
    return {path: it for folder in folders for path, it in _state(folder).items()} | {
        "roots": roots.read_text() if roots.exists() else None
    }


@pytest.fixture(params=[">&-", ">/dev/full"])
def unwritable(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("arguments", CHANGING.values(), ids=CHANGING.keys())
def test_nothing_changes_where_it_could_not_be_told(
    hubfold: Program, scene: Scene, unwritable: str, arguments: list[str]
) -> None:
    hubfold("scan", scene.models)
    before = _content(hubfold, scene)
    done = _run(hubfold, scene, arguments, unwritable)
    assert done.code == 1
    what, hint = done.err.splitlines()
    assert what.startswith("hubfold: standard output cannot be written: ") and "/dev/null" in hint
    assert _content(hubfold, scene) == before
    assert _run(hubfold, scene, arguments, ">/dev/null").code == 0
    assert _content(hubfold, scene) != before, "the command had something to do"


@pytest.mark.parametrize("arguments", TELLING, ids=lambda arguments: " ".join(arguments) or "status")
def test_what_is_lost_is_never_exit_0(
    hubfold: Program, scene: Scene, unwritable: str, arguments: list[str]
) -> None:
    hubfold("scan", scene.models)
    done = _run(hubfold, scene, arguments, unwritable)
    assert done.code == 1
    assert done.err.splitlines()[0].startswith("hubfold: standard output cannot be written: ")


@pytest.mark.parametrize("redirection", ["2>/dev/full", "<&- 2>&-"])
@pytest.mark.parametrize("arguments", CHANGING.values(), ids=CHANGING.keys())
def test_without_stderr_and_stdin_all_is_as_always(
    hubfold: Program, scene: Scene, redirection: str, arguments: list[str]
) -> None:
    hubfold("scan", scene.models)
    before = _content(hubfold, scene)
    assert _run(hubfold, scene, arguments, redirection).code == 0
    assert _content(hubfold, scene) != before


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_with_no_stream_at_all_the_exit_code_tells(hubfold: Program, scene: Scene, redirection: str) -> None:
    before = _content(hubfold, scene)
    done = _run(hubfold, scene, CHANGING["consolidate"], redirection)
    assert (done.code, done.out, done.err) == (1, "", "")
    assert _content(hubfold, scene) == before


def test_quiet_needs_no_stdout(hubfold: Program, scene: Scene) -> None:
    done = _run(hubfold, scene, ["consolidate", "-q", *CHANGING["consolidate"][1:]], "<&- >&- 2>&-")
    assert done.code == 0
    assert scene.copies[0].stat().st_ino == scene.blob.stat().st_ino


def test_the_index_is_whole_after_a_start_without_streams(hubfold: Program, scene: Scene) -> None:
    """What is opened first gets the number of a closed stream: nothing of what is printed may land in it."""
    _run(hubfold, scene, ["scan", str(scene.models)], "<&- 2>&-")
    _run(hubfold, scene, ["scan", str(scene.models), "--no-color"], "<&- >&- 2>&-")
    done = hubfold("dupes", scene.models, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["sets"]


def test_a_reader_that_is_gone_stops_a_change(hubfold: Program, scene: Scene) -> None:
    before = _content(hubfold, scene)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            hubfold.command(CHANGING["rm"]),
            env=hubfold.environ,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")
    assert _content(hubfold, scene) == before
