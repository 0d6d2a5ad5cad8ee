"""What is whole, and what it is held against."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine, UsageError
from hubfold.content import Snapshot, SnapshotFile
from hubfold.reports.models import Judged, Wholeness
from hubfold.testing.trees import (
    Tree,
    hub_cache,
    model_files,
    safetensors,
)
from tests.building.library import SIZE, commit_of, configure, models
from tests.building.stalling import half_downloaded


def test_a_listing_names_what_is_missing_with_its_bytes(tree: Tree, engine: Engine) -> None:
    from huggingface_hub import snapshot_download

    files = model_files("base", SIZE)
    tree.hub.add("org/base", files)
    snapshot_download(
        "org/base", cache_dir=tree["hub"], endpoint=tree.hub.endpoint, allow_patterns=["*.json"], token=False
    )
    [base] = models(engine, tree["hub"]).values()
    [revision] = base.revisions
    assert (base.state, revision.judged) == (Wholeness.INCOMPLETE, Judged.LISTING)
    assert {missing.name: missing.bytes for missing in revision.missing} == {
        "README.md": len(files["README.md"]),
        "model.safetensors": SIZE,
    }
    assert revision.missing_bytes == SIZE + len(files["README.md"])


def test_a_file_of_the_wrong_length_is_broken(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base")})
    os.truncate((commit_of(tree, "org/base") / "model.safetensors").resolve(), 100)
    [base] = models(engine, tree["hub"]).values()
    assert base.state is Wholeness.BROKEN
    assert "has 100 bytes instead of 40000" in base.revisions[0].missing[0].reason


@pytest.mark.slow
@pytest.mark.parametrize("listed", [True, False], ids=["with a listing", "without one"])
def test_a_download_that_was_interrupted_is_not_whole_and_its_part_is_told(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    tree.hub.add("org/base", model_files("base", 1 << 20))
    tree["hub"].mkdir()
    with half_downloaded(
        tree.hub, tree["hub"], monkeypatch, least=1 << 20, repo_id="org/base", cache_dir=str(tree["hub"])
    ):
        if not listed:
            shutil.rmtree(tree["hub/models--org--base/trees"])
        [base] = models(engine, tree["hub"]).values()
    [revision] = base.revisions
    assert base.state is Wholeness.INCOMPLETE
    assert revision.judged is (Judged.LISTING if listed else Judged.FILES)
    assert [partial.size for partial in revision.partials] == [1 << 19]
    [missing] = [one for one in revision.missing if one.partial_bytes]
    assert missing.partial_bytes == 1 << 19
    assert (missing.name, missing.bytes) == (("model.safetensors", 1 << 20) if listed else ("", None))
    tree.build({"hub": hub_cache("org/base")})
    [base] = models(engine, tree["hub"]).values()
    assert base.state is Wholeness.WHOLE, "what an old attempt left beside it does not count"


@pytest.mark.slow
def test_a_download_into_a_folder_that_was_interrupted_is_not_whole(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = tree.hub.add("org/base", model_files("base", 1 << 20))
    tree.build({"hub": hub_cache("org/base")})
    with half_downloaded(
        tree.hub,
        tree.folder / "models",
        monkeypatch,
        least=1 << 20,
        repo_id="org/base",
        local_dir=str(tree["models/base"]),
        cache_dir=str(tree.folder / "elsewhere"),
    ):
        base = models(engine, tree["hub"], tree["models"])["org/base"]
    cache, folder = base.places
    assert cache.default.state is Wholeness.WHOLE
    assert folder.default.state is Wholeness.INCOMPLETE
    assert (folder.default.revision, folder.path) == (commit, str(tree["models/base"]))
    [missing] = [one for one in folder.default.missing if one.name == "model.safetensors"]
    assert (missing.bytes, missing.partial_bytes) == (1 << 20, 1 << 19)


def test_shards_that_an_index_names_have_to_be_there(tree: Tree, engine: Engine) -> None:
    names = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    index = {"metadata": {}, "weight_map": {f"layer{n}": name for n, name in enumerate(names)}}
    tree.hub.add(
        "org/big",
        {**{name: safetensors(name, 9_000) for name in names},
         "model.safetensors.index.json": json.dumps(index).encode(), "config.json": b"{}"},
    )  # fmt: skip
    tree.build({"hub": hub_cache("org/big")})
    shutil.rmtree(tree["hub/models--org--big/trees"])
    [big] = models(engine, tree["hub"]).values()
    assert (big.state, big.revisions[0].judged) == (Wholeness.WHOLE, Judged.SHARDS)
    (commit_of(tree, "org/big") / names[1]).unlink()
    [big] = models(engine, tree["hub"]).values()
    assert big.state is Wholeness.INCOMPLETE
    assert [missing.name for missing in big.revisions[0].missing] == [names[1]]


def _snapshot(folder: Path, files: dict[str, bytes], **more: Any) -> Snapshot:
    found = []
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        found.append(SnapshotFile(name, str(path), len(content)))
    return Snapshot("org/model", "model", "c" * 40, ("main",), str(folder), tuple(found), **more)


def _index(*shards: object) -> bytes:
    return json.dumps({"weight_map": {str(number): shard for number, shard in enumerate(shards)}}).encode()


def _parts(*names: str) -> bytes:
    """A ``model_index.json``, with a part that is left out."""
    parts = {name: ["diffusers", "Part"] for name in names}
    return json.dumps({"_class_name": "Pipeline", "safety_checker": [None, None], **parts}).encode()


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"a-00001-of-00002.gguf": b"1"}, ["a-00002-of-00002.gguf"]),
        ({"a-00001-of-00001.gguf": b"1", "b.gguf": b"2"}, []),
        ({"q4/a-00002-of-00002.gguf": b"1", "q8/a-00001-of-00002.gguf": b"1"},
         ["q4/a-00001-of-00002.gguf", "q8/a-00002-of-00002.gguf"]),
        ({"x.index.json": _index("x1.bin"), "x1.bin": b"1"}, []),
        ({"sub/x.index.json": _index("x1.bin", "x2.bin"), "sub/x1.bin": b"1"}, ["sub/x2.bin"]),
        # Two formats are offered, one is there: that was what somebody wanted.
        ({"x.safetensors.index.json": _index("x1.safetensors"), "x.bin.index.json": _index("x1.bin"),
          "x1.bin": b"1"}, []),
        ({"x.safetensors.index.json": _index("1.safetensors", "2.safetensors"),
          "x.bin.index.json": _index("1.bin", "2.bin"), "1.bin": b"1"}, ["2.bin"]),
        ({"x.index.json": b"{", "y.index.json": b"[]", "z.index.json": _index(1, None, ""),
          "x.bin": b"1"}, []),
        ({"x.index.json": _index("../../etc/passwd")}, ["../../etc/passwd"]),
        ({"a-00001-of-99999.bin": b"1"}, []),
        ({"config.json": b"{}", "tokenizer.json": b"{}"}, [""]),
        ({"adapter_config.json": b"{}", "README.md": b"#"}, [""]),
        ({"config.json": b"{}", "model.bin": b"1"}, []),
        ({"config.json": b"{}", "model.safetensors": safetensors("a", 5000)}, []),
        ({"config.json": b"{}", "onnx/model.onnx": b"1"}, []),
        ({"adapter_model.safetensors": safetensors("a", 5000), "adapter_config.json": b"{}"}, []),
        # What has been emptied is no weights.
        ({"config.json": b"{}", "model.bin": b""}, ["model.bin", ""]),
        # Diffusers: each part that the index names, with its weights.
        ({"model_index.json": _parts("unet", "scheduler"), "unet/config.json": b"{}", "unet/a.bin": b"1",
          "scheduler/scheduler_config.json": b"{}"}, []),
        ({"model_index.json": _parts("unet", "vae"), "unet/config.json": b"{}", "unet/a.bin": b"1",
          "vae/config.json": b"{}"}, ["vae/"]),
        ({"model_index.json": _parts("unet", "vae"), "unet/a.bin": b"1"}, ["vae/"]),
        ({"model_index.json": _parts("unet", "vae")}, [""]),
        ({"model_index.json": b"[1]", "unet/a.bin": b"1"}, []),
    ],
)  # fmt: skip
def test_without_a_listing_names_of_shards_decide(
    tmp_path: Path, files: dict[str, bytes], missing: list[str]
) -> None:
    from hubfold.library.completeness import judge

    judgement = judge(_snapshot(tmp_path, files))
    assert [one.name for one in judgement.missing] == missing
    empty = any(not content for content in files.values())
    lacking = Wholeness.BROKEN if empty else Wholeness.INCOMPLETE
    assert judgement.state is (lacking if missing else Wholeness.WHOLE)


@pytest.mark.parametrize(
    "names",
    [
        ["tokenizer.json"],
        ["tokenizer.model", "tokenizer_config.json", "README.md", ".gitattributes"],
        ["LICENSE"],
    ],
)
def test_of_texts_alone_nobody_can_tell_whether_a_model_has_weights(tmp_path: Path, names: list[str]) -> None:
    from hubfold.library.completeness import judge

    snapshot = _snapshot(tmp_path, dict.fromkeys(names, b"x"))
    judgement = judge(snapshot)
    assert judgement.state is Wholeness.UNKNOWN
    assert "nothing says whether it should" in judgement.missing[0].reason
    for repo_type in ("dataset", "space", "kernel"):
        assert judge(replace(snapshot, repo_type=repo_type)).state is Wholeness.WHOLE
    listed = replace(snapshot, expected=dict.fromkeys(names, 1))
    assert judge(listed).missing == ()
    assert judge(listed).state is Wholeness.WHOLE, "a listing says that there are no weights"


@pytest.mark.parametrize(
    ("weights", "config"),
    [
        (["model.safetensors"], "config.json"),
        (["pytorch_model.bin", "tokenizer.json"], "config.json"),
        (["model-00001-of-00001.safetensors"], "config.json"),
        (["adapter_model.safetensors"], "adapter_config.json"),
        (["unet/diffusion_pytorch_model.fp16.safetensors"], "model_index.json"),
        (["diffusion_pytorch_model.safetensors"], "config.json"),
        (["pytorch_model.bin", "config.yaml"], ""),
        (["model.Q4.gguf"], ""),
        (["lora.safetensors"], ""),
        (["onnx/model.onnx"], ""),
    ],
)
def test_weights_as_transformers_calls_them_have_a_config(
    tmp_path: Path, weights: list[str], config: str
) -> None:
    from hubfold.library.completeness import judge

    files = {name: safetensors(name, 5000) for name in weights}
    alone = judge(_snapshot(tmp_path, files))
    assert [one.name for one in alone.missing] == ([config] if config else [])
    assert alone.state is (Wholeness.UNKNOWN if config else Wholeness.WHOLE)
    assert judge(_snapshot(tmp_path, {**files, config or "config.json": b"{}"})).state is Wholeness.WHOLE


def test_an_index_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    from hubfold.library.completeness import judge

    os.mkfifo(tmp_path / "x.index.json")
    file = SnapshotFile("x.index.json", str(tmp_path / "x.index.json"), 0)
    assert judge(Snapshot("a/b", "dataset", "", (), str(tmp_path), (file,))).state is Wholeness.WHOLE


def test_a_snapshot_without_files_is_not_whole(tmp_path: Path) -> None:
    from hubfold.library.completeness import judge

    assert judge(_snapshot(tmp_path, {})).state is Wholeness.INCOMPLETE


@pytest.mark.slow
def test_a_download_of_some_files_is_whole_when_they_are_there(tree: Tree, user: Engine) -> None:
    user.download(user.plan_download(["org/many"], include=["*Q4*", "*.json"]))
    [many] = user.models().models
    [revision] = many.revisions
    assert (many.state, revision.missing, revision.expected_bytes) == (Wholeness.WHOLE, (), 4002)
    assert [str(one) for one in revision.selected] == ["only *Q4* *.json"]
    assert user.check(["org/many"]).whole
    assert user.model_path("org/many") == revision.path
    user.download(user.plan_download(["org/many"], include=["*Q6*"]))
    (Path(revision.path) / "many.Q4.gguf").unlink()
    [missing] = user.check(["org/many"]).models[0].missing
    assert missing.name == "many.Q4.gguf", "what was asked for before is still wanted"
    user.download(user.plan_download(["org/many"]))
    [many] = user.models().models
    assert (many.state, many.revisions[0].selected) == (Wholeness.WHOLE, ())
    (Path(revision.path) / "many.Q8.gguf").unlink()
    assert user.models().models[0].state is Wholeness.INCOMPLETE, "all of it was asked for since"


def test_patterns_that_fit_nothing_do_not_make_a_model_whole(tree: Tree, user: Engine) -> None:
    configure(user, '[models]\ntypo = { repo = "org/many", include = "*.ggfu" }\n')
    user.download(user.plan_download(["org/many"], include=["*.json"]))
    assert user.check().models[0].status == "incomplete"
    with pytest.raises(UsageError, match="no file of org/many matches"):
        user.plan_download(["typo"])


def test_a_damaged_file_counts_whatever_is_wanted(tree: Tree, user: Engine) -> None:
    configure(user, '[models]\nfour = { repo = "org/many", include = "*Q4*" }\n')
    user.download(user.plan_download(["org/many"], include=["*Q4*", "*Q6*"]))
    [six] = tree["hf/hub"].glob("models--org--many/snapshots/*/many.Q6.gguf")
    six.resolve().unlink()
    assert user.check().models[0].status == "incomplete"
    assert user.models().models[0].state is Wholeness.BROKEN
