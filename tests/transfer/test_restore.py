"""Restoring what anybody may have written: whole or not at all, and nothing outside the root."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from hubfold import Engine
from hubfold.errors import BackupError
from hubfold.testing.trees import (
    Tree,
    fine_tune_of,
    repository_folder,
    safetensors,
)
from tests.building.machines import FORMS, of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_damaged_backup_restores_what_is_whole_and_says_what_is_not(
    tree: Tree, engine: Engine, form: str
) -> None:
    engine.backup(engine.plan_backup(tree[form]))
    needle = safetensors("chat")[5000:5100]
    damaged = tree[form]
    if form == "backup":
        damaged = next(
            p for p in tree["backup/objects"].rglob("*") if p.is_file() and needle in p.read_bytes()
        )
    data = bytearray(damaged.read_bytes())
    data[data.index(needle)] ^= 1
    damaged.write_bytes(data)
    other = of(tree, "there", tree["there"])
    report = other.restore(tree[form], other.plan_restore(tree[form]))
    assert "the backup is damaged" in report.failed[0].error
    assert {model.name for model in report.models} == {"org/base"}
    assert snapshot_download("org/base", cache_dir=tree["there"], local_files_only=True)
    with pytest.raises(Exception, match="Cannot find"):
        snapshot_download("org/chat", cache_dir=tree["there"], local_files_only=True)


@pytest.mark.parametrize("form", FORMS[1:])
def test_an_archive_that_was_cut_short_is_refused(tree: Tree, engine: Engine, form: str) -> None:
    engine.backup(engine.plan_backup(tree[form]))
    data = tree[form].read_bytes()
    for length in (0, 100, len(data) // 2, len(data) - 30_000):
        tree[form].write_bytes(data[:length])
        with pytest.raises(BackupError):
            of(tree, "there", tree["there"]).plan_restore(tree[form])
    assert not tree["there"].exists()


def test_what_is_there_stays(tree: Tree, engine: Engine) -> None:
    engine.backup(engine.plan_backup(tree["backup"], ["org/chat"]))
    there = tree["there"]
    repo = repository_folder(there, "org/chat")
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("f" * 40)
    etag = (
        Path(snapshot_download("org/chat", cache_dir=tree["hf/hub"], local_files_only=True))
        / "model.safetensors"
    )
    (repo / "blobs").mkdir()
    blob = repo / "blobs" / etag.resolve().name
    blob.write_bytes(fine_tune_of(safetensors("chat")))
    other = of(tree, "there", there)
    report = other.restore(tree["backup"], other.plan_restore(tree["backup"]))
    assert [item.path for item in report.failed] == [str(blob)]
    assert [item.path for item in report.left] == [str(repo / "refs" / "main")]
    assert not (repo / "snapshots").exists()  # nothing that would look whole
    assert blob.read_bytes() == fine_tune_of(safetensors("chat"))
    blob.unlink()
    again = other.restore(tree["backup"], other.plan_restore(tree["backup"]))
    assert not again.failed and (repo / "refs" / "main").read_text() == "f" * 40
    assert len(list((repo / "snapshots").iterdir())) == 1


def rewritten(tree: Tree, change: Callable[[list[dict[str, object]]], object]) -> Path:
    """A copy of the backup whose list somebody has changed."""
    target = tree["hostile"]
    shutil.copytree(tree["backup"], target)
    document = json.loads((target / "hubfold-backup.json").read_text())
    change(document["models"][0]["parts"])
    (target / "hubfold-backup.json").write_text(json.dumps(document))
    return target


HOSTILE: dict[str, Callable[[list[dict[str, object]]], object]] = {
    "dots": lambda parts: parts[0].update(name="models--org--chat/blobs/../../../../escaped"),
    "absolute": lambda parts: parts[0].update(name="/tmp/hubfold-escaped"),
    "another-top": lambda parts: parts[0].update(name="models--org--other/blobs/" + "0" * 64),
    "no-part-of-a-cache": lambda parts: parts[0].update(name="models--org--chat/run.sh"),
    "locks": lambda parts: parts[0].update(name=".locks/models--org--chat/x"),
    "own-name": lambda parts: parts[0].update(name="models--org--chat/snapshots/" + "0" * 40 + "/.hubfold-x"),
    "link-out": lambda parts: parts[-2].update(name=str(parts[-2]["name"]), link="../../../../../etc/passwd"),
    "link-absolute": lambda parts: parts[-2].update(link="/etc/passwd"),
    "link-to-a-link": lambda parts: parts[-2].update(link="./config.json"),
    "below-a-file": lambda parts: parts.append(
        {"name": str(parts[-2]["name"]) + "/x", "sha256": "0" * 64, "size": 1, "mtime_ns": 0}
    ),
    "twice": lambda parts: parts.append(parts[0]),
    "negative": lambda parts: parts[0].update(size=-1),
    "not-a-digest": lambda parts: parts[0].update(sha256="../../../etc/passwd"),
    "nul": lambda parts: parts[0].update(name="models--org--chat/refs/a\0b"),
    "not-a-text": lambda parts: parts[0].update(name=7),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_list_is_refused_as_a_whole(tree: Tree, engine: Engine, kind: str) -> None:
    engine.backup(engine.plan_backup(tree["backup"], ["org/chat"]))
    target = rewritten(tree, HOSTILE[kind])
    with pytest.raises(BackupError, match="is no backup that hubfold has written"):
        of(tree, "there", tree["there"]).plan_restore(target)
    assert not tree["there"].exists()


@pytest.mark.parametrize("kind", ["symlink", "dots", "device", "foreign"])
def test_a_hostile_archive_is_refused_as_a_whole(tree: Tree, engine: Engine, kind: str) -> None:
    engine.backup(engine.plan_backup(tree["backup.tar"], ["org/chat"]))
    with tarfile.open(tree["backup.tar"], "a") as tar:
        member = tarfile.TarInfo("objects/00/" + "0" * 64)
        if kind == "symlink":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        elif kind == "device":
            member.type = tarfile.CHRTYPE
        else:
            member.name = "../escaped" if kind == "dots" else "run.sh"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(BackupError, match="hubfold would not have written"):
        of(tree, "there", tree["there"]).plan_restore(tree["backup.tar"])
    assert not tree["there"].exists()


def test_a_planted_symlink_in_the_target_leads_nowhere(tree: Tree, engine: Engine) -> None:
    engine.backup(engine.plan_backup(tree["backup"], ["org/chat"]))
    outside = tree["outside"]
    outside.mkdir()
    repo = repository_folder(tree["there"], "org/chat")
    repo.mkdir(parents=True)
    (repo / "blobs").symlink_to(outside)
    other = of(tree, "there", tree["there"])
    report = other.restore(tree["backup"], other.plan_restore(tree["backup"]))
    assert report.failed and not report.models
    assert not list(outside.iterdir())
