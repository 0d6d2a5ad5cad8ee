"""The models of all roots: as the real client sees them, where it sees right; what is whole, and whose the space is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, display
from hubfold.content import Snapshot
from hubfold.reports.models import Wholeness
from hubfold.testing.trees import (
    Tree,
    hub_cache,
    local_dir,
    model_files,
)
from tests.building.library import SIZE, commit_of, configure, hf_ls, models


def freed(engine: Engine, *roots: Path) -> dict[str, int | None]:
    """What `hubfold ls` says that removing each model frees."""
    for root in roots:
        engine.add_root(root)
    return {model.id: model.freed_bytes for model in engine.models().models}


def test_repos_revisions_sizes_and_times_are_those_of_the_client(tree: Tree, engine: Engine) -> None:
    from huggingface_hub import scan_cache_dir

    tree.hub.add("org/base", model_files("base", SIZE))
    tree.hub.add("short", model_files("short", SIZE // 2))
    tree.hub.add("org/data", {"a/b.parquet": b"rows" * 999}, repo_type="dataset")
    tree.build({"hub": hub_cache("org/base", "short", "datasets/org/data")})
    tree.hub.add("org/base", {**model_files("base", SIZE), "config.json": b'{"second": 1}'})
    tree.build({"hub": hub_cache("org/base")})
    theirs = {
        (repo.repo_type, repo.repo_id): (
            repo.size_on_disk,
            repo.last_accessed,
            repo.last_modified,
            {(one.commit_hash, one.size_on_disk, one.refs, one.last_modified, str(one.snapshot_path))
             for one in repo.revisions},
        )
        for repo in scan_cache_dir(tree["hub"]).repos
    }  # fmt: skip
    ours = {
        (model.repo_type, model.repo_id): (
            model.bytes,
            model.last_accessed,
            model.last_modified,
            {(one.revision, one.bytes, frozenset(one.refs), one.last_modified, one.path) for one in model.revisions},
        )
        for model in models(engine, tree["hub"]).values()
    }  # fmt: skip
    assert len(theirs) == 3
    assert ours == theirs
    assert set(models(engine, tree["hub"])) == {"org/base", "short", "datasets/org/data"}


def test_ls_says_what_hf_cache_ls_says(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.hub.add("short", model_files("short", SIZE // 2))
    tree.hub.add("org/data", {"a/b.parquet": b"rows" * 999}, repo_type="dataset")
    tree.build({"hub": hub_cache("org/base", "short", "datasets/org/data")})
    tree.hub.add("org/base", {**model_files("base", SIZE), "config.json": b'{"second": 1}'})
    tree.build({"hub": hub_cache("org/base")})
    engine.add_root(tree["hub"])
    theirs = [(repo["repo_type"], repo["repo_id"], repo["size"], repo["refs"]) for repo in hf_ls(tree["hub"])]
    ours = [
        (model["repo_type"], model["repo_id"], display.size(model["size_bytes"]), model["refs"])
        for model in engine.models().as_json()["models"]
    ]
    assert len(ours) == 3 and sorted(ours) == sorted(theirs)
    revisions = [
        (one["repo_type"], one["repo_id"], one["revision"], one["snapshot_path"], one["size"], one["refs"])
        for one in hf_ls(tree["hub"], "--revisions")
    ]
    rows = [
        (
            one["repo_type"],
            one["repo_id"],
            one["revision"],
            one["path"],
            display.size(one["size_bytes"]),
            one["refs"],
        )
        for one in engine.models(revisions=True).as_json()["models"]
    ]
    assert len(rows) == 4 and sorted(rows) == sorted(revisions)


def test_one_broken_link_hides_a_repo_from_the_client_and_not_from_hubfold(
    tree: Tree, engine: Engine
) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.hub.add("org/other", model_files("other", SIZE))
    tree.build({"hub": hub_cache("org/base", "org/other")})
    (commit_of(tree, "org/base") / "config.json").resolve().unlink()
    assert [repo["repo_id"] for repo in hf_ls(tree["hub"])] == ["org/other"]
    base = models(engine, tree["hub"])["org/base"]
    assert base.state is Wholeness.BROKEN
    assert not base.cached
    [missing] = base.revisions[0].missing
    assert (missing.name, missing.reason) == ("config.json", "leads nowhere")
    assert models(engine, tree["hub"])["org/other"].state is Wholeness.WHOLE


def test_a_ref_without_its_revision_hides_a_repo_from_the_client_and_not_from_hubfold(
    tree: Tree, engine: Engine
) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base")})
    shutil.rmtree(commit_of(tree, "org/base"))
    assert hf_ls(tree["hub"]) == []
    base = models(engine, tree["hub"])["org/base"]
    assert (base.state, base.bytes, base.refs) == (Wholeness.INCOMPLETE, 0, ("main",))
    assert base.revisions[0].missing_bytes == sum(map(len, model_files("base", SIZE).values()))


def test_a_copy_in_a_folder_is_the_same_model_by_its_commit(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"models/base": local_dir("org/base"), "z/hub": hub_cache("org/base")})
    [base] = models(engine, tree["models"], tree["z"]).values()
    assert [place.path for place in base.places] == [
        str(tree["z/hub/models--org--base"]),
        str(tree["models/base"]),
    ], "a cache is preferred"
    assert base.bytes == base.places[0].bytes == base.places[1].bytes, "one copy is what it takes"
    assert base.physical_bytes > 2 * SIZE, "and this is what both take"
    [alone] = models(engine, tree["models"]).values()
    assert (alone.repo_id, alone.id, alone.state) == ("", str(tree["models/base"]), Wholeness.WHOLE)
    assert freed(engine, tree["models"]) == {alone.id: engine.preview_remove([alone.id]).bytes}


def test_a_place_without_its_files_is_named_last(tree: Tree, engine: Engine) -> None:
    """What a client downloads into a folder leaves a ref in its cache; a place may have a part of it, too."""
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build(
        {"a/hub": hub_cache("org/base"), "b/hub": hub_cache("org/base"), "models/base": local_dir("org/base")}
    )
    for folder in ("snapshots", "blobs"):
        shutil.rmtree(tree["a/hub/models--org--base"] / folder)
    next(tree["b/hub/models--org--base"].glob("snapshots/*/model.safetensors")).unlink()
    [base] = models(engine, tree["a"], tree["b"], tree["models"]).values()
    found = [(os.path.relpath(place.path, tree.folder), place.whole) for place in base.places]
    assert found[:2] == [("models/base", True), ("b/hub/models--org--base", False)]
    assert all(not place.bytes for place in base.places[2:])


def test_a_farm_is_as_whole_as_what_it_links(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hub"]))
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.hub.add("short", {"model.gguf": b"weights" * 999, "sub/more.gguf": b"more"})
    tree.hub.add("org/half", model_files("half", SIZE))
    tree.build({"hub": hub_cache("org/base", "short", "org/half")})
    (commit_of(tree, "org/half") / "model.safetensors").unlink()
    engine.farm(tree["farm"])
    found = models(engine, tree["hub"], tree["farm"])
    assert {name: (model.state, len(model.places)) for name, model in found.items()} == {
        "org/base": (Wholeness.WHOLE, 2),
        "org/half": (Wholeness.INCOMPLETE, 2),
        "short": (Wholeness.WHOLE, 2),
    }
    assert found["org/base"].places[1].path == str(tree["farm/org/base"])
    assert found["org/base"].places[1].default.revision == commit_of(tree, "org/base").name
    assert {file.name for file in found["short"].places[1].default.files} == {"model.gguf", "sub/more.gguf"}
    again = engine.preview_farm(tree["farm"])
    assert (again.added, again.removed) == ((), ()), "a farm is no source of farms"


def test_files_that_are_no_links_are_a_snapshot_too(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base")})
    for path in [path for path in commit_of(tree, "org/base").rglob("*") if path.is_symlink()]:
        blob = path.resolve()
        path.unlink()
        blob.rename(path)
    [base] = models(engine, tree["hub"]).values()
    assert base.state is Wholeness.WHOLE
    size = freed(engine, tree["hub"])["org/base"]
    assert size is not None and size > base.physical_bytes > SIZE


def test_a_drive_that_is_away_does_not_take_its_models_from_the_list(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"drive/hub": hub_cache("org/base")})
    engine.add_root(tree["drive/hub"])
    engine.scan()
    tree["drive"].rename(tree["unplugged"])
    report = engine.models()
    [base] = report.models
    assert (base.id, base.state, base.cached) == ("org/base", Wholeness.OFFLINE, False)
    assert base.bytes == sum(map(len, model_files("base", SIZE).values()))
    assert [warning.path for warning in report.warnings] == [str(tree["drive/hub"])]
    [checked] = engine.check(["org/base"]).models
    assert checked.status == "missing"
    assert engine.check(["org/base"]).recommendations[0].kind == "connect"


def test_asking_makes_no_state_and_changes_nothing(tree: Tree, engine: Engine, tmp_path: Path) -> None:
    from hubfold.testing import snapshot

    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    before = snapshot(tree.folder)
    engine.library([tree["hub"], tree["models"]])
    engine.models()
    engine.check(["org/base"])
    engine.look()
    assert snapshot(tree.folder) == before
    assert not (tmp_path / "state").exists()


def test_a_backend_that_fails_costs_its_root_only(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold_plugins.huggingface.local_dir import LocalDirBackend

    def fail(*_: object) -> Iterator[Snapshot]:
        raise RuntimeError("odd")

    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    monkeypatch.setattr(LocalDirBackend, "snapshots", fail)
    library = engine.library([tree["hub"], tree["models"]])
    assert [model.id for model in library.models] == ["org/base"]
    assert any("RuntimeError: odd" in warning.message for warning in library.warnings)


@pytest.mark.slow
def test_what_was_asked_for_is_forgotten_with_the_model(tree: Tree, user: Engine) -> None:
    user.download(user.plan_download(["org/many"], include=["*Q4*"]))
    assert user.models().models[0].state is Wholeness.WHOLE
    tree.build({"models/many": local_dir("org/many")})
    user.add_root(tree["models"])
    user.remove([str(tree["models/many"])])
    assert user.models().models[0].state is Wholeness.WHOLE, "only a copy went"
    user.remove(["org/many"])
    assert user.state.asked() == {}, "the next download may be somebody else's"


@pytest.mark.slow
def test_the_configuration_says_which_files_are_wanted(tree: Tree, user: Engine) -> None:
    configure(
        user,
        '[models]\nfour = { repo = "org/many", include = "*Q4*" }\n'
        'eight = { repo = "org/many", exclude = ["*Q4*", "*Q6*"] }\n',
    )
    assert [model.status for model in user.check().models] == ["missing", "missing"]
    user.download(user.plan_download(["four"]))
    assert sorted(os.listdir(user.model_path("four"))) == ["many.Q4.gguf"]
    four, eight = user.check().models
    assert (four.status, four.expected_bytes) == ("cached", 4000)
    assert (eight.status, {one.name for one in eight.missing}) == (
        "incomplete",
        {"many.Q8.gguf", "config.json"},
    )
    assert eight.missing_bytes == 8002
    [many] = user.models().models
    assert many.state is Wholeness.INCOMPLETE, "both together are wanted of the model"
    user.download(user.plan_download(["eight"]))
    assert user.check().whole
    assert user.models().models[0].state is Wholeness.WHOLE


@pytest.mark.slow
def test_the_memory_of_what_was_asked_for_may_be_lost_or_damaged(user: Engine) -> None:
    user.download(user.plan_download(["org/many"], include=["*Q4*"]))
    for text in ("", "{", '{"asked": [{"type": 1}]}', '{"asked": 3}'):
        Path(user.state.asked_for).write_text(text)
        assert user.models().models[0].state is Wholeness.INCOMPLETE
    user.download(user.plan_download(["org/many"], include=["*Q4*"]))
    assert user.models().models[0].state is Wholeness.WHOLE
