"""`rm MODEL FILE`: single files of a model in a cache that the real client wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, HubfoldError, UsageError
from hubfold.testing.trees import (
    Tree,
    has_shared_store,
    hub_cache,
    link_to,
    local_dir,
    model_files,
    safetensors,
    with_xet_hash,
)
from tests.building.library import commit_of

SIZE = 2 << 20
FILES = {**model_files("base", SIZE), "pytorch_model.bin": safetensors("bin", SIZE)}


@pytest.fixture
def engine(tree: Tree) -> Iterator[Engine]:
    """org/base with weights in two formats, of which a third name has the bytes of the first."""
    tree.hub.add("org/base", {**FILES, "same/again.bin": FILES["model.safetensors"]})
    tree.build({"hub": hub_cache("org/base")})
    with Engine() as made:
        made.add_root(tree["hub"])
        yield made


def names(tree: Tree, cache: str = "hub") -> set[str]:
    folder = commit_of(tree, "org/base", cache)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def read(tree: Tree, name: str) -> bytes:
    return (commit_of(tree, "org/base") / name).read_bytes()


def test_a_file_goes_with_its_content_and_nothing_else(tree: Tree, engine: Engine) -> None:
    blob = (commit_of(tree, "org/base") / "pytorch_model.bin").resolve()
    plan = engine.plan_remove(["org/base", "pytorch_model.bin"])
    preview = engine.preview_removal(plan)
    assert preview.removed == (str(commit_of(tree, "org/base") / "pytorch_model.bin"), str(blob))
    assert [(one.kind, one.name) for one in preview.models] == [("files of", "org/base")]
    report = engine.apply_removal(plan)
    assert not report.failed and set(report.removed) == set(preview.removed)
    assert report.bytes == preview.bytes >= SIZE
    assert not blob.exists()
    assert names(tree) == {*FILES, "same/again.bin"} - {"pytorch_model.bin"}
    assert all(read(tree, name) == FILES[name] for name in names(tree) & FILES.keys())


def test_content_that_another_name_leads_to_stays(tree: Tree, engine: Engine) -> None:
    report = engine.remove(["org/base", "model.safetensors"])
    assert len(report.removed) == 1 and report.bytes < SIZE
    assert read(tree, "same/again.bin") == FILES["model.safetensors"]
    report = engine.remove(["org/base", "same/*"])
    assert report.bytes >= SIZE


def test_both_names_of_a_content_take_it_with_them(tree: Tree, engine: Engine) -> None:
    report = engine.remove(["org/base", "model.safetensors", "same/again.bin", "config.json"])
    assert not report.failed and len(report.removed) == 5
    assert names(tree) == {"README.md", "pytorch_model.bin", "tokenizer/tokenizer.json"}


def test_what_another_revision_reads_stays(tree: Tree, engine: Engine) -> None:
    first = commit_of(tree, "org/base").name
    tree.hub.add("org/base", {**FILES, "README.md": b"newer"})
    tree.sync("hub")
    report = engine.remove(["org/base", "pytorch_model.bin"], first[:10])
    assert [os.path.basename(path) for path in report.removed] == ["pytorch_model.bin"]
    [newer] = [path for path in tree["hub/models--org--base/snapshots"].iterdir() if path.name != first]
    assert (newer / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]


@pytest.mark.parametrize("to", ["pytorch_model.bin", ""])
def test_what_a_link_elsewhere_leads_to_stays(tree: Tree, engine: Engine, to: str) -> None:
    tree["mine"].mkdir()
    target = commit_of(tree, "org/base") / to
    tree.build({"mine/link": link_to(str(target).rstrip("/"))})
    engine.add_root(tree["mine"])
    with pytest.raises(HubfoldError, match="mine/link needs this revision"):
        engine.plan_remove(["org/base", "pytorch_model.bin"])
    assert names(tree) == {*FILES, "same/again.bin"}


def test_a_link_at_the_content_keeps_that(tree: Tree, engine: Engine) -> None:
    blob = (commit_of(tree, "org/base") / "pytorch_model.bin").resolve()
    tree["mine"].mkdir()
    tree.build({"mine/link": link_to(str(blob))})
    engine.add_root(tree["mine"])
    report = engine.remove(["org/base", "pytorch_model.bin"])
    assert [left.path for left in report.left] == [str(blob)]
    assert tree["mine/link"].read_bytes() == FILES["pytorch_model.bin"]


def test_a_local_copy_loses_no_single_file(tree: Tree, engine: Engine) -> None:
    tree.build({"models/base": local_dir("org/base")})
    engine.add_root(tree["models"])
    report = engine.remove(["org/base", "pytorch_model.bin"])
    assert all(path.startswith(str(tree["hub"])) for path in report.removed)
    assert (tree["models/base/pytorch_model.bin"]).exists()


def test_a_word_that_is_no_file_is_a_model_and_nothing_goes(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/chat", model_files("chat", SIZE))
    tree.build({"hub": hub_cache("org/chat")})
    with pytest.raises(HubfoldError, match=r"called 'pytorch_modle\.bin', and org/base has no such file"):
        engine.plan_remove(["org/base", "pytorch_modle.bin"])
    for words in (["pytorch_model.bin", "pytorch_modle.bin"], ["*.gguf"]):
        with pytest.raises(HubfoldError):
            engine.plan_remove(["org/base", *words])
    with pytest.raises(UsageError):
        engine.plan_remove(["org/base", "pytorch_model.bin"], with_links=True)
    both = engine.plan_remove(["org/base", "org/chat"])
    assert {removal.repo_id for removal in both.removals} == {"org/base", "org/chat"}
    assert all(removal.whole for removal in both.removals)


def test_in_a_repository_behind_a_link(tree: Tree, engine: Engine) -> None:
    repo = tree["hub/models--org--base"]
    repo.rename(tree["large"])
    repo.symlink_to(tree["large"])
    blob = (commit_of(tree, "org/base") / "pytorch_model.bin").resolve()
    report = engine.remove(["org/base", "pytorch_model.bin"])
    assert not report.failed
    assert "pytorch_model.bin" not in names(tree) and not os.path.lexists(blob), report
    assert read(tree, "model.safetensors") == FILES["model.safetensors"]


@pytest.mark.skipif(not has_shared_store(), reason="the client has no shared store")
def test_the_shared_payload_goes_where_only_it_was_led_to(tree: Tree, engine: Engine) -> None:
    weights = {
        name: with_xet_hash(safetensors(name, SIZE)) for name in ("one.safetensors", "two.safetensors")
    }
    tree.hub.add("org/xet", weights)
    tree.build({"shared": hub_cache("org/xet", shared=True)})
    engine.add_root(tree["shared"])
    folder: Path = commit_of(tree, "org/xet", "shared")
    payload, other = ((folder / name).resolve() for name in weights)
    report = engine.remove(["org/xet", "one.safetensors"])
    assert not report.failed and not payload.exists() and other.exists()
    assert report.bytes >= SIZE
    assert (folder / "two.safetensors").read_bytes() == safetensors("two.safetensors", SIZE)


def test_what_begins_to_be_used_meanwhile_stays(tree: Tree, engine: Engine) -> None:
    folder = commit_of(tree, "org/base")
    plan = engine.plan_remove(["org/base", "pytorch_model.bin"])
    (folder / "late.bin").symlink_to(os.readlink(folder / "pytorch_model.bin"))
    report = engine.apply_removal(plan)
    assert "something began to use it" in report.failed[0].error
    assert (folder / "late.bin").read_bytes() == FILES["pytorch_model.bin"]
