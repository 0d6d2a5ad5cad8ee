"""What hubfold sees of the store of Docker Model Runner, and what it does there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.backend.changes import Leftover, LeftoverKind
from hubfold.content import LinkKind, Root
from hubfold.errors import HubfoldError
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins.docker_model.index import shown
from hubfold_plugins.docker_model.store import DockerModelBackend
from tests.building import docker_model, ollama, tree
from tests.building.one_root import scan
from tests.building.scanned import noise

WEIGHTS, OTHERS = noise("weights", 40_000), noise("others", 30_000)
LAYERS = {"gguf.v3": WEIGHTS, "license": b"MIT"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "docker"
    docker_model.model(path, ["docker.io/ai/base:latest", "hf.co/org/base:Q4_K_M"], LAYERS)
    docker_model.model(
        path, ["docker.io/ai/others:1B"], {"gguf.v3": OTHERS, "license": b"MIT"}, unpacked=False
    )
    return path


@pytest.fixture
def engine(store: Path) -> Iterator[Engine]:
    with Engine() as one:
        one.add_root(store)
        yield one


def bundled(store: Path) -> Path:
    (found,) = store.glob("bundles/sha256/*/model/model.gguf")
    return found


def leftovers(store: Path) -> dict[str, Leftover]:
    root = Root(str(store), DockerModelBackend.name)
    return {one.path: one for one in DockerModelBackend().leftovers(root, TreeWalk(root, {}))}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(
            ("docker.io/ai/smollm2:latest", "ai/smollm2:latest"),
            ("index.docker.io/ai/smollm2", "ai/smollm2:latest"),
        ),
        *(("docker.io/library/a:b", "a:b"), ("hf.co/Org/base-GGUF:Q4", "hf.co/Org/base-GGUF:Q4")),
        *(("localhost:5000/x", "localhost:5000/x:latest"), ("a/../b:c", None), ("", None), ("a:", None)),
        *(("a b:c", None), ("-a:c", None), ("a:-c", None), ("x" * 300, None), ("a\n:b", None)),
    ],
)
def test_a_name_is_shown_without_what_everybody_leaves_out(text: str, name: str | None) -> None:
    assert shown(text) == name


def test_models_are_called_by_their_tags(store: Path, engine: Engine) -> None:
    names = {model.id for model, _ in engine.models().rows}
    assert names == {"ai/base:latest", "hf.co/org/base:Q4_K_M", "ai/others:1B"}
    assert engine.model_path("docker.io/ai/base:latest") == str(docker_model.blob_of(store, WEIGHTS))
    assert engine.model_path("ai/base:latest", "model.gguf") == str(docker_model.blob_of(store, WEIGHTS))
    assert engine.check(["hf.co/org/base:Q4_K_M", "ai/others:1B"], anywhere=False).whole
    ((model, _),) = engine.models(["ai/others:1B"]).rows
    files = {file.name for file in model.places[0].revisions[0].files}
    assert files == {"model.gguf", "LICENSE", "config.json"}


def test_a_name_that_two_programs_know_is_that_of_the_one_that_has_it(
    store: Path, engine: Engine, tmp_path: Path
) -> None:
    ollama.model(tmp_path / "ollama", "registry.ollama.ai/ai/other/1B", {"model": OTHERS})
    engine.add_root(tmp_path / "ollama")
    assert engine.model_path("ai/base:latest") == str(docker_model.blob_of(store, WEIGHTS))
    [of_ollama] = (path for path in (tmp_path / "ollama/blobs").iterdir() if path.read_bytes() == OTHERS)
    assert engine.model_path("ai/other:1B") == str(of_ollama)
    report = engine.check(["ai/nothing:1B"], anywhere=False)
    assert "docker-model or ollama gets it" in report.recommendations[0].message


def test_the_name_in_the_annotations_is_the_files(store: Path) -> None:
    (manifest,) = (store / "manifests/sha256" / path.name for path in store.glob("bundles/sha256/*"))
    told = json.loads(manifest.read_text())
    names = ["sub/config.json", "../../x", "/x", 7]
    told["layers"] = [
        {"mediaType": "x", "digest": f"sha256:{docker_model.digest(WEIGHTS)}", "size": 1}
        | {"annotations": one}
        for one in [*({"org.cncf.model.filepath": name} for name in names), None]
    ]
    manifest.write_text(json.dumps(told))
    root = Root(str(store), DockerModelBackend.name)
    found, *_ = DockerModelBackend().snapshots(root, TreeWalk(root, {}))
    assert set(found.expected or {}) == {
        "sub/config.json",
        "file",
        "file-2",
        "file-3",
        "file-4",
        "config.json",
    }


@pytest.mark.parametrize("link", [None, LinkKind.SYMLINK])
def test_both_names_of_a_payload_become_one_with_the_cache_and_none_a_symlink(
    store: Path, engine: Engine, tmp_path: Path, link: LinkKind | None
) -> None:
    tree.cache(str(tmp_path / "hub"), "org/base", {"base.gguf": WEIGHTS})
    (cached,) = (tmp_path / "hub").glob("models--*/blobs/*")
    given = [tmp_path / "hub", store]
    report = engine.scan(given, min_size=10_000)
    assert report.bytes_read == 0, "both are named by what they are"
    done = engine.apply(engine.plan(given, min_size=10_000, link=link, into=tmp_path / "hub"))
    assert not done.failed
    blob = docker_model.blob_of(store, WEIGHTS)
    assert not blob.is_symlink() and blob.samefile(bundled(store))
    assert blob.samefile(cached) == (link is None)
    # A bundle that is not whole is made anew.
    shutil.rmtree(bundled(store).parent.parent)
    (entry,) = (
        one for one in json.loads((store / "models.json").read_text())["models"] if len(one["tags"]) == 2
    )
    docker_model.unpack(store, entry["id"].removeprefix("sha256:"), LAYERS)
    assert bundled(store).read_bytes() == WEIGHTS and not bundled(store).is_symlink()
    # The program removes its names, and the cache has its own.
    bundled(store).unlink()
    blob.unlink()
    assert cached.read_bytes() == WEIGHTS


def test_undo_gives_both_names_one_file_again(store: Path, engine: Engine, tmp_path: Path) -> None:
    tree.cache(str(tmp_path / "hub"), "org/base", {"base.gguf": WEIGHTS})
    given = [tmp_path / "hub", store]
    engine.scan(given, min_size=10_000)
    done = engine.apply(engine.plan(given, min_size=10_000, into=tmp_path / "hub"))
    assert {action.path for action in done.actions} == {
        str(bundled(store)),
        str(docker_model.blob_of(store, WEIGHTS)),
    }
    engine.undo()
    blob = docker_model.blob_of(store, WEIGHTS)
    assert blob.samefile(bundled(store)) and blob.stat().st_nlink == 2 and blob.read_bytes() == WEIGHTS


def test_rm_leaves_a_model_to_its_program(store: Path, engine: Engine) -> None:
    with pytest.raises(HubfoldError, match="its layout does not say how to remove a model"):
        engine.remove(["ai/base:latest"])
    assert docker_model.blob_of(store, WEIGHTS).exists()


def test_what_no_model_has_and_what_was_interrupted_is_left_over(store: Path) -> None:
    unused = docker_model.blob(store, b"unused")
    half = docker_model.blob_of(store, b"half").with_name(f"{'b' * 64}.incomplete")
    half.write_bytes(b"half")
    found = leftovers(store)
    assert {path: one.kind for path, one in found.items()} == {
        str(unused): LeftoverKind.UNUSED,
        str(half): LeftoverKind.INTERRUPTED,
    }
    os.utime(half, ns=(1 << 62, 1 << 62))
    assert leftovers(store)[str(unused)].mtime_ns == 1 << 62, "what else came waits for it"


def test_an_interrupted_layer_belongs_to_its_model(store: Path, engine: Engine) -> None:
    blob = docker_model.blob_of(store, OTHERS)
    blob.rename(f"{blob}.incomplete")
    ((model, _),) = engine.models(["ai/others:1B"]).rows
    (revision,) = model.places[0].revisions
    assert [(one.path, one.name) for one in revision.partials] == [(f"{blob}.incomplete", "model.gguf")]
    scanned = scan(DockerModelBackend, store)
    assert set(scanned.warnings) == {os.path.relpath(f"{blob}.incomplete", store)}


def damaged(index: Path) -> None:
    index.write_text("{")


def nested(index: Path) -> None:
    index.write_text("[" * 100_000)


def of_strange_digests(index: Path) -> None:
    index.write_text(json.dumps({"models": [{"id": "sha256:../../x", "files": []}]}))


def of_no_records(index: Path) -> None:
    index.write_text(json.dumps({"models": [7, None]}))


def a_pipe(index: Path) -> None:
    index.unlink()
    os.mkfifo(index)


@pytest.mark.parametrize("spoil", [damaged, nested, of_strange_digests, of_no_records, a_pipe])
def test_without_a_list_that_can_be_read_every_blob_is_needed(
    store: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(store / "models.json")
    docker_model.blob(store, b"unused")
    assert leftovers(store) == {}
    root = Root(str(store), DockerModelBackend.name)
    paths = [str(docker_model.blob_of(store, WEIGHTS))]
    assert list(DockerModelBackend().still_needed(root, paths, TreeWalk(root, {}))) == paths
    assert list(scan(DockerModelBackend, store)), "its blobs are content all the same"
