"""What no model refers to has its line, its size and the command that frees it, and that command frees just that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.library.unreferenced import BESIDE
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files, repository_folder, safetensors, with_xet_hash
from tests.removal.test_leftovers import aged

MIB = 1 << 20


@pytest.fixture
def engine(tree: Tree, loopback_hub: LoopbackHub) -> Engine:
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"hf/hub": hub_cache("org/base")})
    environ = {"HF_HOME": str(tree["hf"]), "HOME": str(tree.folder)}
    return Engine(tree.folder / "state", environ=environ)


def told(engine: Engine) -> list[tuple[str, int, int, str | None]]:
    """What a scan, `ls` and the status say, which is the same."""
    scanned = engine.scan().unreferenced
    assert scanned == engine.models().unreferenced == engine.unreferenced()
    return [(one.what, one.files, one.bytes, one.command) for one in scanned]


def used(folder: Path) -> int:
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            st = os.lstat(os.path.join(place, name))
            found[st.st_ino] = st.st_blocks * 512
    return sum(found.values())


def test_a_whole_cache_has_nothing_of_that(engine: Engine) -> None:
    assert told(engine) == []


def test_blobs_without_a_snapshot_and_interrupted_downloads_are_freed_by_clean(
    tree: Tree, engine: Engine
) -> None:
    blobs = repository_folder(tree["hf/hub"], "org/base") / "blobs"
    for name, size in (("a" * 64, 2), ("b" * 64 + ".1234abcd.incomplete", 3), ("c" * 64 + ".incomplete", 4)):
        (blobs / name).write_bytes(b"x" * size * MIB)
    for path in blobs.iterdir():
        if path.name.startswith(("a", "b")):
            aged(path)
    assert sorted(told(engine)) == [
        ("content that no revision uses", 1, 2 * MIB, "hubfold clean"),
        ("interrupted downloads", 1, 3 * MIB, "hubfold clean"),
        ("interrupted downloads", 1, 4 * MIB, "hubfold clean --older-than 0"),
    ]
    before = used(tree["hf"])
    engine.apply_removal(engine.plan_clean(), "clean")
    assert before - used(tree["hf"]) == 5 * MIB
    assert engine.unreferenced() == (), "until the next scan, which tells what is left"
    assert told(engine) == [("interrupted downloads", 1, 4 * MIB, "hubfold clean --older-than 0")]
    engine.apply_removal(engine.plan_clean(older_than=0), "clean")
    assert told(engine) == []


def test_what_programs_keep_for_themselves_is_told_and_stays(tree: Tree, engine: Engine) -> None:
    chunks = tree["hf/xet/host/chunk-cache/ab"]
    chunks.mkdir(parents=True)
    (chunks / "chunk").write_bytes(b"x" * MIB)
    assert told(engine) == [(BESIDE, 1, MIB, None)]
    assert engine.unreferenced()[0].path == str(tree["hf/xet"])
    engine.apply_removal(engine.plan_clean(older_than=0), "clean")
    assert (chunks / "chunk").exists()


def test_orphans_of_the_shared_store_go_by_its_own_rule(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    pytest.importorskip("hf_xet")
    for name in ("one", "two"):
        loopback_hub.add(f"org/{name}", {"m.safetensors": with_xet_hash(safetensors(name, 2 * MIB))})
    tree.build({"hf/hub": hub_cache("org/one", "org/two", shared=True)})
    assert told(engine) == []
    shutil.rmtree(repository_folder(tree["hf/hub"], "org/one"))
    payloads = [
        record.with_suffix("")
        for record in tree["hf/hub/blobs"].rglob("*.refs")
        if "--one" in record.read_text()
    ]
    [payload] = payloads
    [(what, _, size, command)] = told(engine)
    assert (what, command) == ("content that no revision uses", "hubfold clean --older-than 0")
    assert 2 * MIB <= size <= 2 * MIB + 8192
    before = used(tree["hf"])
    engine.apply_removal(engine.plan_clean(older_than=0), "clean")
    assert before - used(tree["hf"]) >= size
    assert not payload.exists()
    assert told(engine) == []
    assert [path.stat().st_size for path in tree["hf/hub/blobs"].rglob("*") if path.stat().st_size == 2 * MIB]


def test_a_payload_without_a_record_of_its_users_is_no_orphan(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    pytest.importorskip("hf_xet")
    loopback_hub.add("org/one", {"m.safetensors": with_xet_hash(safetensors("one", 2 * MIB))})
    tree.build({"hf/hub": hub_cache("org/one", shared=True)})
    shutil.rmtree(repository_folder(tree["hf/hub"], "org/one"))
    for record in tree["hf/hub/blobs"].rglob("*.refs"):
        record.unlink()
    assert told(engine) == []
