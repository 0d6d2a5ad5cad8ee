"""Cleaning up what clients and hubfold left behind, in caches that the real client wrote."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.errors import RootError, UsageError
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, repository_folder

DAY = 24 * 3600


@pytest.fixture
def engine(tree: Tree, loopback_hub: LoopbackHub) -> Engine:
    loopback_hub.add("org/base", model_files("base"))
    loopback_hub.add("org/chat", model_files("chat"))
    tree.build({"hf/hub": hub_cache("org/base", "org/chat")})
    return Engine(
        tree.folder / "state", environ={"HF_HUB_CACHE": str(tree["hf/hub"]), "HOME": str(tree.folder)}
    )


def offline(tree: Tree, repo_id: str) -> Path:
    return Path(snapshot_download(repo_id, cache_dir=tree["hf/hub"], local_files_only=True))


def aged(path: Path, days: float = 2) -> Path:
    then = time.time() - days * DAY
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def kinds(engine: Engine, **options: object) -> list[tuple[str, str]]:
    plan = engine.plan_clean(**options)  # type: ignore[arg-type]
    return sorted((m.kind, Path(m.path).name) for m in engine.preview_removal(plan).models)


def clean_locks(tree: Tree) -> None:
    for lock in (tree["hf/hub"] / ".locks").rglob("*.lock"):
        lock.unlink()


def test_nothing_is_left_behind_by_a_finished_download(tree: Tree, engine: Engine) -> None:
    assert kinds(engine) == []
    assert {kind for kind, _ in kinds(engine, older_than=0)} <= {"stale lock"}


def test_old_interrupted_downloads_and_locks_go_and_young_ones_stay(tree: Tree, engine: Engine) -> None:
    clean_locks(tree)
    blobs = repository_folder(tree["hf/hub"], "org/base") / "blobs"
    old, young = blobs / f"{'a' * 64}.1234abcd.incomplete", blobs / f"{'b' * 64}.incomplete"
    for path in (old, young):
        path.write_bytes(b"x" * (1 << 20))
    aged(old)
    lock = tree["hf/hub"] / ".locks" / "models--org--base" / f"{'c' * 64}.lock"
    lock.touch()
    aged(lock)
    plan = engine.plan_clean()
    report = engine.apply_removal(plan, "clean")
    assert not report.failed
    assert sorted(report.removed) == sorted([str(old), str(lock)])
    assert [left.path for left in report.left] == [str(young)], "what stays for its age is told"
    assert 1 << 20 <= report.bytes <= (1 << 20) + 4096  # the folder of the lock went too
    assert young.exists()
    assert offline(tree, "org/base") and not scan_cache_dir(tree["hf/hub"]).warnings


def test_a_download_that_somebody_is_at_stays_however_old(tree: Tree, engine: Engine) -> None:
    from huggingface_hub.utils import WeakFileLock

    etag = "a" * 64
    path = repository_folder(tree["hf/hub"], "org/base") / "blobs" / f"{etag}.1234abcd.incomplete"
    path.write_bytes(b"x")
    aged(path)
    with WeakFileLock(tree["hf/hub"] / ".locks" / "models--org--base" / f"{etag}.lock"):
        report = engine.apply_removal(engine.plan_clean(), "clean")
    assert path.exists()
    assert "another program holds" in report.failed[0].error


class Copy:
    """A folder that a client downloaded into, with downloads that were interrupted there."""

    def __init__(self, tree: Tree, engine: Engine) -> None:
        tree.build({"models/base": local_dir("org/base")})
        self.folder = tree["models/base"]
        engine.add_root(tree["models"])

    def partial(self, name: str, *, old: bool) -> Path:
        """As the client calls the file that is to become `name`, with its lock beside it."""
        from huggingface_hub._local_folder import get_local_download_paths

        paths = get_local_download_paths(self.folder, name)
        path = paths.incomplete_path("a" * 64)
        path.write_bytes(b"x" * (1 << 20))
        paths.lock_path.touch()
        return aged(path, 90) if old else path


def test_downloads_into_a_folder_that_were_interrupted_go_as_well(tree: Tree, engine: Engine) -> None:
    copy = Copy(tree, engine)
    clean_locks(tree)
    old, young = copy.partial("old.safetensors", old=True), copy.partial("sub/young.safetensors", old=False)
    before_023 = old.parent / f"older.safetensors.{'b' * 64}.incomplete"
    before_023.write_bytes(b"x")
    aged(before_023)
    notes = sorted(path for path in copy.folder.rglob("*") if path not in (old, before_023))
    report = engine.apply_removal(engine.plan_clean(), "clean")
    assert not report.failed and sorted(report.removed) == sorted([str(old), str(before_023)])
    assert young.exists() and sorted(copy.folder.rglob("*")) == notes
    assert snapshot_download("org/base", local_dir=copy.folder, local_files_only=True) == str(copy.folder)


def test_a_download_into_a_folder_that_somebody_is_at_stays_however_old(tree: Tree, engine: Engine) -> None:
    from huggingface_hub._local_folder import get_local_download_paths
    from huggingface_hub.utils import WeakFileLock

    copy = Copy(tree, engine)
    path = copy.partial("old.safetensors", old=True)
    for name, partial in (("old.safetensors", path), ("old", path.with_name(f"old.{'b' * 64}.incomplete"))):
        partial.write_bytes(b"x")
        aged(partial)
        with WeakFileLock(get_local_download_paths(copy.folder, name).lock_path):
            report = engine.apply_removal(engine.plan_clean([copy.folder]), "clean")
        assert partial.exists(), name
        assert "another program holds" in report.failed[0].error
        partial.unlink()


def test_old_revisions_go_only_when_asked_for(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    before = offline(tree, "org/base")
    loopback_hub.add("org/base", model_files("newer"))
    tree.sync("hf/hub")
    assert kinds(engine) == []
    assert [kind for kind, _ in kinds(engine, old_revisions=True)] == ["detached revision"]
    report = engine.apply_removal(engine.plan_clean(old_revisions=True), "clean")
    assert report.bytes > 3 << 20
    assert not before.exists()
    assert offline(tree, "org/base").name != before.name
    found = scan_cache_dir(tree["hf/hub"])
    assert not found.warnings
    assert [len(repo.revisions) for repo in found.repos] == [1, 1]


def test_an_empty_repository_and_unused_content_go(tree: Tree, engine: Engine) -> None:
    repo = tree["hf/hub"] / "models--org--never"
    (repo / "blobs").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    unused = repository_folder(tree["hf/hub"], "org/chat") / "blobs" / ("d" * 64)
    unused.write_bytes(b"x" * 5000)
    aged(unused)
    assert [kind for kind, _ in kinds(engine)] == ["content that no revision uses"]
    for folder in (repo / "blobs", repo / "refs", repo):
        aged(folder)
    report = engine.apply_removal(engine.plan_clean(), "clean")
    assert {model.kind for model in report.models} == {"content that no revision uses", "empty repository"}
    assert not repo.exists() and not unused.exists()
    assert len(scan_cache_dir(tree["hf/hub"]).repos) == 2


def test_a_dangling_link_of_ours_goes_and_one_of_yours_stays(tree: Tree, engine: Engine) -> None:
    tree.build({"models/base": local_dir("org/base")})
    engine.scan([tree["models/base"], tree["hf/hub"]])
    assert engine.apply(engine.plan()).actions
    link = tree["models/base"] / "model.safetensors"
    mine = tree["models/base"] / "mine"
    mine.symlink_to("/nowhere/at/all")
    Path(os.path.join(link.parent, os.readlink(link))).unlink()
    assert not link.exists()
    report = engine.apply_removal(engine.plan_clean(), "clean")
    assert report.removed == (str(link),)
    assert not os.path.lexists(link) and mine.is_symlink()


@pytest.mark.slow
def test_all_empties_one_cache_and_links_elsewhere_keep_their_content(tree: Tree, engine: Engine) -> None:
    tree.build({"models/base": local_dir("org/base"), "other/hub": hub_cache("org/base")})
    engine.scan([tree["models/base"], tree["hf/hub"]])
    assert engine.apply(engine.plan()).actions
    content = (tree["models/base"] / "model.safetensors").read_bytes()
    report = engine.apply_removal(engine.plan_clean_all(tree["hf/hub"]), "clean")
    assert not report.failed
    assert scan_cache_dir(tree["hf/hub"]).repos == frozenset()
    assert [path.name for path in tree["hf/hub"].iterdir() if path.name.startswith("models--")] == []
    assert (tree["models/base"] / "model.safetensors").read_bytes() == content
    assert len(scan_cache_dir(tree["other/hub"]).repos) == 1
    with pytest.raises(UsageError, match="is no cache"):
        engine.plan_clean_all(tree["models/base"])
    with pytest.raises(RootError):
        engine.plan_clean_all(tree["nowhere"])


def test_a_cache_inside_a_cache_is_cleaned_and_emptied_too(tree: Tree, engine: Engine) -> None:
    tree.build({"hf/hub/hub": hub_cache("org/base")})
    blobs = repository_folder(tree["hf/hub/hub"], "org/base") / "blobs"
    part = aged(_written(blobs / f"{'a' * 64}.incomplete"))
    [lock, *_] = (tree["hf/hub/hub"] / ".locks").rglob("*.lock")
    aged(lock)
    assert kinds(engine) == [("interrupted download", part.name), ("stale lock", lock.name)]
    assert not engine.apply_removal(engine.plan_clean(), "clean").failed
    assert not part.exists() and not lock.exists()
    report = engine.apply_removal(engine.plan_clean_all(tree["hf/hub"]), "clean")
    assert not report.failed
    for cache in ("hf/hub", "hf/hub/hub"):
        assert not [name for name in os.listdir(tree[cache]) if name.startswith("models--")]


@pytest.mark.parametrize("part", ["snapshots", "snapshots/COMMIT", "refs", "refs/main", ""])
def test_what_a_failing_disk_does_not_show_is_not_left_behind(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Its revision was taken for none, and its blobs went."""
    repository = repository_folder(tree["hf/hub"], "org/base")
    for path in (*repository.rglob("*"), repository):
        aged(path)
    lost = os.path.join(repository, part.replace("COMMIT", offline(tree, "org/base").name)).rstrip("/")
    opened = os.open

    def fails(path: str, *arguments: Any, **named: Any) -> int:
        if path == lost:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", fails)
    assert kinds(engine, old_revisions=True) == []
    monkeypatch.undo()
    assert offline(tree, "org/base").is_dir()


def _written(path: Path) -> Path:
    path.write_bytes(b"x" * (1 << 20))
    return path


def test_where_nobody_could_look_is_told(tree: Tree, engine: Engine) -> None:
    tree["usb"].mkdir()
    engine.add_root(tree["usb"])
    tree["usb"].rmdir()
    [left] = engine.preview_removal(engine.plan_clean()).left
    assert left.path == str(tree["usb"])
    assert left.reason.startswith("it is not there (is its drive connected?)")
    assert engine.preview_removal(engine.plan_clean([tree["hf/hub"]])).left == (), "nobody asked about it"
