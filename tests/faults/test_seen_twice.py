"""One file that two mounts show: never taken for two, never replaced by a link to itself, told once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold import Engine, LinkKind
from hubfold.duplicates import sets
from hubfold.testing import safetensors

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
