"""What is there of a model, where, and what to do about the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hubfold import Engine, UsageError
from hubfold.models.names import UnknownModel
from hubfold.testing.trees import (
    Tree,
    copy_of,
    fine_tune_of,
    hub_cache,
    local_dir,
    model_files,
    safetensors,
)
from tests.building.library import commit_of


def test_copies_elsewhere_are_told_with_what_they_cost(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", 2 << 20))
    tree.hub.add("org/tuned", {"model.safetensors": fine_tune_of(safetensors("base", 2 << 20))})
    tree.build(
        {
            "hub": hub_cache("org/base", "org/tuned"),
            "models/base": local_dir("org/base"),
            "backup/weights.bin": copy_of("models/base/model.safetensors"),
        }
    )
    for root in ("hub", "models", "backup"):
        engine.add_root(tree[root])
    engine.scan()
    report = engine.check(["org/base", "org/tuned"])
    base, tuned = report.models
    assert set(base.copies) == {str(tree["models/base/model.safetensors"]), str(tree["backup/weights.bin"])}
    assert base.reclaimable_bytes == 2 * (2 << 20)
    assert (tuned.copies, tuned.reclaimable_bytes) == ((), 0)
    assert [one.kind for one in report.recommendations] == ["duplicate"]


def test_what_has_no_room_is_told_before_it_is_downloaded(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "config.toml").write_text(
        '[models]\nhuge = { repo = "org/huge", size = "900TB" }\n'
    )
    report = engine.check()
    [huge] = report.models
    assert (huge.name, huge.status, huge.missing_bytes) == ("huge", "missing", 900 * 10**12)
    assert [one.kind for one in report.recommendations] == ["download", "space"]
    assert report.free_bytes is not None
    assert "900.0T are needed" in report.recommendations[1].message


def test_a_stated_size_counts_where_nothing_better_is_known(
    tree: Tree, engine: Engine, tmp_path: Path
) -> None:
    tree.hub.add("org/base", {"model.gguf": b"x" * 10_000})
    tree.build({"hub": hub_cache("org/base")})
    engine.add_root(tree["hub"])
    (tmp_path / "state" / "config.toml").write_text('[models]\nbase = { repo = "org/base", size = "1MB" }\n')
    assert engine.check().models[0].status == "cached", "its listing says that it is whole"
    shutil.rmtree(tree["hub/models--org--base/trees"])
    [base] = engine.check().models
    assert (base.status, base.missing_bytes) == ("incomplete", 990_000)


def test_a_revision_is_a_branch_a_tag_or_a_commit(tree: Tree, engine: Engine) -> None:
    first = tree.hub.add("org/base", {"model.gguf": b"first"})
    tree.hub.tag("org/base", "v1.0", first)
    tree.build({"hub": hub_cache("org/base@v1.0")})
    second = tree.hub.add("org/base", {"model.gguf": b"second"})
    tree.build({"hub": hub_cache("org/base")})
    engine.add_root(tree["hub"])
    snapshots = tree["hub/models--org--base/snapshots"]
    assert engine.model_path("org/base") == str(snapshots / second)
    for revision in ("v1.0", first, first[:7]):
        assert engine.model_path("org/base", revision=revision) == str(snapshots / first)
    [checked] = engine.check(["org/base"]).models
    assert checked.path == str(snapshots / second)
    with pytest.raises(Exception, match=r"not there at 'v2\.0'"):
        engine.model_path("org/base", revision="v2.0")
    with pytest.raises(UsageError):
        engine.model_path("org/base", revision="../main")


def test_an_unknown_model_gets_the_nearest_names(tree: Tree, engine: Engine) -> None:
    for name in ("org/llama-base", "org/llama-tuned", "other/mistral"):
        tree.hub.add(name, {"config.json": name.encode()})
    tree.build({"hub": hub_cache("org/llama-base", "org/llama-tuned", "other/mistral")})
    engine.add_root(tree["hub"])
    with pytest.raises(UnknownModel) as error:
        engine.model_path("org/lama-base")
    assert error.value.hint == "did you mean org/llama-base or org/llama-tuned?"
    with pytest.raises(UnknownModel) as error:
        engine.model_path("mistal")
    assert "other/mistral" in error.value.hint
    assert engine.model_path("Org/Llama-Base") == str(commit_of(tree, "org/llama-base")), (
        "case does not matter"
    )
