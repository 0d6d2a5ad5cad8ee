"""What is promised is what happens: the bytes that scan, dupes and the status name are those that the plan frees."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.engine import memory, planning
from tests.building.program import Program
from tests.building.weights import SIZE, twice, weights

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="files of other users: root only")


def promised(hubfold: Program, *about: str | Path) -> dict[str, int]:
    """What each command says about the same, by its name."""
    sets = hubfold("dupes", *about, "--json").json
    assert sets["reclaimable_bytes"] == sum(one["reclaimable_bytes"] for one in sets["sets"])
    found = {
        "scan": hubfold("scan", *about, "--json").json["reclaimable_bytes"],
        "dupes": sets["reclaimable_bytes"],
        "plan": hubfold("consolidate", "--dry-run", *about, "--json").json["reclaimed_bytes"],
    }
    if not about:
        found["status"] = hubfold("--json").json["reclaimable_bytes"]
    return found


def of_two_owners(folder: Path) -> None:
    for user, pair in ((4001, 0), (4002, 1)):
        for copies in twice(folder, "one.safetensors"):
            os.chown(copies[pair], user, user)
    twice(folder / "mine", "two.safetensors")


def with_closed_folder(folder: Path) -> None:
    for one, _ in twice(folder, "one.safetensors"):
        one.parent.chmod(0o700)


def with_other_names(folder: Path) -> None:
    [[one, other], *_] = twice(folder, "one.safetensors", "two.safetensors")
    for number, path in enumerate((one, other)):
        os.link(path, folder / f"hidden{number}")


def that_are_not_written_yet(folder: Path) -> None:
    for pair in twice(folder, "one.safetensors", "two.safetensors")[:1]:
        for path in pair:
            path.write_bytes(bytes(SIZE))


def with_holes(folder: Path) -> None:
    [[one, other]] = twice(folder, "one.gguf")
    content = b"GGUF" + bytes(SIZE)
    one.write_bytes(content)
    with open(other, "wb") as file:
        file.write(b"GGUF")
        file.truncate(len(content))


def that_are_one_already(folder: Path) -> None:
    [[one, other], *_] = twice(folder, "one.safetensors", "two.safetensors")
    other.unlink()
    os.link(one, other)


KINDS = [
    pytest.param(of_two_owners, marks=ROOT),
    with_holes,
    that_are_one_already,
    *(
        pytest.param(build, marks=pytest.mark.slow)
        for build in (with_closed_folder, with_other_names, that_are_not_written_yet)
    ),
]


@pytest.mark.parametrize("build", KINDS, ids=lambda build: build.__name__)
def test_what_is_called_reclaimable_is_what_the_plan_frees(
    hubfold: Program, build: Callable[[Path], None]
) -> None:
    folder = hubfold.home / "folder"
    folder.mkdir()
    build(folder)
    hubfold("scan", folder)
    by_path = promised(hubfold, folder)
    assert len(set(by_path.values())) == 1, by_path
    hubfold("roots", "add", folder)
    hubfold("scan")
    bare = promised(hubfold)
    assert set(bare.values()) == set(by_path.values()), bare
    done = hubfold("consolidate", "-y", "--json").json
    assert done["reclaimed_bytes"] == bare["plan"]
    assert promised(hubfold) == dict.fromkeys(bare, 0)


def test_of_very_many_sets_it_is_about_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (planning, memory):
        monkeypatch.setattr(module, "PLANNED_SETS", 1)
    folder = tmp_path / "folder"
    [[one, _], *_] = twice(folder, "one.safetensors", "two.safetensors")
    with Engine(tmp_path / "state", environ={"HOME": str(tmp_path)}) as engine:
        report = engine.scan([folder])
        assert report.estimated and report.reclaimable_bytes == 2 * one.stat().st_blocks * 512
        assert engine.dupes([folder]).reclaimable_bytes == report.reclaimable_bytes
        assert not engine.scan([folder / "a"]).estimated, "of one set or none it is known"


def test_after_a_fold_a_scan_warns_of_nothing_that_it_did_not_warn_of_before(hubfold: Program) -> None:
    """Objects of files without any digest but hubfold's own are named by that."""
    folder = hubfold.home / "folder"
    twice(folder, "one.safetensors", "two.safetensors")
    weights(folder / "c" / "one.safetensors", 1)
    hubfold("roots", "add", folder)
    assert hubfold("scan", "--json").json["warnings"] == []
    assert hubfold("consolidate", "-y", "--link", "symlink").code == 0
    assert hubfold("scan", "--json").json["warnings"] == []
