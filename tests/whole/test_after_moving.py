"""After a move the real huggingface_hub is content with both places: the newest here, older ones in theirs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import safetensors
from tests.building.clients import Client
from tests.whole.test_after_folding import VOCABULARY, WEIGHTS

pytestmark = pytest.mark.slow

FILES = {"model.safetensors": WEIGHTS, "vocab.txt": VOCABULARY, "config.json": b"{}"}


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.add("org/base", FILES)
        hub.add("org/stays", {"model.safetensors": safetensors("stays", 2 << 20)})
        yield hub


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    place = tmp_path_factory.mktemp("filled")
    for repo in ("org/base", "org/stays"):
        client("download", repo, place / "hub", "")
    return place


class Moved:
    """org/base, moved from `old` to `new` on another drive."""

    def __init__(self, old: Path, new: Path, client: Client, engine: Engine) -> None:
        self.old, self.new, self.client, self.engine = old, new, client, engine
        self.listed = client("scan", old)
        self.commit = self.revision()
        report = engine.apply_move(engine.plan_move(["org/base"], new))
        assert len(report.models) == 1 and not report.failed, report
        assert len(report.models[0].links) == 2

    def revision(self) -> str:
        return next(revisions[0][0] for repo, _, _, revisions in self.listed["repos"] if repo == "org/base")

    def given(self, cache: Path, commit: str | None = None) -> dict[str, bytes]:
        """What the client gives a program, offline."""
        self.client("offline", "org/base", commit or self.commit, cache)
        folder = cache / "models--org--base" / "snapshots" / (commit or self.commit)
        return {name: (folder / name).read_bytes() for name in os.listdir(folder)}


@pytest.fixture
def moved(tmp_path: Path, other_drive: Path, filled: Path, client: Client) -> Iterator[Moved]:
    subprocess.run(["cp", "-a", f"{filled}/.", str(tmp_path)], check=True)
    environ = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HOME": str(tmp_path)}
    with Engine(tmp_path / "state", environ=environ) as engine:
        yield Moved(tmp_path / "hub", other_drive / "hub", client, engine)


def test_it_is_listed_and_loads_from_both(moved: Moved) -> None:
    assert moved.client("scan", moved.old) == moved.listed
    there = moved.client("scan", moved.new)
    assert there["warnings"] == []
    assert there["repos"] == [repo for repo in moved.listed["repos"] if repo[0] == "org/base"]
    assert moved.given(moved.old) == moved.given(moved.new) == FILES


def test_it_is_updated_in_both_places(moved: Moved, hub: LoopbackHub) -> None:
    newer = {**FILES, "model.safetensors": safetensors(f"newer-{moved.client.release}", 3 << 20)}
    commit = hub.add("org/base", newer)
    try:
        for cache in (moved.old, moved.new):
            moved.client("download", "org/base", cache, "")
        for cache in (moved.old, moved.new):
            assert moved.given(cache, commit) == newer
            assert moved.given(cache) == FILES
    finally:
        hub.add("org/base", FILES)


def test_deleted_in_its_old_place_it_is_whole_in_the_new_one(moved: Moved) -> None:
    moved.client.cache_rm(moved.old, "model/org/base")
    assert moved.given(moved.new) == FILES
    assert [repo[0] for repo in moved.client("scan", moved.old)["repos"]] == ["org/stays"]
    assert moved.client("offline", "org/stays", "main", moved.old)


def test_deleted_in_its_new_place_it_is_whole_in_the_old_one(moved: Moved) -> None:
    moved.client.cache_rm(moved.new, "model/org/base")
    assert moved.given(moved.old) == FILES
    assert moved.engine.gc().removed == ()
    assert moved.given(moved.old) == FILES


def test_one_revision_of_two_is_deleted(moved: Moved, hub: LoopbackHub) -> None:
    """What the other one shares with it stays in both places."""
    newer = {**FILES, "config.json": b'{"newer": "%s"}' % moved.client.release.encode()}
    commit = hub.add("org/base", newer)
    try:
        moved.client("download", "org/base", moved.old, "")
        moved.client("delete", moved.old, moved.commit)
        assert moved.given(moved.old, commit) == newer and moved.given(moved.new) == FILES
    finally:
        hub.add("org/base", FILES)
