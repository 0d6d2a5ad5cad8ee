"""Programs load a model after all that hubfold does to it: `snapshot_download` and `hf_hub_download`, offline.

`test_transformers.py` asks the same of `AutoConfig`, in an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download, snapshot_download

from hubfold import Engine
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, safetensors

FILES = {**model_files("base"), "tokenizer.safetensors": safetensors("shared", 2 << 20)}


@pytest.fixture
def user(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A user with org/one in the cache ``hf/hub``; org/two on the Hub has the same files."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    tree.hub.add("org/one", FILES)
    tree.hub.add("org/two", FILES)
    tree.build({"hf/hub": hub_cache("org/one")})
    with Engine() as engine:
        yield engine


def assert_loads(cache: Path, *repositories: str) -> None:
    for repo_id in repositories:
        folder = Path(snapshot_download(repo_id, cache_dir=cache, local_files_only=True))
        for name, content in FILES.items():
            assert (folder / name).read_bytes() == content, f"{repo_id}/{name}"
            one = hf_hub_download(repo_id, name, cache_dir=cache, local_files_only=True)
            assert Path(one) == folder / name
        assert {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} == set(
            FILES
        )


def download_with_reuse(tree: Tree, user: Engine) -> None:
    tree.hub.forget_hits()
    report = user.download(user.plan_download(["org/two"]))
    assert len(report.reused) == 2
    assert tree.hub.downloads(1 << 20) == []


def consolidate(tree: Tree, user: Engine) -> None:
    tree.build({"models/one": local_dir("org/one")})
    user.add_root(tree["models"])
    user.scan()
    assert user.apply(user.plan()).actions
    assert (tree["models/one"] / "model.safetensors").is_symlink()


def test_after_a_download_with_reuse(tree: Tree, user: Engine) -> None:
    download_with_reuse(tree, user)
    assert_loads(tree["hf/hub"], "org/one", "org/two")


@pytest.mark.slow
def test_after_consolidate(tree: Tree, user: Engine) -> None:
    tree.build({"hf/hub": hub_cache("org/one", "org/two"), "other/hub": hub_cache("org/two")})
    user.add_root(tree["other"])
    consolidate(tree, user)
    assert_loads(tree["hf/hub"], "org/one", "org/two")
    assert_loads(tree["other/hub"], "org/two")


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["org/one", "org/two"])
def test_after_rm_of_a_model_that_shares_its_content(tree: Tree, user: Engine, gone: str) -> None:
    download_with_reuse(tree, user)
    consolidate(tree, user)
    assert not user.remove([gone]).failed
    [stays] = {"org/one", "org/two"} - {gone}
    assert_loads(tree["hf/hub"], stays)
    assert (tree["models/one"] / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    with pytest.raises(Exception, match="Cannot find"):
        snapshot_download(gone, cache_dir=tree["hf/hub"], local_files_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["saved", "saved.tar"])
def test_after_backup_and_restore(tree: Tree, user: Engine, form: str) -> None:
    download_with_reuse(tree, user)
    user.backup(user.plan_backup(tree[form]))
    user.remove(["org/one", "org/two"])
    assert not any(name.startswith("models--") for name in os.listdir(tree["hf/hub"]))
    plan = user.plan_restore(tree[form])
    assert not user.restore(tree[form], plan).failed
    assert_loads(tree["hf/hub"], "org/one", "org/two")


@pytest.mark.slow
def test_after_all_of_it_in_a_row(tree: Tree, user: Engine) -> None:
    download_with_reuse(tree, user)
    consolidate(tree, user)
    user.remove(["org/one"])
    user.backup(user.plan_backup(tree["saved.tar"]))
    user.remove(["org/two"])
    user.restore(tree["saved.tar"], user.plan_restore(tree["saved.tar"]))
    assert_loads(tree["hf/hub"], "org/two")
    tree.hub.forget_hits()
    user.download(user.plan_download(["org/two"]))
    assert tree.hub.downloads(1 << 20) == [], "it is whole, so nothing is fetched"
