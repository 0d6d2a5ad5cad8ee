"""`hubfold runs`, and runs that nobody knows."""

from __future__ import annotations

import pytest

from tests.building.program import Folded, Program, Scene


def test_runs_lists_them_and_shows_one(hubfold: Program, scene: Scene, folded: Folded) -> None:
    run, _ = folded
    listed = hubfold("runs")
    assert listed.code == 0
    assert run in listed.out and "finished" in listed.out
    assert hubfold("runs", "-q").out == f"{run}\n"
    shown = hubfold("runs", run)
    assert all(str(copy) in shown.out for copy in scene.copies)
    detail = hubfold("runs", run, "--json").json
    assert {action["state"] for action in detail["actions"]} == {"done"}
    hubfold("undo", "-y")
    assert "undone" in hubfold("runs").out


@pytest.mark.parametrize(
    "command", [["undo", "nonsense", "-y"], ["runs", "nonsense"], ["runs", "../../etc/passwd"]]
)
def test_an_unknown_run_is_an_error(hubfold: Program, folded: Folded, command: list[str]) -> None:
    done = hubfold(*command)
    assert done.code == 1
    what, hint = done.err.splitlines()
    assert command[1] in what
    assert "hubfold runs" in hint
