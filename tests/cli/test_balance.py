"""``hubfold balance``, ``pin`` and ``unpin`` as a user types them."""

from __future__ import annotations

from pathlib import Path

from tests.building.program import Program, Scene


def limited(hubfold: Program, scene: Scene, slow: Path) -> None:
    hubfold("roots", "add", scene.hub, "--role", "primary", "--limit", "1MB")
    hubfold("roots", "add", slow, "--name", "slow", "--backend", "hub-cache")


def test_balance_says_what_it_moves_and_why(hubfold: Program, scene: Scene, other_drive: Path) -> None:
    told = hubfold("balance", "--dry-run")
    assert told.code == 0 and "no place has a limit" in told.out and "--limit" in told.err
    limited(hubfold, scene, other_drive)
    told = hubfold("balance", "--dry-run")
    assert told.code == 0 and "org/base" in told.out and str(other_drive) in told.out, told
    assert hubfold("balance").code == 5 and not scene.blob.is_symlink()
    assert hubfold("pin", "org/base").out == "org/base\n" == hubfold("pin").out
    told = hubfold("balance", "-y")
    assert told.code == 3 and "it is pinned" in told.out and "nothing can move" in told.out, told
    assert hubfold("unpin", "org/base").code == 0
    done = hubfold("balance", "-y", "--json").json
    assert [(one["name"], one["to"]) for one in done["models"]] == [("org/base", str(other_drive))]


def test_watching_asks_nobody(hubfold: Program) -> None:
    told = hubfold("balance", "--watch")
    assert told.code == 2 and "give -y" in told.err


def test_pins_that_mean_nothing(hubfold: Program, scene: Scene) -> None:
    told = hubfold("pin", "org/bsae")
    assert told.code == 1 and "did you mean org/base?" in told.err
    assert hubfold("unpin").code == 2
    assert hubfold("pin", "--json").json == {"pinned": []}


def test_a_place_on_the_same_drive_helps_nobody(hubfold: Program, scene: Scene) -> None:
    (hubfold.home / "slow").mkdir()
    limited(hubfold, scene, hubfold.home / "slow")
    told = hubfold("balance", "-y")
    assert told.code == 3 and "nothing would be freed" in told.out, told
