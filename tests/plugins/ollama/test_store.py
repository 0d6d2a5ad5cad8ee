"""What hubfold sees of Ollama's store, and what it does there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine
from hubfold.backend.changes import Leftover, LeftoverKind
from hubfold.content import LinkKind, Root
from hubfold.disk.directory import Directory
from hubfold.library.availability import NotWhole
from hubfold.reports.models import Revision
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from hubfold_plugins.ollama.store import OllamaBackend
from tests.building import ollama, tree
from tests.building.one_root import scan
from tests.building.scanned import noise

WEIGHTS, OTHERS = noise("weights", 40_000), noise("others", 30_000)
LLAMA, LATEST = f"{ollama.LIBRARY}/llama3/8b", f"{ollama.LIBRARY}/llama3/latest"
QWEN = "hf.co/org/base-GGUF/Q4_K_M"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two names of one model and another model."""
    path = tmp_path / "ollama" / "models"
    ollama.model(path, LLAMA, {"model": WEIGHTS, "template": b"{{ .Prompt }}"})
    ollama.model(path, LATEST, {"model": WEIGHTS, "template": b"another"})
    ollama.model(path, QWEN, {"model": OTHERS, "license": b"MIT"})
    return path


@pytest.fixture
def engine(store: Path) -> Iterator[Engine]:
    with Engine() as one:
        one.add_root(store)
        yield one


def blob_of(store: Path, content: bytes) -> Path:
    return store / "blobs" / f"sha256-{hashlib.sha256(content).hexdigest()}"


class Asked:
    """The backend, asked about one store; each time with a walk of its own, as the engine does it."""

    def __init__(self, store: Path) -> None:
        self.root = Root(str(store), OllamaBackend.name)
        self.backend = OllamaBackend()

    def walk(self) -> TreeWalk:
        return TreeWalk(self.root, {})

    def leftovers(self) -> dict[str, Leftover]:
        return {one.path: one for one in self.backend.leftovers(self.root, self.walk())}

    def needed(self, *paths: Path) -> list[str]:
        return list(self.backend.still_needed(self.root, list(map(str, paths)), self.walk()))


def revision_of(engine: Engine, name: str) -> Revision:
    ((model, _),) = engine.models([name]).rows
    return model.places[0].revisions[0]


def recognised(path: Path) -> bool:
    return OllamaBackend.recognise(str(path), os.listdir(path)) is not None


# which folders are its


def test_a_store_is_known_by_its_folders_and_their_names(tmp_path: Path, store: Path) -> None:
    assert recognised(store)
    fresh = tmp_path / "fresh"
    for name in ("blobs", "manifests"):
        (fresh / name).mkdir(parents=True)
    assert recognised(fresh)
    others = tmp_path / "docker"
    for name in ("blobs/sha256", "manifests/sha256"):
        (others / name).mkdir(parents=True)
    assert not recognised(others), "blobs of an OCI layout lie a folder deeper"
    (store / "layout.json").touch()
    assert not recognised(store)
    (fresh / "blobs").rmdir()
    assert not recognised(fresh)


def test_its_places_are_those_of_the_program(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    usual = str(tmp_path / ".ollama" / "models")
    assert list(OllamaBackend.default_roots(home))[:1] == [usual]
    named = {**home, "OLLAMA_MODELS": f' "{tmp_path}/elsewhere" '}
    assert list(OllamaBackend.default_roots(named))[:2] == [f"{tmp_path}/elsewhere", usual]


def test_a_store_below_a_scanned_folder_is_left_to_this_backend(store: Path, tmp_path: Path) -> None:
    scanned = scan(LocalDirBackend, tmp_path, others=(OllamaBackend,))
    assert set(scanned) == set() and scanned.found == [("ollama", str(store))]


# what is content


def test_blobs_are_content_and_state_what_they_are_for_and_what_else_lies_there_is_none(store: Path) -> None:
    half = store / "blobs" / f"sha256-{'a' * 64}-partial"
    half.write_bytes(b"half")
    (store / "blobs" / "folder").mkdir()
    (store / "blobs" / "folder" / f"sha256-{'b' * 64}").write_bytes(b"deeper")
    (store / "by-hand.gguf").write_bytes(b"beside it")
    gone = store / "blobs" / f"sha256-{'c' * 64}"
    gone.symlink_to("/nowhere/at/all")
    scanned = scan(OllamaBackend, store)
    weights = scanned[f"blobs/{blob_of(store, WEIGHTS).name}"]
    assert (weights.repo_id, weights.repo_type) == ("llama3:8b", "model")
    assert weights.claims == {"sha256": hashlib.sha256(WEIGHTS).hexdigest()}
    assert len(list(scanned)) == len(list((store / "blobs").glob("sha256-*"))) - 2
    assert set(scanned.warnings) == {f"blobs/{half.name}", f"blobs/{gone.name}"}


def test_an_upper_case_name_states_the_same(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    blob = ollama.blob(tmp_path, WEIGHTS)
    digest = blob.name.removeprefix("sha256-")
    blob.rename(blob.with_name(f"sha256-{digest.upper()}"))
    (found,) = scan(OllamaBackend, tmp_path).replicas.values()
    assert found.claims == {"sha256": digest}


# models


def test_models_are_called_as_the_program_calls_them(store: Path, engine: Engine) -> None:
    assert sorted(model.id for model, _ in engine.models().rows) == [
        "hf.co/org/base-GGUF:Q4_K_M",
        "llama3:8b",
        "llama3:latest",
    ]
    assert engine.model_path("llama3:8B") == str(blob_of(store, WEIGHTS)), "letters count as the same"
    assert engine.model_path("hf.co/org/base-gguf:q4_k_m", "model.gguf") == str(blob_of(store, OTHERS))
    assert engine.check(["registry.ollama.ai/library/llama3:8b"], anywhere=False).whole
    files = {file.name: file.bytes for file in revision_of(engine, "llama3:latest").files}
    assert files == {"model.gguf": len(WEIGHTS), "template": 7, "config.json": len(ollama.CONFIG)}


def test_what_is_missing_is_told_and_nobody_is_sent_to_the_hub_for_it(store: Path, engine: Engine) -> None:
    blob_of(store, OTHERS).unlink()
    with pytest.raises(NotWhole, match=r"base-GGUF:Q4_K_M is not whole .*: model.gguf is not there") as told:
        engine.model_path("hf.co/org/base-GGUF:Q4_K_M")
    assert told.value.hint == "docker-model or ollama gets it again"
    report = engine.check(["hf.co/org/base-GGUF:Q4_K_M", "llama3:70b"], anywhere=False)
    assert [one.status for one in report.models] == ["incomplete", "missing"]
    mine = [one for one in report.recommendations if one.model]
    assert [one.command for one in mine] == ["", ""]
    assert "ollama gets it" in mine[1].message


def test_layers_of_one_kind_have_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    path = ollama.model(tmp_path, LLAMA, {"model": WEIGHTS})
    manifest = json.loads(path.read_text())
    manifest["layers"] += [ollama.layer(text, "license") for text in (b"one", b"two", b"three")]
    manifest["layers"] += [{**ollama.layer(b"t", "tensor"), "name": "encoder/layer.0.weight"}]
    manifest["layers"] += [{**ollama.layer(b"u", "tensor"), "name": name} for name in ("../../x", "/x", 7)]
    path.write_text(json.dumps(manifest))
    asked = Asked(tmp_path)
    (found,) = asked.backend.snapshots(asked.root, asked.walk())
    assert set(found.expected or {}) == {
        *("model.gguf", "license", "license-2", "license-3", "config.json"),
        *("encoder/layer.0.weight", "tensor", "tensor-2", "tensor-3"),
    }


# folding


def census(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.is_symlink())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("link", [None, LinkKind.HARDLINK, LinkKind.SYMLINK])
def test_no_blob_becomes_a_symlink_whatever_is_asked_for(
    store: Path, engine: Engine, tmp_path: Path, link: LinkKind | None
) -> None:
    """A service user cannot pass a home: an Ollama blob became a link into one before there was this backend."""
    tree.cache(str(tmp_path / "hub"), "org/base", {"model.gguf": WEIGHTS})
    (tmp_path / "ggufs").mkdir()
    (tmp_path / "ggufs" / "base.gguf").write_bytes(WEIGHTS)
    before = census(store)
    given = [tmp_path / "hub", tmp_path / "ggufs", store]
    engine.scan(given, min_size=0)
    report = engine.apply(engine.plan(given, link=link, min_size=0))
    assert not report.failed
    assert census(store) == before, "the same bytes at the same paths, and no symlink"
    inodes = {
        os.stat(path).st_ino
        for path in (blob_of(store, WEIGHTS), tmp_path / "ggufs" / "base.gguf", *blobs(tmp_path / "hub"))
    }
    assert len(inodes) == (2 if link is LinkKind.SYMLINK else 1)
    assert not list(store.rglob(".hubfold*")), "no vault lies in it"
    engine.undo()
    assert census(store) == before
    assert blob_of(store, WEIGHTS).stat().st_nlink == 1


def blobs(hub: Path) -> Iterator[Path]:
    return hub.glob("models--*/blobs/*")


def test_a_cache_and_the_store_are_one_with_no_byte_read_before_they_are_compared(
    store: Path, engine: Engine, tmp_path: Path
) -> None:
    tree.cache(str(tmp_path / "hub"), "org/base", {"model.gguf": WEIGHTS})
    report = engine.scan([tmp_path / "hub", store], min_size=10_000)
    assert report.bytes_read == 0
    ((found, _),) = engine.dupes(min_size=10_000).sets
    assert found.size == len(WEIGHTS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_store_of_another_user_is_left_alone_also_as_root(
    store: Path, engine: Engine, tmp_path: Path
) -> None:
    for path in (store, *store.rglob("*")):
        os.chown(path, 4321, 4321)
    (tmp_path / "ggufs").mkdir()
    (tmp_path / "ggufs" / "base.gguf").write_bytes(WEIGHTS)
    engine.scan([tmp_path / "ggufs", store], min_size=0)
    plan = engine.plan([tmp_path / "ggufs", store], across_owners=True, min_size=0)
    assert not plan.actions
    assert any("ollama needs its files to be of one owner" in skip.reason for skip in plan.skipped)


def test_a_farm_of_all_models_says_nothing_of_a_store_that_has_no_place_for_a_vault(
    store: Path, engine: Engine, tmp_path: Path
) -> None:
    tree.cache(str(tmp_path / "hub"), "org/base", {"model.gguf": OTHERS})
    engine.add_root(tmp_path / "hub")
    of_all = engine.preview_farm(tmp_path / "farm")
    assert not of_all.left and of_all.added == (str(tmp_path / "farm/org/base/model.gguf"),)
    asked = engine.preview_farm(tmp_path / "farm", ["llama3:8b"])
    assert asked.left and not asked.added


# removing


def test_rm_takes_the_manifest_first_and_what_others_need_stays(
    store: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    unlink = Directory.unlink

    def noted(directory: Directory, name: str) -> None:
        gone.append(os.path.join(directory.path, name))
        unlink(directory, name)

    monkeypatch.setattr(Directory, "unlink", noted)
    engine.remove(["llama3:8b"])
    assert gone == [str(store / "manifests" / LLAMA), str(blob_of(store, b"{{ .Prompt }}"))]
    engine.remove(["llama3:latest"])
    assert not blob_of(store, WEIGHTS).exists()
    assert not (store / "manifests" / "registry.ollama.ai").exists() and (store / "manifests").is_dir()
    assert blob_of(store, ollama.CONFIG).exists(), "the third has it, too"
    engine.remove(["HF.CO/org/*:*"])
    assert not any(path.is_file() for path in store.rglob("*"))


def test_what_two_models_share_goes_with_both(store: Path, engine: Engine) -> None:
    plan = engine.plan_remove(["llama3:latest", "llama3:8b"])
    engine.apply_removal(plan)
    assert sorted(path.name for path in (store / "blobs").iterdir()) == sorted(
        blob_of(store, content).name for content in (OTHERS, b"MIT", ollama.CONFIG)
    )
    assert Asked(store).leftovers() == {}


def damaged(path: Path) -> None:
    path.write_text("{")


def nested(path: Path) -> None:
    path.write_text("[" * 100_000)


def of_strange_layers(path: Path) -> None:
    path.write_text(json.dumps({"layers": [{"digest": "sha256:../../x", "size": 1}]}))


def of_no_record(path: Path) -> None:
    path.write_text(json.dumps({"layers": [7], "config": []}))


def endless(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 1 << 25)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def a_folder_behind_a_link(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.symlink_to("/tmp")


@pytest.mark.parametrize(
    "spoil",
    [
        *(damaged, nested, of_strange_layers, of_no_record, endless, a_pipe, a_link, a_folder_behind_a_link),
    ],
)
def test_where_a_manifest_cannot_be_read_every_blob_may_be_its(
    store: Path, engine: Engine, spoil: Callable[[Path], None]
) -> None:
    spoil(store / "manifests" / QWEN)
    assert len(Asked(store).needed(blob_of(store, OTHERS), blob_of(store, WEIGHTS))) == 2
    assert Asked(store).leftovers() == {}
    plan = engine.plan_remove(["llama3:8b"])
    assert {left.path for left in plan.left} == {str(blob_of(store, b"{{ .Prompt }}"))}
    engine.apply_removal(plan)
    assert not (store / "manifests" / LLAMA).exists()
    assert blob_of(store, b"{{ .Prompt }}").exists() and blob_of(store, OTHERS).exists()


def test_folders_that_cannot_be_looked_into_may_hold_manifests(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(store)
    (store / "manifests" / QWEN).unlink()
    unused = str(blob_of(store, OTHERS))
    assert unused in asked.leftovers()
    read = TreeWalk._read
    closed = str(store / "manifests/registry.ollama.ai")

    def refused(walk: TreeWalk, path: str, visited: set[tuple[int, int]]) -> object:
        if path != closed:
            return read(walk, path, visited)
        walk._failed(path, PermissionError(13, "Permission denied"))
        return None

    monkeypatch.setattr(TreeWalk, "_read", refused)
    assert not asked.leftovers()


def test_what_is_left_over_is_as_old_as_the_last_that_was_done_to_it(store: Path) -> None:
    (store / "manifests" / QWEN).unlink()
    old = blob_of(store, OTHERS)
    os.utime(old, ns=(1, 1))
    unused = Asked(store).leftovers()
    assert set(unused) == {str(old), str(blob_of(store, b"MIT"))}
    assert unused[str(old)].mtime_ns == old.stat().st_ctime_ns, (
        "its times may be those of a file it was linked to"
    )
    half = store / "blobs" / f"sha256-{'a' * 64}-partial"
    half.write_bytes(b"half")
    os.utime(half, ns=(1 << 62, 1 << 62))
    (store / "blobs" / f"{half.name}-0").write_bytes(b"{}")
    found = Asked(store).leftovers()
    assert found[str(old)].mtime_ns == 1 << 62, "while something comes, the rest of it waits for its manifest"
    assert found[str(half)].kind is LeftoverKind.INTERRUPTED
    assert found[str(half)].removal.content == (str(half), f"{half}-0")


def test_a_download_that_was_interrupted_belongs_to_the_model_that_needs_it(
    store: Path, engine: Engine
) -> None:
    blob = blob_of(store, OTHERS)
    half = blob.with_name(f"{blob.name}-partial")
    blob.rename(half)
    revision = revision_of(engine, "hf.co/org/base-GGUF:Q4_K_M")
    assert [(one.path, one.name) for one in revision.partials] == [(str(half), "model.gguf")]
    assert [one.name for one in revision.missing] == ["model.gguf"]


# other places


def test_blobs_on_a_larger_drive_behind_a_link_are_the_stores(
    store: Path, engine: Engine, tmp_path: Path
) -> None:
    (store / "blobs").rename(tmp_path / "drive")
    (store / "blobs").symlink_to(tmp_path / "drive")
    (tmp_path / "ggufs").mkdir()
    (tmp_path / "ggufs" / "base.gguf").write_bytes(WEIGHTS)
    assert engine.check(["llama3:8b"], anywhere=False).whole
    given = [tmp_path / "ggufs", store]
    engine.scan(given, min_size=0)
    report = engine.apply(engine.plan(given, min_size=0))
    assert len(report.actions) == 1 and not report.failed
    assert (tmp_path / "ggufs" / "base.gguf").samefile(blob_of(store, WEIGHTS))
    assert not blob_of(store, WEIGHTS).is_symlink()
    engine.remove(["llama3:8b", "llama3:latest"])
    assert not blob_of(store, WEIGHTS).exists() and blob_of(store, OTHERS).exists()
    assert (store / "blobs").is_symlink()


def test_a_backup_makes_a_store_anywhere(store: Path, engine: Engine, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    engine.backup(engine.plan_backup(backup, ["llama3:8b", "hf.co/org/base-GGUF:Q4_K_M"]))
    other = tmp_path / "other"
    other.mkdir()
    engine.restore(backup, engine.plan_restore(backup, into=other))
    for place, contents in ((LLAMA, (WEIGHTS, b"{{ .Prompt }}")), (QWEN, (OTHERS, b"MIT"))):
        assert (other / "manifests" / place).read_bytes() == (store / "manifests" / place).read_bytes()
        assert all(blob_of(other, content).read_bytes() == content for content in contents)
    assert not list(other.rglob(".hubfold*"))


def test_no_manifest_is_restored_where_a_server_cleared_its_blobs_away(
    store: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ollama removes when it starts what no manifest names yet."""
    backup = tmp_path / "backup"
    engine.backup(engine.plan_backup(backup, ["llama3:8b"]))
    other = tmp_path / "other"
    other.mkdir()
    move = Directory.move

    def swept(directory: Directory, name: str, target: Directory, new: str) -> None:
        if target.path == str(other / "blobs"):
            for there in os.listdir(target.path):
                os.unlink(os.path.join(target.path, there))
        move(directory, name, target, new)

    monkeypatch.setattr(Directory, "move", swept)
    report: Any = engine.restore(backup, engine.plan_restore(backup, into=other))
    assert report.failed
    assert not any(path.is_file() for path in (other / "manifests").rglob("*"))
