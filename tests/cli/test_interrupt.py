"""Ctrl-C, two runs at once, a run killed in the middle: what the user is told, and that the files are whole."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.building.pausing import Pausing
from tests.building.program import Program, Scene
from tests.building.waiting import PATIENCE
from tests.faults.filesystems import open_the_way

MANY = 160
#: The exchange before which a run is held.
HELD_AT = 40


@pytest.fixture
def many(scene: Scene) -> list[Path]:
    """Copies, so many that there is something left to do when the run is held."""
    small = os.urandom(16384)
    folder = scene.models / "many"
    folder.mkdir()
    copies = [folder / f"{number:03}.bin" for number in range(MANY)]
    for copy in copies:
        copy.write_bytes(small)
    return copies


ARGUMENTS = ("consolidate", "--only", "models", "--min-size", "4KiB", "--link", "hardlink")


@pytest.fixture
def held(hubfold: Program) -> Pausing:
    return Pausing(hubfold, HELD_AT)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*.bin")}


@pytest.mark.slow
def test_ctrl_c_stops_between_two_actions_and_says_how_to_go_on(
    hubfold: Program, held: Pausing, scene: Scene, many: list[Path]
) -> None:
    before = contents(scene.models)
    done = held.on_terminal(*ARGUMENTS, columns=120, answers=[("[y/N]", "y\n"), ("paused", "\x03")])
    assert done.code == 130
    assert "stopping after what is being done now" in done.out
    assert "the same command goes on from here" in done.out
    assert "hubfold undo" in done.out
    told = re.search(r"replaced (\d+) files", done.out)
    assert told is not None
    files = [path for path in scene.models.rglob("*") if path.is_file()]
    linked = len(files) - len({path.stat().st_ino for path in files})
    assert HELD_AT <= linked == int(told[1]) < MANY - 1
    assert contents(scene.models) == before
    assert "interrupted" in hubfold("runs").out
    assert hubfold(*ARGUMENTS, "-y").code == 0
    assert len({path.stat().st_ino for path in many}) == 1
    assert contents(scene.models) == before


@pytest.mark.slow
def test_a_second_run_says_who_is_at_work_and_changes_nothing(
    hubfold: Program, held: Pausing, scene: Scene, many: list[Path]
) -> None:
    first = subprocess.Popen(
        held.command([*ARGUMENTS, "-y"]), env=hubfold.environ, cwd=hubfold.home, stdout=subprocess.PIPE
    )
    try:
        held.wait()
        second = hubfold("consolidate", "models", "-y")
    finally:
        held.go_on()
        first.communicate(timeout=PATIENCE)
    assert first.returncode == 0
    assert second.code == 4
    what, hint = second.err.splitlines()[-2:]
    assert "another hubfold run" in what and "consolidate" in what and str(first.pid) in what
    assert hint.strip()


@pytest.mark.slow
def test_a_killed_run_is_recovered_by_the_next(
    hubfold: Program, held: Pausing, scene: Scene, many: list[Path]
) -> None:
    before = contents(scene.models)
    process = subprocess.Popen(
        held.command([*ARGUMENTS, "-y"]), env=hubfold.environ, cwd=hubfold.home, stdout=subprocess.DEVNULL
    )
    held.wait()
    process.kill()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert len({path.stat().st_ino for path in many}) < MANY, "something was done"
    assert contents(scene.models) == before
    assert "hubfold recover" in hubfold().err
    recovered = hubfold("recover")
    assert recovered.code == 0
    assert "recovered 1 unfinished run" in recovered.err
    assert contents(scene.models) == before
    assert not [name for name in os.listdir(scene.models / "many") if not name.endswith(".bin")]
    # What was rolled back needs no undo; what was done has one.
    hubfold("undo", "-y")
    assert len({path.stat().st_ino for path in many}) == MANY
    assert contents(scene.models) == before


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root, to be somebody else")
def test_a_folder_that_cannot_be_read_is_said_so_and_the_rest_is_scanned(
    hubfold: Program, scene: Scene
) -> None:
    for folder, _, _ in os.walk(hubfold.home.parent):
        os.chmod(folder, 0o755)
    open_the_way(hubfold.home)
    os.chmod(scene.models / "base", 0o700)
    state = hubfold.home / "theirs"
    state.mkdir()
    os.chown(state, 65534, 65534)
    somebody = Program.__new__(Program)
    somebody.home, somebody.environ = hubfold.home, {**hubfold.environ, "HUBFOLD_HOME": str(state)}
    somebody.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run(somebody.command(["--version"]), cwd="/", capture_output=True, check=False).returncode:
        pytest.skip("another user cannot run this Python")
    done = somebody("scan", "models", "--json")
    assert done.code in (0, 3), done.err
    assert str(scene.models / "base") in done.out
    assert done.json["files"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (("consolidate", "hf", "models"), "[y/N]"),
        (("clean", "--all", "hf/hub"), "to remove every model in it:"),
    ],
)
def test_ctrl_c_at_a_question_says_that_nothing_was_changed(
    hubfold: Program, scene: Scene, arguments: tuple[str, ...], question: str
) -> None:
    before = scene.photograph()
    done = hubfold.on_terminal(*arguments, columns=300, answers=[(question, "\x03")])
    assert done.code == 130
    assert done.out.splitlines()[-1].endswith("hubfold: stopped at the question: nothing was changed\x1b[0m")
    assert "stopping after" not in done.out
    assert scene.photograph() == before


@pytest.mark.slow
def test_a_question_goes_to_the_terminal_where_messages_go_to_a_file(hubfold: Program, scene: Scene) -> None:
    hubfold.prefix = ["bash", "-c", 'exec "$@" 2>messages', "bash"]
    done = hubfold.on_terminal("consolidate", "hf", "models", columns=300, answers=[("[y/N] ", "y\n")])
    assert done.code == 0
    assert "replaced 2 files" in done.out
    assert "`hubfold undo` takes it back" in (hubfold.home / "messages").read_text()
    assert "[y/N]" not in (hubfold.home / "messages").read_text()
