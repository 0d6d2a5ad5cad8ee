"""The cache manager that applications call."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import hubfold
from hubfold import HubfoldError, ModelCacheManager, UsageError, check_model_availability
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files

FILES = model_files("base", 40_000)
BYTES = sum(map(len, FILES.values()))


@pytest.fixture
def cached(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """``hf/hub`` with org/base whole and org/half not whole; it is the cache of the environment."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    tree.hub.add("org/base", FILES)
    tree.hub.add("org/half", model_files("half", 40_000))
    tree.build({"hf/hub": hub_cache("org/base", "org/half")})
    [link] = tree["hf/hub/models--org--half/snapshots"].glob("*/model.safetensors")
    link.unlink()
    return tree


@pytest.mark.parametrize(
    "place", [None, "hf", "hf/hub"], ids=["the environment's", "the base folder", "its hub"]
)
def test_a_cached_model_is_found(cached: Tree, place: str | None) -> None:
    from huggingface_hub import snapshot_download

    manager = ModelCacheManager(None if place is None else cached[place])
    repository = cached["hf/hub/models--org--base"]
    snapshot = Path(snapshot_download("org/base", cache_dir=cached["hf/hub"], local_files_only=True))
    assert manager.is_model_cached("org/base") is True
    assert manager.find_model_in_cache("org/base") == repository
    assert manager.get_cached_snapshot_path("org/base") == snapshot
    assert manager.get_model_size("org/base") == BYTES
    [listed] = manager.list_cached_models()
    assert (listed["model_id"], listed["size_bytes"], listed["path"]) == ("org/base", BYTES, str(repository))
    assert listed["size_gb"] == pytest.approx(BYTES / 1e9)
    assert listed["revisions"] == [snapshot.name]
    info = manager.get_cache_info()
    assert info["cache_dir"] == str(cached["hf/hub"])
    assert (info["model_count"], info["total_size_bytes"]) == (1, BYTES)
    assert info["total_size_gb"] == pytest.approx(BYTES / 1e9)
    assert info["incomplete"] == ["org/half"]


def test_a_half_downloaded_model_is_not_cached(cached: Tree) -> None:
    manager = ModelCacheManager(str(cached["hf"]))
    assert manager.is_model_cached("org/half") is False
    assert manager.find_model_in_cache("org/half") is None
    assert manager.get_cached_snapshot_path("org/half") is None
    assert 0 < manager.get_model_size("org/half") < 1000


def test_a_model_that_is_not_there(cached: Tree) -> None:
    manager = ModelCacheManager(cached["hf"])
    assert manager.is_model_cached("org/other") is False
    assert manager.find_model_in_cache("org/other") is None
    assert manager.get_model_size("org/other") == 0
    assert manager.delete_model_cache("org/other") is False


def test_one_cache_is_only_that_cache(cached: Tree) -> None:
    cached.hub.add("org/second", FILES)
    cached.build({"second/hub": hub_cache("org/second"), "models/base": local_dir("org/base")})
    with hubfold.Engine() as engine:
        engine.add_root(cached["second/hub"])
        engine.add_root(cached["models"])
    ids = {model["model_id"] for model in ModelCacheManager().list_cached_models()}
    assert ids == {"org/base", "org/second"}
    assert [model["model_id"] for model in ModelCacheManager(cached["second"]).list_cached_models()] == [
        "org/second"
    ]
    shutil.rmtree(cached["hf/hub/models--org--base"])
    assert ModelCacheManager().is_model_cached("org/base") is False, "nothing says what the copy is any more"


def test_a_cache_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    manager = ModelCacheManager(tmp_path / "nowhere")
    assert manager.list_cached_models() == []
    assert manager.get_cache_info()["model_count"] == 0
    assert manager.is_model_cached("org/base") is False
    assert not (tmp_path / "nowhere").exists()


def test_a_model_is_deleted_whole_or_not(cached: Tree) -> None:
    manager = ModelCacheManager(cached["hf"])
    for model in ("org/base", "org/half"):
        assert manager.delete_model_cache(model) is True
        assert manager.get_model_size(model) == 0
        assert manager.delete_model_cache(model) is False
    assert [name for name in os.listdir(cached["hf/hub"]) if name.startswith("models--")] == []


def test_only_the_cache_that_was_named_loses_it(cached: Tree) -> None:
    cached.build({"second/hub": hub_cache("org/base")})
    assert ModelCacheManager(cached["second"]).delete_model_cache("org/base") is True
    assert ModelCacheManager(cached["hf"]).is_model_cached("org/base") is True


@pytest.mark.parametrize("name", ["../x", "a\x1b/b", ""])
def test_what_cannot_be_a_repo_id(cached: Tree, name: str) -> None:
    manager = ModelCacheManager(cached["hf"])
    for call in (manager.is_model_cached, manager.get_model_size, manager.delete_model_cache):
        with pytest.raises(UsageError):
            call(name)
    available, text = check_model_availability(name)
    assert available is False
    assert "not a repo id" in text
    assert text.isprintable()


def test_availability_is_a_yes_or_no_and_a_sentence(cached: Tree) -> None:
    available, text = check_model_availability("org/base")
    assert available is True
    assert str(cached["hf/hub"]) in text
    available, text = check_model_availability("org/half")
    assert available is False
    assert "model.safetensors is not there" in text
    available, text = check_model_availability("org/bas")
    assert available is False
    assert "did you mean org/base" in text


def test_names_and_types_are_those_that_existing_code_calls(cached: Tree) -> None:
    """Signatures as applications have them in their own cache managers."""
    import inspect

    expected = {
        "find_model_in_cache": "(self, model_id: 'str') -> 'Path | None'",
        "is_model_cached": "(self, model_id: 'str') -> 'bool'",
        "get_cached_snapshot_path": "(self, model_id: 'str') -> 'Path | None'",
        "get_cached_model_path": "(self, model_id: 'str') -> 'Path | None'",
        "check_model_cache": "(self, model_id: 'str') -> 'dict[str, Any]'",
        "get_model_size": "(self, model_id: 'str') -> 'int'",
        "list_cached_models": "(self) -> 'list[dict[str, Any]]'",
        "delete_model_cache": "(self, model_id: 'str') -> 'bool'",
        "get_cache_info": "(self) -> 'dict[str, Any]'",
    }
    assert {name: str(inspect.signature(getattr(ModelCacheManager, name))) for name in expected} == expected
    first, second = inspect.signature(check_model_availability).parameters.values()
    assert (first.name, second.name, second.default) == ("model_id", "cache_dir", None)
    [parameter] = inspect.signature(ModelCacheManager).parameters.values()
    assert (parameter.name, parameter.default) == ("cache_dir", None)
    manager = ModelCacheManager(str(cached["hf"]))
    [listed] = manager.list_cached_models()
    assert {"model_id", "size_bytes", "size_gb", "path", "revisions"} <= set(listed)
    info = manager.get_cache_info()
    assert {"cache_dir", "model_count", "total_size_bytes", "total_size_gb"} <= set(info)
    for found in (listed, info):
        assert json.loads(json.dumps(found)) == found, "plain data, for whoever writes it to a file"
    assert isinstance(manager.find_model_in_cache("org/base"), Path)


def test_a_short_name_and_the_files_that_are_wanted_count(cached: Tree) -> None:
    with hubfold.Engine() as engine:
        config = Path(engine.state.config)
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('[models]\ntexts = { repo = "org/half", include = ["*.json", "*.md"] }\n')
    manager = ModelCacheManager(cached["hf"])
    assert manager.is_model_cached("texts") is True
    assert manager.is_model_cached("org/half") is True, (
        "config.toml says that this is all that is wanted of it"
    )
    assert check_model_availability("texts")[0] is True
    config.unlink()
    assert manager.is_model_cached("org/half") is False


def test_a_model_is_downloaded_into_the_cache_of_the_manager(
    cached: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_ENDPOINT", cached.hub.endpoint)
    manager = ModelCacheManager()
    folder = manager.download("org/half")
    assert folder == manager.get_cached_model_path("org/half")
    assert (folder / "model.safetensors").stat().st_size == 40_000
    cached.hub.forget_hits()
    assert manager.download("org/half", folder.name) == folder
    assert not cached.hub.hits, "a commit that is whole is asked of nobody"
    other = ModelCacheManager(cached["other"])
    texts = other.download("org/base", include=["*.json", "*.md"], exclude="README*")
    assert sorted(os.listdir(texts)) == ["config.json", "tokenizer"]
    assert other.is_model_cached("org/base") and other.cache_dir == cached["other"]
    with pytest.raises(HubfoldError):
        manager.download("org/nowhere")


def test_a_download_that_is_not_whole_in_the_end_is_an_error(
    cached: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manager = ModelCacheManager()
    assert manager.download("org/base") == manager.get_cached_snapshot_path("org/base")
    with pytest.raises(HubfoldError, match=r"model\.safetensors"):
        manager.download("org/half")
    [link] = cached["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")
    os.truncate(link.resolve(), 100)
    with pytest.raises(HubfoldError, match=r"org/base was not downloaded: .*has 100 bytes"):
        manager.download("org/base")


def test_how_much_of_a_model_is_there(cached: Tree) -> None:
    with hubfold.Engine() as engine:
        Path(engine.state.config).parent.mkdir(parents=True, exist_ok=True)
        Path(engine.state.config).write_text('[models]\nhalf = "org/half"\n')
    for manager in (ModelCacheManager(), ModelCacheManager(cached["hf"])):
        base, half, none = map(manager.check_model_cache, ("org/base", "half", "org/nowhere"))
        assert (base["cached"], base["status"], base["missing"]) == (True, "cached", [])
        assert base["path"] == str(manager.get_cached_model_path("org/base"))
        assert base["size_gb"] == pytest.approx(BYTES / 1e9)
        assert (half["model_id"], half["cached"], half["status"]) == ("org/half", False, "incomplete")
        assert (half["missing"], half["missing_bytes"]) == (["model.safetensors"], 40_000)
        assert "model.safetensors is not there" in half["message"]
        assert (none["status"], none["path"], none["size_bytes"]) == ("missing", None, 0)
        assert json.loads(json.dumps([base, half, none])) == [base, half, none]


def test_a_dataset_is_no_model(cached: Tree) -> None:
    cached.hub.add("org/data", {"data.parquet": b"x" * 40_000}, repo_type="dataset")
    cached.build({"hf/hub": hub_cache("datasets/org/data")})
    manager = ModelCacheManager()
    assert [model["model_id"] for model in manager.list_cached_models()] == ["org/base"]
    info = manager.get_cache_info()
    assert (info["model_count"], info["total_size_bytes"], info["models"]) == (
        1,
        BYTES,
        manager.list_cached_models(),
    )
    assert info["dataset_count"] == 1
    assert [one["model_id"] for one in info["datasets"]] == ["datasets/org/data"]
    assert info["incomplete"] == ["org/half"]
    assert manager.is_model_cached("datasets/org/data")
