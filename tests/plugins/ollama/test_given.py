"""Models of a cache in a store of Ollama: by the files, and by the real program where there is one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.content import Snapshot, SnapshotFile
from hubfold_plugins.ollama import given
from tests.building.ollama_server import PROGRAM, Server, gguf
from tests.building.stores import Machine

BASE, PICTURES = gguf("base"), gguf("pictures")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def shown(*names: str, repo_id: str = "org/base-GGUF") -> dict[str, str]:
    """What each name reads: a file of the model, or the content of a note."""
    files = tuple(SnapshotFile(name, f"/hub/{name}", 9, {"sha256": sha256(name.encode())}) for name in names)
    one = Snapshot(repo_id, "model", "a" * 40, ("main",), "/hub", files=files)
    return {file.name: file.file or file.content or "" for file in given.shown(one)}


def tags(*names: str, repo_id: str = "org/base-GGUF") -> set[str]:
    return {
        name.rpartition("/")[2] for name in shown(*names, repo_id=repo_id) if name.startswith("manifests")
    }


def test_each_file_has_the_tag_that_the_hub_gives_it() -> None:
    assert tags("base-Q4_K_M.gguf", "sub/base.IQ2_XXS.gguf", "base-UD-Q4_K_XL.gguf", "base-bf16.gguf") == {
        *("Q4_K_M", "IQ2_XXS", "UD-Q4_K_XL", "bf16")
    }
    assert tags("base.gguf") == {"base"}
    assert tags("small-Q8_0.gguf", "large-Q8_0.gguf") == {"small-Q8_0", "large-Q8_0"}


def test_what_cannot_be_a_model_there_is_left_out() -> None:
    assert not tags("base-00001-of-00002.gguf", "base-00002-of-00002.gguf")
    assert not tags("base-Q8_0.gguf", repo_id="nowhere")
    assert not tags("base model (1).gguf"), "a tag has no blanks"
    assert not list(
        given.shown(Snapshot("a/b", "model", "", (), "/", (SnapshotFile("a-Q8_0.gguf", "/a", 1),)))
    )


def test_a_manifest_names_the_blobs_that_are_there_and_their_sizes() -> None:
    found = shown("base-Q8_0.gguf", "base-Q4_0.gguf", "mmproj-F16.gguf")
    notes = [text for name, text in found.items() if name.startswith("manifests/hf.co/org/base-GGUF/")]
    assert len(notes) == 2
    for note in notes:
        told = json.loads(note)
        layers = [told["config"], *told["layers"]]
        assert [one["mediaType"].rpartition(".")[2] for one in told["layers"]] == ["model", "projector"]
        for one in layers:
            name = f"blobs/{one['digest'].replace(':', '-')}"
            assert name in found
            if one is told["config"]:
                config = found[name].encode()
                assert (sha256(config), len(config)) == (one["digest"][7:], one["size"])
                assert json.loads(config)["model_format"] == "gguf"
            else:
                assert (sha256(found[name].encode()), one["size"]) == (one["digest"][7:], 9)


def test_undo_removes_the_manifest_before_what_it_names(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.cached("org/base-GGUF", {"base-Q8_0.gguf": BASE})
    before = machine.census()
    store = machine.home / "store"
    with machine.engine() as engine:
        report = engine.farm(store, program="ollama")
        blob = store / f"blobs/sha256-{sha256(BASE)}"
        assert blob.samefile(next(machine.hub.rglob(f"blobs/{sha256(BASE)}")))
        assert len(report.added) == 3
        removed = engine.undo().removed
    assert os.path.relpath(removed[0], store).startswith("manifests/")
    store.rmdir()
    assert machine.census() == before


def test_a_last_copy_keeps_its_manifest_or_the_server_would_sweep_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.cached("org/base-GGUF", {"base-Q8_0.gguf": BASE})
    store = machine.home / "store"
    with machine.engine() as engine:
        engine.farm(store, program="ollama")
        engine.remove(["org/base-GGUF"])
        assert len(engine.farm(store, program="ollama").left) == 1
        assert engine.undo().left
    assert (store / f"blobs/sha256-{sha256(BASE)}").read_bytes() == BASE
    assert (store / "manifests/hf.co/org/base-GGUF/Q8_0").is_file()


def test_a_blob_that_a_model_of_the_users_own_needs_stays(tmp_path: Path) -> None:
    """``ollama cp`` writes a manifest, and nothing else."""
    machine = Machine(tmp_path)
    machine.cached("org/base-GGUF", {"base-Q8_0.gguf": BASE})
    store = machine.home / "store"
    with machine.engine() as engine:
        engine.farm(store, program="ollama")
    mine = store / "manifests/registry.ollama.ai/library/mine/latest"
    mine.parent.mkdir(parents=True)
    mine.write_bytes((store / "manifests/hf.co/org/base-GGUF/Q8_0").read_bytes())
    machine.cached("org/base-GGUF", {"base-Q8_0.gguf": PICTURES}, commit="b" * 40)
    with machine.engine() as engine:
        report = engine.farm(store, program="ollama")
        assert [one.error for one in report.failed] == ["another model there needs it"]
        blob = store / f"blobs/sha256-{sha256(BASE)}"
        assert blob.is_file() and (store / f"blobs/sha256-{sha256(PICTURES)}").is_file()
        engine.undo()
        engine.undo()
        assert blob.is_file() and mine.is_file()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "ollama/home").mkdir(parents=True)
    (tmp_path / "ollama/store").mkdir()
    one = Server(tmp_path / "ollama/store", tmp_path / "ollama/home").start()
    yield one
    one.stop()


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="needs Ollama, on PATH or in HUBFOLD_TEST_PROGRAMS")
def test_the_real_program_lists_and_loads_what_it_is_given(tmp_path: Path, server: Server) -> None:
    machine = Machine(tmp_path)
    machine.cached("org/base-GGUF", {"base-Q8_0.gguf": BASE, "mmproj-F16.gguf": PICTURES})
    with machine.engine() as engine:
        report = engine.farm(server.store, program="ollama")
        assert not report.failed and not report.left
    name = "hf.co/org/base-GGUF:Q8_0"
    assert list(server.models()) == [name]
    loaded = server.loads(name)
    server.restart()
    assert (list(server.models()), server.loads(name)) == ([name], loaded), "nothing of it is swept"
    machine.undo()
    server.restart()
    assert not server.models()
    assert not list((server.store / "blobs").iterdir())
