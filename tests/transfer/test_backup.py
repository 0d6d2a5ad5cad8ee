"""Backups of caches that the real client wrote, and restoring them elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.errors import BackupError, HubfoldError, NoSpace
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import (
    Tree,
    fine_tune_of,
    has_shared_store,
    hub_cache,
    safetensors,
    with_xet_hash,
)
from hubfold.workers import tasks
from tests.building import teams
from tests.building.machines import FORMS, of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("does", [tasks.read_files, teams.lies, teams.dies])
def test_a_backup_whose_files_workers_read_is_the_same(tree: Tree, engine: Engine, does: teams.Does) -> None:
    alone = engine.backup(engine.plan_backup(tree["alone"]))
    with teams.Faulty(does) as executor:
        other = Engine(engine.state.home, environ=engine.workspace.environ, executor=executor)
        spread = other.backup(other.plan_backup(tree["spread"]))
        other.close()
        assert executor.nonces
    assert not spread.failed
    assert (spread.bytes, spread.written, len(spread.models)) == (
        alone.bytes,
        alone.written,
        len(alone.models),
    )
    assert {path.name for path in tree["spread"].rglob("objects/*/*")} == {
        path.name for path in tree["alone"].rglob("objects/*/*")
    }


def photograph(cache: Path) -> dict[str, object]:
    """Names, link texts and bytes of the repositories of a cache."""
    seen: dict[str, object] = {}
    for path in sorted(cache.glob("models--*/**/*")):
        name = str(path.relative_to(cache))
        if path.is_symlink() and "blobs" not in path.parent.name:
            seen[name] = os.readlink(path)
        elif path.is_file() and "/.no_exist/" not in name:
            seen[name] = hash(path.read_bytes())
    return seen


@pytest.mark.parametrize("form", FORMS)
def test_a_backup_restores_on_another_machine(tree: Tree, engine: Engine, form: str) -> None:
    target = tree[form]
    report = engine.backup(engine.plan_backup(target))
    assert not report.failed
    assert len(report.models) == 3
    there = tree["elsewhere/with/other/paths"]
    other = of(tree, "there", there)
    plan = other.plan_restore(target)
    assert not there.exists()
    restored = other.restore(target, plan)
    assert not restored.failed and not restored.left
    assert restored.written == report.bytes
    assert photograph(there) == photograph(tree["hf/hub"])
    for repo_id in ("org/base", "org/chat"):
        here = snapshot_download(repo_id, cache_dir=tree["hf/hub"], local_files_only=True)
        assert (
            Path(snapshot_download(repo_id, cache_dir=there, local_files_only=True)).name == Path(here).name
        )
        path = hf_hub_download(repo_id, "config.json", cache_dir=there, local_files_only=True)
        assert json.loads(Path(path).read_text())["model_type"] == "llama"
    before, after = scan_cache_dir(tree["hf/hub"]), scan_cache_dir(there)
    assert not after.warnings
    assert {(r.repo_id, r.size_on_disk, r.nb_files) for r in after.repos} == {
        (r.repo_id, r.size_on_disk, r.nb_files) for r in before.repos
    }
    # The tokenizer of both models was written once.
    tokenizers = {path.stat().st_ino for path in there.rglob("tokenizer.safetensors")}
    assert len(tokenizers) == 1
    assert not list(there.rglob(".hubfold*"))
    # Once more: nothing is missing, nothing is written.
    again = other.restore(target, other.plan_restore(target))
    assert again.restored == () and again.written == 0 and not again.failed and not again.left


def test_each_content_is_in_it_once(tree: Tree, engine: Engine) -> None:
    report = engine.backup(engine.plan_backup(tree["backup"]))
    objects = [path for path in tree["backup/objects"].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in objects) == report.bytes == report.written
    assert report.bytes < 3 * (3 << 20) + (2 << 20) + 10_000


def test_chosen_models_and_going_on_with_a_folder(tree: Tree, engine: Engine) -> None:
    first = engine.backup(engine.plan_backup(tree["backup"], ["org/chat"]))
    assert [model.name for model in first.models] == ["org/chat"]
    second = engine.backup(engine.plan_backup(tree["backup"], ["org/base"]))
    assert second.written == 2 * (3 << 20) + second.bytes - 2 * (3 << 20) - (2 << 20)
    other = of(tree, "there", tree["there"])
    assert len(other.plan_restore(tree["backup"]).models) == 3
    other.restore(tree["backup"], other.plan_restore(tree["backup"], ["org/chat"]))
    assert [repo.repo_id for repo in scan_cache_dir(tree["there"]).repos] == ["org/chat"]
    with pytest.raises(HubfoldError, match="the backup has no model called 'org/other'"):
        other.plan_restore(tree["backup"], ["org/other"])
    with pytest.raises(HubfoldError, match="no root holds a model called 'org/bass'"):
        engine.plan_backup(tree["backup"], ["org/bass"])


@pytest.mark.skipif(not has_shared_store(), reason="this huggingface_hub has no shared store")
def test_shared_payloads_become_files_of_their_own(tree: Tree, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/xet", {"a.safetensors": with_xet_hash(safetensors("xet"))})
    tree.build({"hf/hub": hub_cache("org/xet", shared=True)})
    engine = of(tree, "here", tree["hf/hub"])
    engine.backup(engine.plan_backup(tree["backup"]))
    other = of(tree, "there", tree["there"])
    other.restore(tree["backup"], other.plan_restore(tree["backup"]))
    path = hf_hub_download("org/xet", "a.safetensors", cache_dir=tree["there"], local_files_only=True)
    assert Path(path).read_bytes() == safetensors("xet")
    assert not Path(path).resolve().is_symlink()


@pytest.mark.parametrize("form", FORMS)
def test_a_blob_that_lies_is_not_backed_up_and_is_told(tree: Tree, engine: Engine, form: str) -> None:
    snapshot = Path(snapshot_download("org/chat", cache_dir=tree["hf/hub"], local_files_only=True))
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(fine_tune_of(blob.read_bytes()))
    report = engine.backup(engine.plan_backup(tree[form]))
    assert {model.name for model in report.models} == {"org/base"}
    assert "its bytes are not the" in report.failed[0].error
    other = of(tree, "there", tree["there"])
    assert not other.restore(tree[form], other.plan_restore(tree[form])).failed
    assert {repo.repo_id for repo in scan_cache_dir(tree["there"]).repos} == {"org/base"}


def test_an_interrupted_backup_and_restore_go_on(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.transfer import containers, restore

    class Crash(BaseException):
        pass

    def crashing(after: int, call: Callable[..., object]) -> Callable[..., object]:
        left = [after]

        def wrapped(*arguments: object, **keywords: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return call(*arguments, **keywords)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(containers.FolderWriter, "add", crashing(4, containers.FolderWriter.add))
        with pytest.raises(Crash):
            engine.backup(engine.plan_backup(tree["backup"]))
    other = of(tree, "there", tree["there"])
    with pytest.raises(BackupError, match="one that was interrupted"):
        other.plan_restore(tree["backup"])
    report = engine.backup(engine.plan_backup(tree["backup"]))
    assert report.written < report.bytes
    with monkeypatch.context() as patch:
        patch.setattr(restore.Restorer, "_move_in", crashing(4, restore.Restorer._move_in))
        with pytest.raises(Crash):
            other.restore(tree["backup"], other.plan_restore(tree["backup"]))
    assert not list(tree["there"].rglob("snapshots/*/*"))
    done = other.restore(tree["backup"], other.plan_restore(tree["backup"]))
    assert 0 < done.written < report.bytes and not done.failed
    assert photograph(tree["there"]) == photograph(tree["hf/hub"])


def test_no_room_is_told_with_the_figures(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.backup(engine.plan_backup(tree["backup"]))
    usage = shutil.disk_usage(tree.folder)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(NoSpace, match=r"1\.0M free, and the backup takes 11\.5M"):
        engine.backup(engine.plan_backup(tree["second.tar"]))
    assert not list(tree.folder.glob("*second*")) and not list(tree.folder.glob(".hubfold*"))
    other = of(tree, "there", tree["there"])
    with pytest.raises(NoSpace, match=r"1\.0M free, and this takes 11\.5M"):
        other.restore(tree["backup"], other.plan_restore(tree["backup"]))


def test_where_a_backup_may_go(tree: Tree, engine: Engine) -> None:
    tree["full"].mkdir()
    tree.build({"full/mine.txt": b"mine", "there.tar": b"mine"})
    for name in ("full", "there.tar"):
        with pytest.raises(BackupError):
            engine.backup(engine.plan_backup(tree[name]))
    assert os.listdir(tree["full"]) == ["mine.txt"]
    assert tree["there.tar"].read_bytes() == b"mine"
    for name in ("nowhere", "there.tar", "full/mine.txt", "full"):
        with pytest.raises(BackupError):
            engine.plan_restore(tree[name])
