"""Adopted and migrated models in the hands of real clients: each loads, lists and deletes them, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing.loopback_hub import LoopbackHub
from tests.adoption.folders import bytes_below
from tests.building.clients import Client
from tests.whole.test_after_folding import VOCABULARY, WEIGHTS, publish

FILES = {"config.json": 3, "model.safetensors": len(WEIGHTS), "vocab.txt": len(VOCABULARY)}


def engine_in(place: Path) -> Engine:
    (place / "home").mkdir(exist_ok=True)
    return Engine(place / "state", environ={"HOME": str(place / "home"), "HF_HUB_OFFLINE": "1"})


def content(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in bytes_below(folder).items() if not name.startswith(".")}


@pytest.mark.slow
def test_an_adopted_download(tmp_path: Path, client: Client, hub: LoopbackHub) -> None:
    commit, _ = publish(hub)
    folder, cache = tmp_path / "base", tmp_path / "hub"
    client("download", "org/base", tmp_path / "elsewhere", folder)
    before = content(folder)
    with engine_in(tmp_path) as engine:
        report = engine.adopt(engine.plan_adopt(folder, "org/base", into=cache))
    assert (report.commit, report.failed) == (commit, ())
    for revision in ("main", commit):
        assert client("offline", "org/base", revision, cache) == FILES
    listed = client("scan", cache)
    assert not listed["warnings"]
    assert [(repo[0], repo[3][0][0], repo[3][0][2]) for repo in listed["repos"]] == [
        ("org/base", commit, ["main"])
    ]
    # What it has and what it noted agree with the Hub, so nothing is fetched again.
    hub.forget_hits()
    client("download", "org/base", cache, "")
    client("download", "org/base", cache, folder)
    assert not [hit for hit in hub.hits if hit.method == "GET" and hit.filename and hit.bytes > 1000]
    assert content(folder) == before
    client.cache_rm(cache, "model/org/base")
    assert content(folder) == before


@pytest.mark.slow
def test_a_migrated_cache(tmp_path: Path, client: Client, hub: LoopbackHub) -> None:
    commit, tuned = publish(hub)
    old, new = tmp_path / "old", tmp_path / "new"
    for repo in ("org/base", "org/tuned"):
        client("download", repo, old, "")
    with engine_in(tmp_path) as engine:
        report = engine.migrate(engine.plan_migrate(old, new))
    assert not report.failed
    for cache in (old, new):
        assert client("offline", "org/base", "main", cache) == FILES
        assert not client("scan", cache)["warnings"]
    client("download", "org/base", new, "")
    client.cache_rm(new, tuned)
    client.cache_rm(new, "model/org/base")
    assert client("offline", "org/base", commit, old) == FILES
    assert len(client("offline", "org/tuned", "main", old)) == 2
