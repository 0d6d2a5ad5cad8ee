"""Folding and taking back on a real file system, one set at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.folding.planner import Policy
from tests import CHECKOUT
from tests.building.folding import Scene, errors, leftovers

MODEL = os.urandom(1 << 20) * 3
HARDLINK = Policy(link=LinkKind.HARDLINK)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_local_copy_becomes_a_relative_symlink_to_a_read_only_vault_object(scene: Scene) -> None:
    blob = scene.file(scene.cache, "models--a--b/blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    outcomes = scene.apply(scene.plan(copy, blob))
    assert errors(outcomes) == [""]
    assert copy.is_symlink() and not os.path.isabs(os.readlink(copy))
    assert copy.resolve().parent.parent == scene.vault / "objects"
    assert copy.stat().st_ino == blob.stat().st_ino
    assert stat.S_IMODE(copy.stat().st_mode) & 0o222 == 0
    assert copy.read_bytes() == MODEL
    assert leftovers(scene.base) == []


def test_cache_to_cache_is_a_hard_link(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    other = scene.file(scene.root("second", "cache"), "blobs/x", MODEL)
    assert errors(scene.apply(scene.plan(other, blob))) == [""]
    assert other.stat().st_ino == blob.stat().st_ino and not other.is_symlink()
    assert not scene.vault.exists()
    scene.undo()
    assert other.stat().st_ino != blob.stat().st_ino and other.read_bytes() == MODEL


def test_one_byte_in_the_middle_is_never_linked(scene: Scene) -> None:
    tuned = bytearray(MODEL)
    tuned[len(tuned) // 2] ^= 1
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "tuned.safetensors", bytes(tuned))
    outcomes = scene.apply(scene.plan(copy, blob))
    assert outcomes[0].differs and "bytes differ" in outcomes[0].error
    assert not scene.vault.exists()
    assert copy.read_bytes() == tuned and not copy.is_symlink()


def test_all_names_of_a_payload_are_replaced_and_come_back_as_one_payload(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    models = scene.root("models")
    first = scene.file(models, "a", MODEL)
    second = models / "b"
    os.link(first, second)
    plan = scene.plan(blob, first, second)
    assert [action.bytes for action in plan.actions] == [0, first.stat().st_blocks * 512]
    assert errors(scene.apply(plan)) == ["", ""]
    assert first.is_symlink() and second.is_symlink()
    scene.undo()
    assert first.stat().st_ino == second.stat().st_ino != blob.stat().st_ino


def test_a_name_outside_the_roots_means_nothing_is_freed(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    os.link(copy, scene.base / "elsewhere")
    plan = scene.plan(blob, copy)
    assert plan.actions == () and "frees nothing" in plan.skipped[0].reason


def test_a_file_that_is_open_for_writing_is_left_alone(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    plan = scene.plan(blob, copy)
    with open(copy, "r+b"):
        outcomes = scene.apply(plan)
    assert errors(outcomes) == ["a program has it open for writing"]


@pytest.mark.parametrize("what", ["victim", "keeper"])
def test_a_file_that_changed_since_the_scan_is_left_alone(scene: Scene, what: str) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    plan = scene.plan(blob, copy)
    os.utime(copy if what == "victim" else blob, ns=(1, 1))
    assert "it changed since it was scanned" in errors(scene.apply(plan))[0]
    assert not copy.is_symlink()


def test_a_symlinked_parent_is_not_followed(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    models = scene.root("models")
    copy = scene.file(models, "sub/a", MODEL)
    plan = scene.plan(blob, copy)
    (models / "sub").rename(scene.base / "away")
    (models / "sub").symlink_to(scene.base / "away")
    assert "no directory any more" in errors(scene.apply(plan))[0]
    assert not (scene.base / "away" / "a").is_symlink()


def test_hard_links_on_request_make_no_vault(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    scene.apply(scene.plan(blob, copy, policy=HARDLINK))
    assert copy.stat().st_ino == blob.stat().st_ino and not copy.is_symlink() and not scene.vault.exists()
    scene.undo()
    assert copy.stat().st_ino != blob.stat().st_ino


def test_without_an_exchange_of_names_the_path_is_never_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a", MODEL)
    monkeypatch.setattr("hubfold.disk.directory._libc", None)
    assert errors(scene.apply(scene.plan(blob, copy))) == [""]
    assert copy.is_symlink() and leftovers(scene.base) == []
    assert scene.undo().restored == [str(copy)]
    assert copy.read_bytes() == MODEL and leftovers(scene.base) == []


def test_the_journal_is_text_that_tells_what_happened(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "a\udcff\n", MODEL)
    scene.apply(scene.plan(blob, copy))
    lines = [json.loads(line) for line in Path(scene.log().path).read_text("ascii").splitlines()]
    assert [line["record"] for line in lines] == ["run", "keeper", "object", "intent", "done", "end"]
    assert lines[3]["path"] == str(copy)


def test_more_copies_than_files_can_be_open_at_once(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL[: 1 << 16])
    models = scene.root("models")
    copies = [scene.file(models, f"{number}/m", MODEL[: 1 << 16]) for number in range(150)]
    script = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from tests.building.folding import Scene
scene = Scene(Path({str(scene.base)!r}))
scene.root("models")
files = sorted(Path({str(models)!r}).glob("*/m"))
outcomes = scene.apply(scene.plan(Path({str(blob)!r}), *files))
print([o.error for o in outcomes if o.error], len(outcomes))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[] 150", done.stderr
    assert all(copy.is_symlink() for copy in copies)


def test_what_was_displaced_is_freed_and_closed_when_the_run_is_over(scene: Scene) -> None:
    """It is freed behind the back of the next batch, but not behind that of the user."""
    script = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from hubfold.folding import swaps
from tests.building.folding import Scene
swaps.BATCH_ACTIONS = 2
scene = Scene(Path({str(scene.base)!r}))
models = scene.root("models")
blob = scene.file(scene.cache, "blobs/x", b"x" * 100_000)
plan = scene.plan(blob, *(scene.file(models, f"{{number}}/m", b"x" * 100_000) for number in range(7)))
before = set(os.listdir("/proc/self/fd"))
outcomes = scene.apply(plan)
print([o.error for o in outcomes if o.error], len(outcomes), set(os.listdir("/proc/self/fd")) <= before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[] 7 True", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act for another user")
def test_what_root_makes_for_a_user_belongs_to_the_user(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m", MODEL)
    for path in (scene.base / "hf", blob, copy, copy.parent):
        os.chown(path, 12345, 12345)
    scene.apply(scene.plan(blob, copy))
    made = [copy, scene.vault, *scene.vault.rglob("*")]
    assert len(made) >= 6
    assert {(os.lstat(path).st_uid, os.lstat(path).st_gid) for path in made} == {(12345, 12345)}


def test_a_link_that_cannot_be_given_to_its_owner_is_taken_away_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    what = scene.plan(blob, copy)

    def refuse(name: object, *args: object, **kwargs: object) -> None:
        if str(name).startswith(".hubfold-"):
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("hubfold.disk.directory.privileged", lambda: True)
    monkeypatch.setattr(os, "chown", refuse)
    assert errors(scene.apply(what)) == ["not permitted"]
    assert copy.read_bytes() == MODEL and not copy.is_symlink()
    assert leftovers(scene.base) == []
