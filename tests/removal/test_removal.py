"""Removing models from caches that the real client wrote: what goes, what stays for whom, what the client says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.backend.changes import Removal, SharedContent
from hubfold.errors import HubfoldError, UsageError
from hubfold.removal.remover import Remover
from hubfold.removal.shared import with_shared
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import (
    Tree,
    copy_of,
    has_shared_store,
    hub_cache,
    link_to,
    local_dir,
    model_files,
    repository_folder,
    safetensors,
    with_xet_hash,
)


def allocated(*tops: Path) -> int:
    """What the folders take together, each inode once, by blocks."""
    seen = {}
    for top in tops:
        for place, folders, files in os.walk(top):
            for path in [place, *(os.path.join(place, name) for name in (*folders, *files))]:
                st = os.lstat(path)
                seen[st.st_dev, st.st_ino] = st.st_blocks * 512
    return sum(seen.values())


def weights(name: str, size: int = 3 << 20) -> bytes:
    return safetensors(name, size)


@pytest.fixture
def two(tree: Tree, loopback_hub: LoopbackHub) -> Tree:
    """org/base and org/chat, which share a tokenizer of 2 MiB."""
    shared = weights("shared", 2 << 20)
    for name in ("base", "chat"):
        loopback_hub.add(f"org/{name}", {**model_files(f"{name}"), "tokenizer.safetensors": shared})
    return tree.build({"hf/hub": hub_cache("org/base", "org/chat")})


@pytest.fixture
def engine(two: Tree, monkeypatch: pytest.MonkeyPatch) -> Engine:
    environ = {**os.environ, "HF_HUB_CACHE": str(two["hf/hub"]), "HF_HOME": str(two["hf"])}
    environ.pop("HUGGINGFACE_HUB_CACHE", None)
    environ.pop("XDG_CACHE_HOME", None)
    return Engine(two.folder / "state", environ=environ)


def offline(tree: Tree, repo_id: str, cache: str = "hf/hub") -> Path:
    return Path(snapshot_download(repo_id, cache_dir=tree[cache], local_files_only=True))


def test_what_several_models_share_goes_with_the_last_of_them_where_all_go() -> None:
    def removal(name: str, *shared: SharedContent, whole: bool = True) -> Removal:
        return Removal(
            "/r", "b", name, "model", path=f"/r/{name}", whole=whole, content=(name,), shared=shared
        )

    of_two = SharedContent("/r/x", ("/r/a", "/r/b"))
    of_three = SharedContent("/r/y", ("/r/a", "/r/b", "/r/c"))
    a, b = removal("a", of_two, of_three), removal("b", of_two, of_three)
    assert [one.content for one in with_shared([a, b])] == [("a",), ("b", "/r/x")]
    assert [one.content for one in with_shared([b, a])] == [("b",), ("a", "/r/x")]
    assert [one.content for one in with_shared([a])] == [("a",)]
    assert [one.content for one in with_shared([a, removal("b", of_two, of_three, whole=False)])] == [
        ("a",),
        ("b",),
    ]
    everything = [a, b, removal("c", of_three)]
    assert [one.content for one in with_shared(everything)] == [("a",), ("b", "/r/x"), ("c", "/r/y")]


def test_a_model_is_gone_and_the_other_is_whole(two: Tree, engine: Engine) -> None:
    before = allocated(two["hf"])
    preview = engine.preview_remove(["org/base"])
    assert allocated(two["hf"]) == before
    report = engine.remove(["org/base"])
    assert not report.failed and not report.left
    assert report.bytes == preview.bytes == before - allocated(two["hf"])
    assert report.bytes > 5 << 20
    assert set(report.removed) == set(preview.removed)
    found = scan_cache_dir(two["hf/hub"])
    assert [repo.repo_id for repo in found.repos] == ["org/chat"]
    assert not found.warnings
    with pytest.raises(Exception, match="Cannot find"):
        offline(two, "org/base")
    assert (offline(two, "org/chat") / "model.safetensors").read_bytes() == weights("chat")
    assert not repository_folder(two["hf/hub"], "org/base").exists()


@pytest.mark.slow
def test_one_revision_goes_with_what_only_it_uses(
    two: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    old = loopback_hub.files("org/base")["model.safetensors"]
    commit = offline(two, "org/base").name
    loopback_hub.add(
        "org/base",
        {**model_files("newer"), "tokenizer.safetensors": weights("shared", 2 << 20)},
    )
    two.sync("hf/hub")
    new = offline(two, "org/base").name
    before = allocated(two["hf"])
    report = engine.remove(["org/base"], commit[:10])
    assert report.models[0].revisions == (commit,)
    assert report.bytes == before - allocated(two["hf"])
    repo = repository_folder(two["hf/hub"], "org/base")
    assert not (repo / "blobs" / old.etag).exists()
    assert [path.name for path in (repo / "snapshots").iterdir()] == [new]
    assert [path.name for path in repo.glob("trees/*")] in ([f"{new}.json"], [])
    assert (offline(two, "org/base") / "tokenizer.safetensors").read_bytes() == weights("shared", 2 << 20)
    path = hf_hub_download("org/base", "model.safetensors", cache_dir=two["hf/hub"], local_files_only=True)
    assert Path(path).read_bytes() == weights("newer")
    assert not scan_cache_dir(two["hf/hub"]).warnings


@pytest.mark.slow
def test_after_consolidate_the_links_keep_the_content(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base"), "other": hub_cache("org/base")})
    engine.scan([two["models/base"], two["other"], two["hf/hub"]])
    assert engine.apply(engine.plan()).actions
    local, other = two["models/base"] / "model.safetensors", offline(two, "org/base", "other")
    assert local.is_symlink()
    report = engine.remove(["org/base"])  # from both caches
    assert str(local) in {needed.path for needed in report.needed}
    assert local.read_bytes() == weights("base")
    assert not other.exists()
    report = engine.apply_removal(engine.plan_remove(["org/chat"]))
    assert not report.failed


@pytest.mark.slow
def test_a_cache_that_shares_an_inode_is_told_and_nothing_is_said_to_be_freed_for_it(
    two: Tree, engine: Engine
) -> None:
    two.build({"other/hub": hub_cache("org/base")})
    engine.scan([two["other/hub"], two["hf/hub"]])
    assert engine.apply(engine.plan()).actions
    before = allocated(two.folder)
    plan = engine.plan_remove(["org/base"], roots=[two["other/hub"]])
    report = engine.apply_removal(plan)
    assert report.bytes < 1 << 20
    assert abs(report.bytes - (before - allocated(two.folder))) < 1 << 17  # hubfold's own state grew
    assert any(
        "models--org--base/blobs" in needed.path and needed.becomes == "stays whole"
        for needed in report.needed
    )
    assert (offline(two, "org/base") / "model.safetensors").read_bytes() == weights("base")
    # What the index knows of the names that stayed is still true: nothing is read again.
    assert engine.scan().files_read == 0


@pytest.mark.slow
def test_with_links_they_go_and_the_space_comes_back(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base")})
    engine.scan([two["models/base"], two["hf/hub"]])
    assert engine.apply(engine.plan()).actions
    local = two["models/base"] / "model.safetensors"
    assert local.is_symlink()
    before = allocated(two["hf"]) + allocated(two["models"])
    plan = engine.plan_remove(["org/base"], with_links=True)
    report = engine.apply_removal(plan)
    assert not os.path.lexists(local)
    assert report.bytes == engine.preview_removal(plan).bytes
    # The vault's own folders go as well; the tokenizer is org/chat's too.
    back = before - allocated(two["hf"]) - allocated(two["models"])
    assert 3 << 20 < report.bytes <= back < report.bytes + (64 << 10)
    assert not (two["hf"] / "hubfold").exists()


@pytest.mark.parametrize("with_links", [False, True])
def test_a_link_of_somebody_else_straight_at_a_blob(two: Tree, engine: Engine, with_links: bool) -> None:
    blob = (offline(two, "org/base") / "model.safetensors").resolve()
    two["mine"].mkdir()
    two.build({"mine/weights.safetensors": link_to(str(blob)), "mine/own.txt": b"mine"})
    engine.scan([two["mine"]])
    report = engine.remove(["org/base"], with_links=with_links)
    link = two["mine/weights.safetensors"]
    assert [needed.path for needed in report.needed] == [str(link)]
    assert os.path.lexists(link) is not with_links
    assert blob.exists() is not with_links
    if not with_links:
        assert link.read_bytes() == weights("base")
        assert [item.path for item in report.left] == [str(blob)]
    assert two["mine/own.txt"].read_bytes() == b"mine"
    with pytest.raises(Exception, match="Cannot find"):
        offline(two, "org/base")


@pytest.mark.parametrize("file", ["", "model.safetensors", "tokenizer/tokenizer.json"])
def test_a_link_into_a_snapshot_keeps_the_whole_revision(two: Tree, engine: Engine, file: str) -> None:
    snapshot = offline(two, "org/base")
    two["mine"].mkdir()
    two.build({"mine/base": link_to(str(snapshot / file).rstrip("/"))})
    engine.scan([two["mine"]])
    report = engine.remove(["org/base"])
    assert (not report.removed and report.run is None) or not report.removed
    assert report.left
    assert two["mine/base"].resolve().exists()
    assert offline(two, "org/base") == snapshot
    assert (snapshot / "model.safetensors").read_bytes() == weights("base")


def test_a_file_put_by_hand_stays_and_is_told(two: Tree, engine: Engine) -> None:
    repo = repository_folder(two["hf/hub"], "org/base")
    (repo / "notes.txt").write_text("mine")
    report = engine.remove(["org/base"])
    assert [item.path for item in report.left] == [str(repo / "notes.txt")]
    assert [path.name for path in repo.iterdir()] == ["notes.txt"]


def test_what_came_after_the_question_stays(two: Tree, engine: Engine) -> None:
    plan = engine.plan_remove(["org/base"])
    snapshot = offline(two, "org/base")
    (snapshot / "late.txt").write_text("late")
    report = engine.apply_removal(plan)
    assert report.failed
    assert (snapshot / "late.txt").read_text() == "late"
    assert (snapshot / "model.safetensors").read_bytes() == weights("base")


def test_a_model_that_is_being_downloaded_is_left_alone(two: Tree, engine: Engine) -> None:
    from huggingface_hub.utils import WeakFileLock

    blob = (offline(two, "org/base") / "model.safetensors").resolve()
    lock = two["hf/hub"] / ".locks" / "models--org--base" / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        report = engine.remove(["org/base"])
    assert not report.removed
    assert "another program holds" in report.failed[0].error
    assert (offline(two, "org/base") / "model.safetensors").exists()


@pytest.mark.skipif(not has_shared_store(), reason="this huggingface_hub has no shared store")
def test_a_shared_payload_goes_with_its_last_user(
    tree: Tree, loopback_hub: LoopbackHub, tmp_path: Path
) -> None:
    file = with_xet_hash(weights("xet"))
    loopback_hub.add("org/one", {"a.safetensors": file})
    loopback_hub.add("org/two", {"b.safetensors": file})
    tree.build({"hf/hub": hub_cache("org/one", "org/two", shared=True)})
    engine = Engine(tmp_path / "state", environ={"HF_HUB_CACHE": str(tree["hf/hub"]), "HOME": str(tmp_path)})
    payload = (offline(tree, "org/one") / "a.safetensors").resolve()
    assert payload.parent.parent == tree["hf/hub"] / "blobs"
    first = engine.remove(["org/one"])
    assert first.bytes < 1 << 20
    assert (offline(tree, "org/two") / "b.safetensors").read_bytes() == weights("xet")
    before = allocated(tree["hf"])
    second = engine.remove(["org/two"])
    assert second.bytes == before - allocated(tree["hf"]) > 3 << 20
    assert not payload.exists() and not payload.with_name(f"{payload.name}.refs").exists()
    assert not scan_cache_dir(tree["hf/hub"]).warnings


def test_a_copy_on_another_drive_and_a_plain_copy_are_not_touched(two: Tree, engine: Engine) -> None:
    two["plain"].mkdir()
    two.build({"plain/copy.safetensors": copy_of("hf/hub/models--org--base/blobs/" + _weights_blob(two))})
    engine.scan([two["plain"]])
    engine.remove(["org/base"])
    assert two["plain/copy.safetensors"].read_bytes() == weights("base")


def _weights_blob(tree: Tree) -> str:
    return (offline(tree, "org/base") / "model.safetensors").resolve().name


def test_names_that_are_nowhere_and_names_that_are_none(two: Tree, engine: Engine) -> None:
    with pytest.raises(HubfoldError, match="no root holds a model called 'org/bass'") as unknown:
        engine.preview_remove(["org/bass"])
    assert "org/base" in unknown.value.hint
    with pytest.raises(HubfoldError, match="no revision 'v9' is there"):
        engine.preview_remove(["org/base"], "v9")
    for name in ("../x", "org/../x", "a/b/c", "org/na\nme", "", "/etc", "org/x\x1b[0m"):
        with pytest.raises(UsageError):
            engine.preview_remove([name])


def test_after_a_crash_the_same_command_goes_on(
    two: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.removal import remover

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(remover.Remover, "_unneeded", crash)
        with pytest.raises(Crash):
            engine.remove(["org/base"])
    with pytest.raises(Exception, match="Cannot find"):
        offline(two, "org/base")
    assert engine.recover().runs
    report = engine.remove(["org/base"])
    assert not report.failed
    assert report.bytes > 5 << 20
    assert not repository_folder(two["hf/hub"], "org/base").exists()
    assert offline(two, "org/chat")


def test_a_blob_that_a_new_revision_began_to_use_meanwhile_stays(
    two: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    plan = engine.plan_remove(["org/base"])
    commit = loopback_hub.add("org/base", {"model.safetensors": weights("base"), "new.txt": b"new"}, ref="v2")
    two.build({"hf/hub": hub_cache("org/base@v2")})
    new = repository_folder(two["hf/hub"], "org/base") / "snapshots" / commit
    report = engine.apply_removal(plan)
    assert "something began to use it meanwhile" in {
        failure.error.partition(";")[0] for failure in report.failed
    }
    assert (new / "model.safetensors").read_bytes() == weights("base")
    path = hf_hub_download(
        "org/base", "new.txt", revision="v2", cache_dir=two["hf/hub"], local_files_only=True
    )
    assert Path(path).read_bytes() == b"new"


# caches in caches, local copies, names


def test_a_cache_inside_a_cache_loses_it_too(two: Tree, engine: Engine) -> None:
    """``hub/hub``: a program was given the base folder, and another one the cache itself."""
    two.build({"hf/hub/hub": hub_cache("org/base")})
    before = allocated(two["hf"])
    preview = engine.preview_remove(["org/base"])
    assert [model.path for model in preview.models] == [
        str(repository_folder(two["hf/hub"], "org/base")),
        str(repository_folder(two["hf/hub/hub"], "org/base")),
    ]
    only = engine.preview_removal(engine.plan_remove(["org/base"], roots=[two["hf/hub/hub"]]))
    assert [model.path for model in only.models] == [preview.models[1].path]
    report = engine.remove(["org/base"])
    assert not report.failed
    assert report.bytes == preview.bytes == before - allocated(two["hf"]) > 10 << 20
    for cache in ("hf/hub", "hf/hub/hub"):
        assert not repository_folder(two[cache], "org/base").exists()
    assert (offline(two, "org/chat") / "model.safetensors").read_bytes() == weights("chat")


def test_one_revision_of_a_cache_inside_a_cache(two: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    old = offline(two, "org/base").name
    two.build({"hf/hub/hub": hub_cache("org/base")})
    loopback_hub.add("org/base", {"config.json": b"{}"})
    two.sync("hf/hub/hub")
    report = engine.remove(["org/base"], old[:8])
    assert not report.failed
    assert not repository_folder(two["hf/hub"], "org/base").exists()
    assert (offline(two, "org/base", "hf/hub/hub") / "config.json").read_bytes() == b"{}"


def test_local_copies_stay_and_are_told_unless_they_are_asked_for(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base"), "models/chat": local_dir("org/chat")})
    (two["models/base"] / "notes.txt").write_text("mine")
    (two["models/base"] / "config.json").write_text('{"mine": true}')
    later = os.stat(two["models/base"] / "config.json").st_mtime + 60
    os.utime(two["models/base"] / "config.json", (later, later))
    engine.add_root(two["models"])
    preview = engine.preview_remove(["org/base"])
    assert [left.path for left in preview.left] == [str(two["models/base"])]
    assert "--with-copies" in preview.left[0].reason
    before = allocated(two["hf"]) + allocated(two["models"])
    plan = engine.plan_remove(["org/base"], with_copies=True)
    preview = engine.preview_removal(plan)
    report = engine.apply_removal(plan)
    assert not report.failed
    assert report.bytes == preview.bytes == before - allocated(two["hf"]) - allocated(two["models"])
    assert sorted(os.listdir(two["models/base"])) == ["config.json", "notes.txt"], "what is the user's stays"
    assert (two["models/base"] / "config.json").read_text() == '{"mine": true}'
    assert [left.path for left in report.left] == [str(two["models/base/config.json"])]
    assert (two["models/chat"] / "model.safetensors").read_bytes() == weights("chat")


def test_the_folder_of_a_copy_names_only_that(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base"), "models/again": local_dir("org/base")})
    for lock in two["models/base"].rglob("*.lock"):
        lock.unlink()  # some clients leave none behind, and then ours are the only ones
    engine.add_root(two["models"])
    before = allocated(two["models"])
    report = engine.remove([str(two["models/base"])])
    assert report.bytes == before - allocated(two["models"]) > 5 << 20
    assert not two["models/base"].exists()
    assert (two["models/again"] / "model.safetensors").read_bytes() == weights("base")
    assert (offline(two, "org/base") / "model.safetensors").read_bytes() == weights("base")
    [row] = engine.models([str(two["models/again"])]).models
    assert (row.id, row.freed_bytes) == ("org/base", engine.preview_remove(["org/base"]).bytes)
    with pytest.raises(UsageError, match="is no copy that a client downloaded"):
        engine.remove([str(two["hf"])])


@pytest.mark.slow
def test_a_folded_copy_goes_with_the_vault_object_that_only_it_needs(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base")})
    engine.add_root(two["models"])
    engine.scan()
    assert engine.apply(engine.plan()).actions
    local = two["models/base"] / "model.safetensors"
    assert local.is_symlink()
    engine.remove(["org/base"])
    assert local.read_bytes() == weights("base")
    before = allocated(two["hf"]) + allocated(two["models"])
    plan = engine.plan_remove([str(two["models/base"])])
    preview = engine.preview_removal(plan)
    report = engine.apply_removal(plan)
    assert not report.failed
    assert not two["models/base"].exists()
    assert not list((two["hf"] / "hubfold").rglob("*.safetensors"))
    assert 3 << 20 < preview.bytes == report.bytes <= before - allocated(two["hf"]) - allocated(two["models"])


def test_an_object_that_lost_its_list_of_links_stays_for_a_link_in_no_root(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base")})
    engine.scan([two["models/base"], two["hf/hub"]])
    assert engine.apply(engine.plan()).actions
    local = two["models/base"] / "model.safetensors"
    for path in (two["hf"] / "hubfold").rglob("*.links"):
        path.unlink()
    two["models"].rename(two["away"])
    engine.remove_root(two["models/base"])
    engine.remove(["org/base"])
    two["away"].rename(two["models"])
    assert local.is_symlink()
    assert local.read_bytes() == weights("base")


def test_a_copy_that_a_client_writes_to_is_left_alone(two: Tree, engine: Engine) -> None:
    from huggingface_hub.utils import WeakFileLock

    two.build({"models/base": local_dir("org/base")})
    engine.add_root(two["models"])
    lock = two["models/base"] / ".cache/huggingface/download/model.safetensors.lock"
    with WeakFileLock(lock):
        report = engine.remove([str(two["models/base"])])
    assert not report.removed
    assert "another program holds" in report.failed[0].error
    assert (two["models/base"] / "model.safetensors").read_bytes() == weights("base")


def test_of_several_models_one_that_is_locked_stays_alone(two: Tree, engine: Engine) -> None:
    from huggingface_hub.utils import WeakFileLock

    blob = (offline(two, "org/base") / "model.safetensors").resolve()
    lock = two["hf/hub"] / ".locks" / "models--org--base" / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        report = engine.remove(["org/base", "org/chat"])
    assert [failed.path for failed in report.failed] and "another program holds" in report.failed[0].error
    assert (offline(two, "org/base") / "model.safetensors").read_bytes() == weights("base")
    assert [repo.repo_id for repo in scan_cache_dir(two["hf/hub"]).repos] == ["org/base"]
    assert not repository_folder(two["hf/hub"], "org/chat").exists()


def test_stopped_between_two_models_the_first_is_gone_with_its_content(two: Tree, engine: Engine) -> None:
    real = Remover._remove

    def then_stop(self: Remover, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        self.stop.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Remover, "_remove", then_stop)
        report = engine.remove(["org/base", "org/chat"])
    assert report.interrupted and not report.failed
    assert not repository_folder(two["hf/hub"], "org/base").exists()
    assert (offline(two, "org/chat") / "model.safetensors").read_bytes() == weights("chat")


def test_what_a_client_downloads_again_into_a_copy_stays(
    two: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.removal import remover

    two.build({"models/base": local_dir("org/base")})
    engine.add_root(two["models"])
    unneeded = remover.Remover._unneeded

    def meanwhile(self: remover.Remover, *arguments: object) -> bool:
        two.sync("models/base")
        return unneeded(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(remover.Remover, "_unneeded", meanwhile)
    report = engine.remove([str(two["models/base"])])
    assert report.failed
    assert (two["models/base"] / "model.safetensors").read_bytes() == weights("base")


def test_a_short_name_removes_the_revision_that_it_stands_for(
    two: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    first = offline(two, "org/base").name
    loopback_hub.tag("org/base", "v1", first)
    two.build({"hf/hub": hub_cache("org/base@v1")})
    loopback_hub.add("org/base", {"config.json": b"{}"})
    two.build({"hf/hub": hub_cache("org/base")})
    (two.folder / "state").mkdir(exist_ok=True)
    (two.folder / "state" / "config.toml").write_text(
        '[models]\nold = { repo = "org/base", revision = "v1" }\nchat = "org/chat"\n'
    )
    assert [model.revisions for model in engine.preview_remove(["old"]).models] == [(first,)]
    engine.remove(["old", "chat"])
    assert (offline(two, "org/base") / "config.json").read_bytes() == b"{}"
    assert [repo.repo_id for repo in scan_cache_dir(two["hf/hub"]).repos] == ["org/base"]
    with pytest.raises(HubfoldError) as unknown:
        engine.preview_remove(["odl"])
    assert unknown.value.hint == "did you mean old?"


def test_a_dataset_is_found_without_its_prefix_and_a_model_comes_first(
    two: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    for name in ("base", "rows"):
        loopback_hub.add(f"org/{name}", {"a.parquet": b"rows"}, repo_type="dataset")
    two.build({"hf/hub": hub_cache("datasets/org/base", "datasets/org/rows")})
    names = [model.name for model in engine.preview_remove(["ORG/Base", "org/rows"]).models]
    assert names == ["org/base", "datasets/org/rows"]


@pytest.mark.slow
def test_what_ls_says_is_freed_is_what_rm_says_and_frees(
    two: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    """Each model once removed alone: a cache in a cache, a folded copy, a shared inode, a farm, a link by hand."""
    loopback_hub.add("org/data", {"a.parquet": b"rows" * 9999}, repo_type="dataset")
    two.build(
        {
            "hf/hub": hub_cache("org/base", "org/chat", "datasets/org/data"),
            "hf/hub/hub": hub_cache("org/chat"),
            "models/base": local_dir("org/base"),
            "other/hub": hub_cache("org/base"),
        }
    )
    data = next(repository_folder(two["hf/hub"], "datasets/org/data").glob("snapshots/*/a.parquet"))
    two["mine"].mkdir()
    two.build({"mine/data.parquet": link_to(str(data.resolve()))})
    for root in ("models", "mine", "other/hub"):
        engine.add_root(two[root])
    engine.scan()
    engine.apply(engine.plan())
    engine.farm(two["farm"], ["org/chat"])
    engine.add_root(two["farm"])
    places = [two[name] for name in ("hf", "models", "mine", "other", "farm")]
    seen = 0
    for model in list(engine.models().models):
        listed = next(one for one in engine.models().models if one.id == model.id)
        before = allocated(*places)
        plan = engine.plan_remove([model.id])
        assert listed.freed_bytes == engine.preview_removal(plan).bytes, model.id
        report = engine.apply_removal(plan)
        assert report.bytes == listed.freed_bytes == before - allocated(*places), model.id
        seen += 1
    assert seen == 3


def test_names_by_a_pattern(two: Tree, engine: Engine) -> None:
    def named(*patterns: str, with_copies: bool = False) -> list[str]:
        plan = engine.plan_remove(patterns, with_copies=with_copies)
        return sorted({removal.repo_id for removal in plan.removals})

    assert named("org/*") == named("*/*") == named("ORG/[bc]*") == ["org/base", "org/chat"]
    assert named("org/b?se") == ["org/base"]
    assert named("org/b*", "org/chat") == ["org/base", "org/chat"]
    for nothing in ("*", "other/*", "datasets/*/*", "*/*/*"):
        with pytest.raises(HubfoldError, match="no model is called like"):
            named(nothing)
    with pytest.raises(UsageError):
        engine.plan_remove(["org/*"], "main")
    report = engine.apply_removal(engine.plan_remove(["org/b*"]))
    assert {model.name for model in report.models} == {"org/base"}
    assert offline(two, "org/chat")


def test_a_pattern_takes_no_local_copy_unless_asked(two: Tree, engine: Engine) -> None:
    two.build({"models/base": local_dir("org/base", cache="hf/hub")})
    engine.add_root(two["models"])
    two.sync("hf/hub")
    plan = engine.plan_remove(["org/base*"])
    assert [left.path for left in plan.left] == [str(two["models/base"])]
    assert {removal.root for removal in plan.removals} == {str(two["hf/hub"])}
