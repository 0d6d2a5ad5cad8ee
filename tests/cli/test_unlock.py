"""`hubfold unlock`, and what a run says that another host is in the way of."""

from __future__ import annotations

import pytest

from hubfold.disk.filesystem import SHARED_VARIABLE
from hubfold.disk.hosts import shares
from tests.building.host_locks import another, token_that_is_gone
from tests.building.program import Program, Scene


@pytest.fixture(autouse=True)
def a_share(hubfold: Program) -> None:
    hubfold.environ[SHARED_VARIABLE] = "1"


def test_where_another_host_is_at_work_a_run_says_so_and_changes_nothing(
    hubfold: Program, scene: Scene
) -> None:
    held = another(scene.folder / "models" / shares.RUN)
    before = scene.photograph()
    done = hubfold("consolidate", "hf", "models", "-y")
    assert done.code == 4
    assert scene.photograph() == before
    assert "another hubfold run is at work: consolidate, process 4711 on node7, since 2026" in done.err
    assert "if its host is gone for good: hubfold unlock" in done.err
    assert held.exists()
    assert not hubfold("runs", "--json").json["runs"], "no run was begun"
    held.unlink()
    assert hubfold("consolidate", "hf", "models", "-y").code == 0
    assert not list(scene.folder.rglob("*.host"))
    assert hubfold("undo", "-y").code == 0
    assert not list(scene.folder.rglob("*.host"))


def test_a_lock_of_a_run_that_was_killed_here_is_taken_over_and_told(hubfold: Program, scene: Scene) -> None:
    another(scene.folder / "models" / shares.RUN, token_that_is_gone())
    done = hubfold("consolidate", "hf", "models", "-y")
    assert done.code == 0
    assert "took over the lock of a run that was killed: consolidate, process" in done.err
    assert not list(scene.folder.rglob("*.host"))


def test_the_plan_says_what_no_lock_protects(hubfold: Program, scene: Scene) -> None:
    done = hubfold("consolidate", "hf", "models", "--dry-run")
    assert "may be used by other hosts" in done.out + done.err
    assert "let nothing be downloaded to these places from another host" in done.out + done.err


def test_what_a_run_left_that_was_killed_is_taken_away_when_the_user_says_so(
    hubfold: Program, scene: Scene
) -> None:
    held = another(scene.folder / "models" / shares.RUN, token_that_is_gone())
    shown = hubfold("unlock", "models", "--dry-run", "--json")
    (found,) = shown.json["locks"]
    assert found["path"] == str(held.parent)
    assert (found["state"], found["host"], found["command"]) == ("gone", "node7", "consolidate")
    assert shown.json["broken"] == [{"path": str(held.parent)}]
    assert hubfold("unlock", "models").code == 5
    assert held.exists()
    done = hubfold("unlock", "models", "-y")
    assert done.code == 0
    assert "gone: consolidate, process" in done.out
    assert "took away 1 lock" in done.out
    assert not held.parent.exists()
    assert "no run holds a lock" in hubfold("unlock", "models").out


def test_locks_of_the_state_and_of_vaults_are_found_too(hubfold: Program, scene: Scene) -> None:
    assert hubfold("consolidate", "hf", "models", "-y", "--link", "symlink").code == 0
    vault = next(scene.folder.rglob(".hubfold-vault")).parent
    held = [
        another(vault / ".lock", token_that_is_gone()),
        another(hubfold.home / "state/lock", token_that_is_gone()),
    ]
    found = hubfold("unlock", "-y", "--json").json
    assert [one["state"] for one in found["locks"]] == ["gone", "gone"]
    assert {one["path"] for one in found["broken"]} == {str(one.parent) for one in held}


def test_recovery_leaves_no_lock_of_what_was_killed_here(hubfold: Program, scene: Scene) -> None:
    assert hubfold("consolidate", "hf", "models", "-y", "--link", "symlink").code == 0
    vault = next(scene.folder.rglob(".hubfold-vault")).parent
    another(vault / ".lock", token_that_is_gone())
    journal = next((hubfold.home / "state/runs").glob("*.jsonl"))
    text = journal.read_text()
    journal.write_text(text[: text.rindex('{"record": "end"')])  # as a kill before its end leaves it
    assert hubfold("recover").code == 0
    assert not list(scene.folder.rglob("*.host"))
