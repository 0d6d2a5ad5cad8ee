"""The models of all roots: as the real client sees them, where it sees right; what is whole, and whose the space is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine, UsageError, display
from hubfold.content import Snapshot, SnapshotFile
from hubfold.models.names import UnknownModel
from hubfold.reports.models import Judged, Model, Wholeness
from hubfold.testing.trees import (
    Tree,
    copy_of,
    fine_tune_of,
    has_shared_store,
    hub_cache,
    local_dir,
    model_files,
    safetensors,
    with_xet_hash,
)
from tests.building.stalling import half_downloaded

SIZE = 40_000
needs_shared_store = pytest.mark.skipif(not has_shared_store(), reason="this client has no shared store")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as made:
        yield made


def models(engine: Engine, *roots: Path) -> dict[str, Model]:
    return {model.id: model for model in engine.library(roots).models}


def freed(engine: Engine, *roots: Path) -> dict[str, int | None]:
    """What `hubfold ls` says that removing each model frees."""
    for root in roots:
        engine.add_root(root)
    return {model.id: model.freed_bytes for model in engine.models().models}


def hf_ls(cache: Path, *arguments: str) -> Any:
    """What `hf cache ls` prints as JSON."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    from huggingface_hub.cli.hf import app

    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        app(["cache", "ls", "--cache-dir", str(cache), "--format", "json", *arguments], standalone_mode=False)
    return json.loads(out.getvalue())


def commit_of(tree: Tree, repo: str, cache: str = "hub") -> Path:
    [snapshot] = tree[f"{cache}/models--{repo.replace('/', '--')}/snapshots"].iterdir()
    return snapshot


# as the client sees them


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


def test_a_payload_that_two_repos_share_counts_once_where_the_client_counts_it_twice(
    tree: Tree, engine: Engine
) -> None:
    weights = safetensors("base", 2 << 20)
    tree.hub.add("org/base", {"model.safetensors": weights})
    tree.hub.add("org/same", {"model.safetensors": weights})
    tree.build({"hub": hub_cache("org/base", "org/same")})
    engine.scan([tree["hub"]])
    engine.apply(engine.plan([tree["hub"]]))
    assert sum(1 for _ in tree["hub"].glob("models--*/blobs/*")) == 2
    library = engine.library([tree["hub"]])
    base, same = library.models
    from huggingface_hub import scan_cache_dir

    assert scan_cache_dir(tree["hub"]).size_on_disk == 2 * len(weights), "the client counts both names"
    assert library.physical_bytes == len(weights)
    assert (base.bytes, same.bytes) == (len(weights), len(weights))
    assert base.physical_bytes + same.physical_bytes == len(weights)
    for model, size in freed(engine, tree["hub"]).items():
        assert size == engine.preview_remove([model]).bytes < 1 << 20, "removing one frees no weights"


@needs_shared_store
def test_a_payload_of_the_shared_store_belongs_to_all_that_use_it(tree: Tree, engine: Engine) -> None:
    weights = with_xet_hash(safetensors("base", SIZE))
    tree.hub.add("org/base", {"model.safetensors": weights})
    tree.hub.add("org/same", {"other.safetensors": weights})
    tree.build({"hub": hub_cache("org/base", "org/same", shared=True)})
    base, same = models(engine, tree["hub"]).values()
    assert (base.bytes, same.bytes) == (SIZE, SIZE)
    assert base.physical_bytes + same.physical_bytes == _blocks(tree["hub"])
    before = freed(engine, tree["hub"])["org/base"]
    shutil.rmtree(tree["hub/models--org--same"])
    after = freed(engine)["org/base"]
    assert before is not None and after is not None
    assert after - before >= SIZE, "its last user takes the payload with it"


def _blocks(cache: Path) -> int:
    files = {os.stat(path).st_ino: os.stat(path) for path in cache.glob("blobs/??/*") if path.suffix == ""}
    return sum(st.st_blocks * 512 for st in files.values())


def test_what_a_model_alone_has_is_freed(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base")})
    [base] = models(engine, tree["hub"]).values()
    blobs = sum(path.stat().st_blocks * 512 for path in tree["hub/models--org--base/blobs"].iterdir())
    assert base.physical_bytes == blobs
    all_of_it = sum(
        path.lstat().st_blocks * 512
        for path in [tree["hub/models--org--base"], *tree["hub/models--org--base"].rglob("*")]
    )
    assert freed(engine, tree["hub"]) == {"org/base": all_of_it}, "its folders and notes go as well"


@pytest.mark.parametrize(
    "expression",
    [
        "size>30k",
        "size<=30KB",
        "type=dataset",
        "refs=main",
        "refs=nothing",
        "modified<1h",
        "accessed>1d",
        "size!=5",
    ],
)
@pytest.mark.parametrize("sort", [None, "size", "size:asc", "name:desc", "modified:asc"])
def test_filters_and_sorting_are_those_of_the_client(
    tree: Tree, engine: Engine, expression: str, sort: str | None
) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.hub.add("org/little", model_files("little", SIZE // 2))
    tree.hub.add("org/data", {"a.parquet": b"rows" * 999}, repo_type="dataset")
    tree.build({"hf/hub": hub_cache("org/base", "org/little", "datasets/org/data")})
    engine.add_root(tree["hf/hub"])
    asked = ["--filter", expression, *(["--sort", sort] if sort else []), "--limit", "2"]
    theirs = [repo["id"] for repo in hf_ls(tree["hf/hub"], *asked)]
    report = engine.models(filters=[expression], sort=sort, limit=2)
    assert [f"{model.repo_type}/{model.repo_id}" for model in report.models] == theirs


@pytest.mark.parametrize(
    "expression", ["size>", "colour=red", "type>model", "size>big", "accessed>soon", "", "state=odd"]
)
def test_a_filter_that_makes_no_sense_is_refused_before_the_disks_are_asked(
    engine: Engine, expression: str
) -> None:
    with pytest.raises(UsageError):
        engine.models(filters=[expression])


# whole or not


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
         "model.safetensors.index.json": json.dumps(index).encode()},
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
        ({"x.index.json": b"{", "y.index.json": b"[]", "z.index.json": _index(1, None, "")}, []),
        ({"x.index.json": _index("../../etc/passwd")}, ["../../etc/passwd"]),
        ({"a-00001-of-99999.bin": b"1"}, []),
        ({"config.json": b"{}", "tokenizer.json": b"{}"}, [""]),
        ({"config.json": b"{}", "model.safetensors": b"1"}, []),
        ({"tokenizer.json": b"{}"}, []),
    ],
)  # fmt: skip
def test_without_a_listing_names_of_shards_decide(
    tmp_path: Path, files: dict[str, bytes], missing: list[str]
) -> None:
    from hubfold.library.completeness import judge

    judgement = judge(_snapshot(tmp_path, files))
    assert [one.name for one in judgement.missing] == missing
    assert judgement.state is (Wholeness.INCOMPLETE if missing else Wholeness.WHOLE)


def test_an_index_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    from hubfold.library.completeness import judge

    os.mkfifo(tmp_path / "x.index.json")
    file = SnapshotFile("x.index.json", str(tmp_path / "x.index.json"), 0)
    assert judge(Snapshot("a/b", "model", "", (), str(tmp_path), (file,))).state is Wholeness.WHOLE


def test_a_snapshot_without_files_is_not_whole(tmp_path: Path) -> None:
    from hubfold.library.completeness import judge

    assert judge(_snapshot(tmp_path, {})).state is Wholeness.INCOMPLETE


# over all roots


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


def test_a_folded_copy_takes_nothing_and_keeps_the_content(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", 2 << 20))
    tree.build({"hf/hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    engine.scan([tree["hf"], tree["models"]])
    before = models(engine, tree["hf"], tree["models"])["org/base"]
    engine.apply(engine.plan([tree["hf"], tree["models"]]))
    after = models(engine, tree["hf"], tree["models"])["org/base"]
    assert after.state is Wholeness.WHOLE
    assert before.physical_bytes - after.physical_bytes == 2 << 20
    assert freed(engine, tree["hf"], tree["models"])["org/base"] == engine.preview_remove(["org/base"]).bytes
    assert engine.preview_remove(["org/base"]).bytes < 1 << 20, "a link needs it"


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
    from hubfold_plugins.local_dir import LocalDirBackend

    def fail(*_: object) -> Iterator[Snapshot]:
        raise RuntimeError("odd")

    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    monkeypatch.setattr(LocalDirBackend, "snapshots", fail)
    library = engine.library([tree["hub"], tree["models"]])
    assert [model.id for model in library.models] == ["org/base"]
    assert any("RuntimeError: odd" in warning.message for warning in library.warnings)


# names


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc",
        "a/../b",
        "a\x1b[31m/b",
        "a\nb",
        "a//b",
        "",
        "a/b/c",
        "-x/y",
        "org/..",
        "a b",
        "ｏrg/x",
        "..",
    ],
)
def test_what_cannot_be_a_repo_id_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(UsageError):
        engine.model_name(name)
    with pytest.raises(UsageError):
        engine.model_path(name)


@pytest.mark.parametrize(
    ("name", "repo_type", "repo_id"),
    [
        ("org/name", None, "org/name"),
        ("gpt2", None, "gpt2"),
        ("datasets/org/name", "dataset", "org/name"),
        ("model/gpt2", "model", "gpt2"),
        ("hf://spaces/org/name", "space", "org/name"),
        ("Org/Name_1.0-GGUF", None, "Org/Name_1.0-GGUF"),
    ],
)
def test_what_can_be_one_is_understood(
    engine: Engine, name: str, repo_type: str | None, repo_id: str
) -> None:
    found = engine.model_name(name)
    assert (found.repo_type, found.repo_id) == (repo_type, repo_id)


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


# check


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


# only some files are wanted


GGUF = {f"many.Q{n}.gguf": b"x" * n * 1000 for n in (4, 6, 8)} | {"config.json": b"{}"}


@pytest.fixture
def user(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A user whose cache is ``hf/hub`` and whose Hub has org/many."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    tree.hub.add("org/many", GGUF)
    with Engine() as engine:
        yield engine


def configure(engine: Engine, text: str) -> None:
    Path(engine.state.home).mkdir(exist_ok=True)
    Path(engine.state.config).write_text(text)


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


def test_what_was_asked_for_is_forgotten_with_the_model(tree: Tree, user: Engine) -> None:
    user.download(user.plan_download(["org/many"], include=["*Q4*"]))
    assert user.models().models[0].state is Wholeness.WHOLE
    tree.build({"models/many": local_dir("org/many")})
    user.add_root(tree["models"])
    user.remove([str(tree["models/many"])])
    assert user.models().models[0].state is Wholeness.WHOLE, "only a copy went"
    user.remove(["org/many"])
    assert user.state.asked() == {}, "the next download may be somebody else's"


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


def test_the_memory_of_what_was_asked_for_may_be_lost_or_damaged(user: Engine) -> None:
    user.download(user.plan_download(["org/many"], include=["*Q4*"]))
    for text in ("", "{", '{"asked": [{"type": 1}]}', '{"asked": 3}'):
        Path(user.state.asked_for).write_text(text)
        assert user.models().models[0].state is Wholeness.INCOMPLETE
    user.download(user.plan_download(["org/many"], include=["*Q4*"]))
    assert user.models().models[0].state is Wholeness.WHOLE


@pytest.mark.parametrize(
    ("include", "exclude"),
    [
        ((), ()),
        (("*.json",), ()),
        (("sub/",), ()),
        (("*",), ("sub/*.bin", "A*")),
        ((), ("[ab].bin",)),
        (("a.b?n",), ()),
    ],
)
def test_patterns_mean_what_they_mean_to_the_client(
    include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    from huggingface_hub.utils import filter_repo_objects

    from hubfold.models.patterns import Selection

    names = ["a.bin", "A.bin", "b.bin", "sub/a.bin", "sub/config.json", "config.json"]
    theirs = list(
        filter_repo_objects(
            names, allow_patterns=list(include) or None, ignore_patterns=list(exclude) or None
        )
    )
    assert [name for name in names if Selection(include, exclude).wants(name)] == theirs
