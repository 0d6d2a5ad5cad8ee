"""One file that two mounts show: never taken for two, never replaced by a link to itself, told once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold import Engine, LinkKind
from hubfold.duplicates import sets
from hubfold.testing import safetensors
from tests.building import tree

from .filesystems import Mounts, unmount

pytestmark = pytest.mark.slow

#: Each shows the files of a folder once more, under a device number of its own.
VIEWS: dict[str, Callable[[Mounts, str], str]] = {
    "bindfs": lambda mounts, folder: mounts.bindfs(folder).path,
    "mergerfs": lambda mounts, folder: mounts.mergerfs(folder, mounts.place()).path,
    "overlay": lambda mounts, folder: mounts.overlay(folder).path,
}


@pytest.fixture(params=VIEWS)
def twice(request: pytest.FixtureRequest, mounts: Mounts) -> tuple[Path, Path]:
    """(a folder with a model file, the same folder seen through another mount)."""
    disk = mounts.image("ext4").path
    real = Path(disk) / "real"
    real.mkdir()
    (real / "model.safetensors").write_bytes(safetensors("weights"))
    return real, Path(VIEWS[request.param](mounts, str(real)))


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the executor is left with when the index says nothing of views."""
    monkeypatch.setattr(sets, "without_views", lambda payloads, shown: dict(payloads))


def names_below(folder: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(at, name), folder)
        for at, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )


def test_a_file_seen_twice_counts_once(twice: tuple[Path, Path], tmp_path: Path) -> None:
    real, view = twice
    with Engine(tmp_path / "state") as engine:
        report = engine.scan([real, view])
        assert (report.duplicate_sets, report.reclaimable_bytes) == (0, 0)
        assert engine.dupes().sets == ()
        assert engine.plan().actions == ()


def test_a_copy_beside_is_folded_with_the_file_and_not_with_its_view(
    twice: tuple[Path, Path], tmp_path: Path
) -> None:
    real, view = twice
    copy = real.parent / "copies" / "model.safetensors"
    copy.parent.mkdir()
    copy.write_bytes((real / "model.safetensors").read_bytes())
    content = copy.read_bytes()
    with Engine(tmp_path / "state") as engine:
        report = engine.scan([real, view, copy.parent])
        assert report.duplicate_sets == 1
        plan = engine.plan()
        assert plan.bytes == report.reclaimable_bytes > 0
        assert not engine.apply(plan).failed
    for path in (copy, real / "model.safetensors", view / "model.safetensors"):
        assert path.read_bytes() == content
    unmount(str(view))
    assert copy.read_bytes() == (real / "model.safetensors").read_bytes() == content


@pytest.mark.parametrize("link", [LinkKind.SYMLINK, LinkKind.HARDLINK])
@pytest.mark.parametrize("keeper", ["real", "view"])
def test_the_executor_finds_out_for_itself(
    twice: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: LinkKind, keeper: str
) -> None:
    real, view = twice
    blind(monkeypatch)
    content, before = (real / "model.safetensors").read_bytes(), names_below(real)
    with Engine(tmp_path / "state") as engine:
        engine.scan([real, view])
        into = str(real if keeper == "real" else view)
        plan = engine.plan(link=link, into=into)
        report = engine.apply(plan)
        assert (report.actions, report.failed, report.reclaimed_bytes) == ((), (), 0)
        told = [left for left in report.skipped if "seen through another mount" in left.reason]
        assert len(told) == len(plan.actions)
        assert engine.runs()[0].state == "finished"
        assert not engine.recover().runs
    unmount(str(view))
    assert (real / "model.safetensors").read_bytes() == content
    assert names_below(real) == before


def test_a_view_of_a_local_copy_is_no_other_copy(twice: tuple[Path, Path], tmp_path: Path) -> None:
    """A cache whose blob leads to the copy itself, by the other mount: nothing that names tell."""
    real, view = twice
    (real / "model.safetensors").unlink()
    files = {"model.safetensors": safetensors("weights")}
    tree.local_dir(str(real), files)
    blobs = tree.cache(str(tmp_path / "hub"), "org/one", files)
    blob = Path(blobs["model.safetensors"])
    blob.unlink()
    blob.symlink_to(view / "model.safetensors")
    before = names_below(real)
    with Engine(tmp_path / "state") as engine:
        for root in (real, tmp_path / "hub"):
            engine.add_root(root)
        plan = engine.plan_redundant([real])
        assert len(plan.removals) == 1, "nobody has looked at the files yet"
        report = engine.apply_removal(plan)
        assert report.removed == ()
        assert "seen by another mount" in report.failed[0].error
    assert names_below(real) == before
    assert blob.read_bytes() == files["model.safetensors"]


def test_a_bind_mount_of_a_local_copy_is_no_other_copy(mounts: Mounts, tmp_path: Path) -> None:
    """One device, one inode number, and two names in the cache's eyes: it is one name."""
    real = tmp_path / "real"
    files = {"model.safetensors": safetensors("weights")}
    paths = tree.local_dir(str(real), files)
    os.link(paths["model.safetensors"], tmp_path / "a name of somebody else")
    view = mounts.bind(str(real)).path
    blob = Path(tree.cache(str(tmp_path / "hub"), "org/one", files)["model.safetensors"])
    blob.unlink()
    blob.symlink_to(os.path.join(view, "model.safetensors"))
    with Engine(tmp_path / "state") as engine:
        for root in (real, tmp_path / "hub"):
            engine.add_root(root)
        plan = engine.plan_redundant([real])
        assert plan.removals == ()
        assert any("by another path" in left.reason or "no cache" in left.reason for left in plan.left)
    assert blob.read_bytes() == files["model.safetensors"]
