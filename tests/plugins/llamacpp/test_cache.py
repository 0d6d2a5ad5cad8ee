"""The old cache of llama.cpp beside hub caches: found, believed by its manifests, folded and removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.llamacpp.cache import LlamaCppBackend
from tests.building.stores import Machine, model
from tests.building.tree import cache as hub_cache
from tests.plugins.llamacpp.test_contract import manifest, sha256

GGUF = model("base.gguf")
CACHE = ".cache/llama.cpp"
FILE = f"{CACHE}/org_base-GGUF_base-Q4_K_M.gguf"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.write(FILE, GGUF)
    made.write(f"{FILE}.etag", f'"{sha256(GGUF)}"')
    made.write(f"{CACHE}/manifest=org=base-GGUF=Q4_K_M.json", manifest(ggufFile=("base-Q4_K_M.gguf", GGUF)))
    return made


def test_it_is_one_file_with_the_hub_cache_and_no_byte_was_read_to_find_it(machine: Machine) -> None:
    blob = machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": GGUF})["base-Q4_K_M.gguf"]
    before = machine.census()
    with machine.engine() as engine:
        report = engine.scan()
        assert (report.duplicate_sets, report.bytes_read) == (1, 0)
        [action] = engine.apply(engine.plan()).actions
    assert action.link == "hardlink"
    # What the program does: it is there (`exists`), and its ETag is that of the server.
    file = machine.home / FILE
    assert file.samefile(blob) and file.read_bytes() == GGUF
    # Another one comes: removed, and a new one is renamed into its place.
    file.unlink()
    (machine.home / f"{FILE}.downloadInProgress").write_bytes(b"new")
    os.rename(f"{file}.downloadInProgress", file)
    assert blob.read_bytes() == GGUF
    file.unlink()
    os.link(blob, file)
    machine.undo()
    assert machine.census().keys() == before.keys()


def test_what_is_noted_later_is_seen_of_a_file_that_did_not_change(machine: Machine) -> None:
    manifest_of_it = machine.home / CACHE / "manifest=org=base-GGUF=Q4_K_M.json"
    text = manifest_of_it.read_bytes()
    manifest_of_it.unlink()
    (machine.home / f"{FILE}.etag").unlink()
    with machine.engine() as engine:
        engine.scan()
    manifest_of_it.write_bytes(text)
    machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": GGUF})
    with machine.engine() as engine:
        report = engine.scan()
    assert (report.duplicate_sets, report.bytes_read) == (1, 0)


def test_it_is_no_primary_place_of_anybody(machine: Machine) -> None:
    machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": GGUF})
    with machine.engine() as engine:
        roles = {root.backend: str(root.role) for root in engine.scan().roots}
    assert roles == {"hub-cache": "primary", "llama-cpp": "secondary"}


def test_a_model_has_the_hubs_name_and_is_removed_with_what_is_noted_of_it(machine: Machine) -> None:
    machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": GGUF})
    machine.write(f"{CACHE}/org_other_x.gguf", model("x"))
    machine.write(f"{CACHE}/manifest=org=other=latest.json", manifest(ggufFile=("x.gguf", model("x"))))
    machine.write(f"{CACHE}/org_other_y.gguf.downloadInProgress", b"half")
    assert machine.models() == {
        "org/base-GGUF": {"hub-cache": ["base-Q4_K_M.gguf"], "llama-cpp": ["base-Q4_K_M.gguf"]},
        "org/other": {"llama-cpp": ["x.gguf"]},
    }
    machine.remove("org/base-GGUF")
    assert sorted(os.listdir(machine.home / CACHE)) == [
        "manifest=org=other=latest.json",
        "org_other_x.gguf",
        "org_other_y.gguf.downloadInProgress",
    ]
    with machine.engine() as engine:
        engine.apply_removal(engine.plan_clean(older_than=0), "clean")
    assert sorted(os.listdir(machine.home / CACHE)) == ["manifest=org=other=latest.json", "org_other_x.gguf"]


def test_a_folder_that_both_caches_lie_in_has_the_files_of_both(machine: Machine) -> None:
    """LLAMA_CACHE, which a later release has a hub cache in: it leaves what was there."""
    hub_cache(str(machine.home / CACHE), "org/new", {"base.gguf": GGUF})
    machine.environ["LLAMA_CACHE"] = str(machine.home / CACHE)
    assert machine.backends() == {CACHE: "llama-cpp", f"{CACHE}/models--org--new": "hub-cache"}
    assert set(machine.models()) == {"org/new", "org/base-GGUF"}
    [action] = machine.fold().actions
    assert action.link == "hardlink"


@pytest.mark.parametrize("named", [True, False])
def test_the_hub_cache_of_later_releases_is_a_hub_cache(tmp_path: Path, named: bool) -> None:
    machine = Machine(tmp_path, LLAMA_CACHE=str(tmp_path / "home/llama"))
    hub_cache(str(machine.home / "llama"), "org/new", {"base.gguf": GGUF})
    # It renames a blob into the snapshot, where symlinks are not to be had.
    [snapshot] = (machine.home / "llama/models--org--new/snapshots").iterdir()
    blob = (snapshot / "base.gguf").resolve()
    (snapshot / "base.gguf").unlink()
    blob.rename(snapshot / "base.gguf")
    found = machine.backends("llama") if named else machine.backends()
    assert found == {"llama": "hub-cache"}
    assert machine.models() == {"org/new": {"hub-cache": ["base.gguf"]}}


def test_the_place_is_that_of_the_program(tmp_path: Path) -> None:
    def places(**environ: str) -> list[str]:
        roots = LlamaCppBackend.default_roots({"HOME": str(tmp_path), **environ})
        return [os.path.relpath(root, tmp_path) for root in roots]

    assert places() == [CACHE]
    assert places(XDG_CACHE_HOME=str(tmp_path / "xdg")) == ["xdg/llama.cpp"]
    assert places(LLAMA_CACHE=str(tmp_path / "own")) == ["own", CACHE]
    hub_cache(str(tmp_path / "own"), "org/new", {"base.gguf": b""})
    assert places(LLAMA_CACHE=str(tmp_path / "own")) == [CACHE], "a hub cache is found as one"
    environ = {"HOME": str(tmp_path), "LLAMA_CACHE": str(tmp_path / "own")}
    assert str(tmp_path / "own") in HubCacheBackend.default_roots(environ)


def test_a_place_that_only_the_variable_names_is_known_by_its_path_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, LLAMA_CACHE=str(tmp_path / "home/own"))
    machine.write("own/org_base_x.gguf", GGUF)
    assert machine.backends("own") == {"own": "llama-cpp"}


def test_a_checkout_of_its_source_is_none(tmp_path: Path) -> None:
    names = ["common", "models", "ggml", "CMakeLists.txt", "README.md"]
    assert LlamaCppBackend.recognise(str(tmp_path / "src/llama.cpp"), names) is None


def test_whatever_lies_in_it_costs_only_itself(machine: Machine) -> None:
    top = machine.home / CACHE
    (top / "manifest=a=b=c.json").mkdir()
    os.mkfifo(top / "manifest=a=fifo=c.json")
    (top / "manifest=a=link=c.json").symlink_to("/etc/passwd")
    (top / "manifest=a=deep=c.json").write_text("[" * 100_000)
    (top / "manifest=..=..=c.json").write_text("{}")
    os.mkfifo(top / "org_base-GGUF_fifo.gguf")
    (top / "org_base-GGUF_folder.gguf").mkdir()
    assert machine.models() == {"org/base-GGUF": {"llama-cpp": ["base-Q4_K_M.gguf"]}}
