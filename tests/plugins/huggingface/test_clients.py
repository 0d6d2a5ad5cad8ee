"""Trees of older clients: what each of them writes is understood, claim by claim."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.reports.models import Wholeness
from hubfold.testing import digests_of
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, safetensors
from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from tests.building.one_root import scan

_CLIENTS = Path(os.environ.get("HUBFOLD_TEST_CLIENTS") or "/nowhere")
RELEASES = sorted(path.name for path in _CLIENTS.iterdir()) if _CLIENTS.is_dir() else ["none"]

pytestmark = [pytest.mark.clients, pytest.mark.parametrize("release", RELEASES)]


@pytest.fixture
def old_tree(release: str, tree: Tree) -> Tree:
    tree.python = str(_CLIENTS / release / "bin" / "python")
    return tree


def test_a_cache_is_known_by_true_claims(old_tree: Tree) -> None:
    tree = old_tree
    commit = tree.hub.add("org/base", model_files("base", 40_000))
    tree.hub.add("org/data", {"a.parquet": b"rows"}, repo_type="dataset")
    tree.build({"hub": hub_cache("org/base", "datasets/org/data")})
    scanned = scan(HubCacheBackend, tree["hub"])
    assert len(scanned.replicas) == 5
    assert not scanned.warnings
    for path, replica in scanned.replicas.items():
        true = digests_of(tree["hub"] / path)
        assert replica.claims
        assert replica.claims.items() <= true.items()
    assert {one.revision for one in scanned.replicas.values() if one.repo_id == "org/base"} == {commit}


def test_a_local_dir_is_known_by_true_claims(old_tree: Tree) -> None:
    tree = old_tree
    commit = tree.hub.add("org/base", model_files("base", 40_000))
    tree.build({"models/base": local_dir("org/base")})
    scanned = scan(LocalDirBackend, tree["models"], commits={commit: ("org/base", "model")})
    assert set(scanned) == {f"base/{name}" for name in model_files("base")}
    for path, replica in scanned.replicas.items():
        assert replica.claims
        assert replica.claims.items() <= digests_of(tree["models"] / path).items()
        assert (replica.repo_id, replica.revision) == ("org/base", commit)
        assert replica.latest_mtime_ns is not None


def test_the_latest_mtime_keeps_the_client_from_downloading_again(old_tree: Tree) -> None:
    tree = old_tree
    tree.hub.add("org/base", {"model.safetensors": safetensors("base", 400_000), "vocab.txt": b"v" * 300_000})
    tree.build({"base": local_dir("org/base")})
    for path, replica in scan(LocalDirBackend, tree["base"]).replicas.items():
        assert replica.latest_mtime_ns is not None
        os.utime(tree["base"] / path, ns=(0, replica.latest_mtime_ns))
    tree.hub.forget_hits()
    tree.sync("base")
    assert tree.hub.count() > 0
    assert tree.hub.downloads() == []


def test_the_hub_answers_range_requests(release: str, loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    loopback_hub.add("org/base", {"model.safetensors": safetensors("base", 400_000)})
    code = """
import sys
from huggingface_hub.file_download import http_get
with open(sys.argv[2], "r+b") as file:
    file.seek(0, 2)
    http_get(sys.argv[1], file, resume_size=file.tell(), expected_size=400_000)
"""
    half = tmp_path / "half"
    half.write_bytes(safetensors("base", 400_000)[:150_000])
    url = f"{loopback_hub.endpoint}/org/base/resolve/main/model.safetensors"
    python = str(_CLIENTS / release / "bin" / "python")
    subprocess.run(
        [python, "-c", code, url, str(half)], env={**os.environ, **loopback_hub.environ()}, check=True
    )
    assert half.read_bytes() == safetensors("base", 400_000)
    assert [hit.bytes for hit in loopback_hub.downloads()] == [250_000]


def test_what_it_downloaded_is_whole_and_what_is_cut_is_not(old_tree: Tree, tmp_path: Path) -> None:
    tree = old_tree
    commit = tree.hub.add("org/base", model_files("base", 40_000))
    tree.build({"hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    with Engine(tmp_path / "state") as engine:
        [base] = engine.library([tree["hub"], tree["models"]]).models
        assert [(one.revision, one.state) for one in base.revisions] == [(commit, Wholeness.WHOLE)] * 2
        weights = tree[f"hub/models--org--base/snapshots/{commit}/model.safetensors"]
        weights.resolve().rename(f"{weights.resolve()}.incomplete")
        weights.unlink()
        [base] = engine.library([tree["hub"]]).models
        assert base.state is Wholeness.INCOMPLETE
