"""What hubfold sees of RamaLama's store, and what it does there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.backend.changes import Leftover, LeftoverKind
from hubfold.content import LinkKind, Root
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins.ramalama.refs import named
from hubfold_plugins.ramalama.store import RamaLamaBackend
from tests.building import ramalama, tree
from tests.building.one_root import scan
from tests.building.scanned import noise

WEIGHTS, SECOND = noise("weights", 40_000), noise("second", 30_000)
BASE, ALONE = "huggingface/org/base", "huggingface/org/base/model.gguf"
FILES = [("m-00001-of-00002.gguf", "gguf", WEIGHTS), ("m-00002-of-00002.gguf", "other", SECOND)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A split model of a whole repository, and a file of it once more."""
    path = tmp_path / "ramalama" / "store"
    ramalama.model(path, BASE, FILES)
    ramalama.model(path, ALONE, [("model.gguf", "gguf", WEIGHTS)])
    return path


@pytest.fixture
def engine(store: Path) -> Iterator[Engine]:
    with Engine() as one:
        one.add_root(store)
        yield one


def leftovers(store: Path) -> dict[str, Leftover]:
    root = Root(str(store), RamaLamaBackend.name)
    return {one.path: one for one in RamaLamaBackend().leftovers(root, TreeWalk(root, {}))}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("huggingface://org/base/model.gguf:latest", "huggingface://org/base/model.gguf:latest"),
        ("hf://org/base", "huggingface://org/base:latest"),
        ("ms://org/base:v1", "modelscope://org/base:v1"),
        ("ollama://library/llama3:8b", "ollama://library/llama3:8b"),
        *(
            ("ftp://a/b", None),
            ("hf://", None),
            ("hf://a/../b", None),
            ("hf://a/b:", None),
            ("hf://a/\nb", None),
        ),
    ],
)
def test_a_name_has_all_that_it_may_leave_out(text: str, name: str | None) -> None:
    assert named(text) == name


def test_a_store_is_known_by_its_place_or_by_a_model_in_it(tmp_path: Path, store: Path) -> None:
    def recognised(path: Path) -> bool:
        return RamaLamaBackend.recognise(str(path), os.listdir(path)) is not None

    assert recognised(store)
    moved = tmp_path / "elsewhere" / "store"
    moved.parent.mkdir()
    store.rename(moved)
    assert recognised(moved), "by a ref that is JSON"
    hub = tmp_path / "cache" / "store"
    tree.cache(str(hub / "huggingface" / "hub"), "org/base", {"m.gguf": WEIGHTS})
    assert not recognised(hub), "a cache of the Hub has refs as well"


def test_only_what_the_program_compared_is_claimed(store: Path) -> None:
    ramalama.model(store, "https/example.org/m.gguf", [("m.gguf", "gguf", noise("address", 9_000))])
    ramalama.model(store, "huggingface/org/safe", [("m.safetensors", "safetensor", noise("safe", 9_000))])
    found = scan(RamaLamaBackend, store).replicas
    claimed = {path: one.claims["sha256"] for path, one in found.items() if one.claims}
    assert claimed == {
        f"{place}/blobs/{ramalama.by_content(content)}": ramalama.by_content(content).removeprefix("sha256-")
        for place, content in (
            (BASE, WEIGHTS),
            (ALONE, WEIGHTS),
            ("huggingface/org/safe", noise("safe", 9_000)),
        )
    }
    assert f"{BASE}/blobs/{ramalama.by_name(FILES[1][0])}" in found, (
        "content, of which nobody says what it is"
    )


def test_models_are_called_as_the_program_lists_them(store: Path, engine: Engine) -> None:
    assert {model.id for model, _ in engine.models().rows} == {
        "huggingface://org/base:latest",
        "huggingface://org/base/model.gguf:latest",
    }
    snapshot = store / BASE / "snapshots" / ramalama.by_content(WEIGHTS)
    assert engine.model_path("hf://org/base:latest") == str(snapshot)
    assert engine.check(["huggingface://org/base:latest"], anywhere=False).whole


@pytest.mark.parametrize("link", [None, LinkKind.SYMLINK])
def test_two_names_of_a_payload_stay_one_file_and_neither_becomes_a_symlink(
    store: Path, engine: Engine, tmp_path: Path, link: LinkKind | None
) -> None:
    """Each of them became a symlink of its own before there was this backend."""
    tree.cache(str(tmp_path / "hub"), "org/base", {"m1.gguf": WEIGHTS, "m2.gguf": SECOND})
    given = [tmp_path / "hub", store]
    engine.scan(given, min_size=10_000)
    done = engine.apply(engine.plan(given, min_size=10_000, into=tmp_path / "hub", link=link))
    assert not done.failed and len(done.actions) == (6 if link is None else 0)
    for place, name, content in (
        (BASE, *FILES[0][::2]),
        (BASE, *FILES[1][::2]),
        (ALONE, "model.gguf", WEIGHTS),
    ):
        stored = ramalama.by_name(name) if content == SECOND else ramalama.by_content(content)
        blob = store / place / "blobs" / stored
        (shown,) = (store / place / "snapshots").glob(f"*/{name}")
        assert blob.samefile(shown) and not blob.is_symlink() and not shown.is_symlink()
        assert blob.read_bytes() == content
        assert blob.stat().st_nlink == (2 if link else 5 if content == WEIGHTS else 3)
    engine.undo() if link is None else None
    assert (store / BASE / "blobs" / ramalama.by_content(WEIGHTS)).stat().st_nlink == 2


def test_rm_takes_what_no_other_tag_has(store: Path, engine: Engine) -> None:
    ramalama.model(store, BASE, [FILES[0], ("extra.gguf", "mmproj", b"eyes")], tag="v2")
    folder = store / BASE
    engine.remove(["huggingface://org/base:v2"])
    assert not (folder / "refs/v2.json").exists()
    assert not (folder / "blobs" / ramalama.by_content(b"eyes")).exists()
    assert (folder / "blobs" / ramalama.by_content(WEIGHTS)).read_bytes() == WEIGHTS
    assert (folder / "snapshots" / ramalama.by_content(WEIGHTS) / FILES[0][0]).exists(), "another tag's too"
    engine.remove(["huggingface://org/base:latest"])
    assert not any(
        path.is_file() for part in ("blobs", "refs", "snapshots") for path in (folder / part).rglob("*")
    )
    assert (store / ALONE / "blobs" / ramalama.by_content(WEIGHTS)).exists()


def test_a_backup_makes_it_elsewhere(store: Path, engine: Engine, tmp_path: Path) -> None:
    backup, other = tmp_path / "backup", tmp_path / "other" / "store"
    other.mkdir(parents=True)
    engine.backup(engine.plan_backup(backup, ["huggingface://org/base:latest"]))
    engine.restore(backup, engine.plan_restore(backup, into=other))
    for path in (store / BASE / "blobs").iterdir():
        (shown,) = (
            one for one in (other / BASE / "snapshots").glob("*/*") if one.read_bytes() == path.read_bytes()
        )
        assert shown.samefile(other / BASE / "blobs" / path.name)
    assert (other / BASE / "refs/latest.json").exists()


def damaged(ref: Path) -> None:
    ref.write_text("{")


def nested(ref: Path) -> None:
    ref.write_text("[" * 100_000)


def that_leads_out(ref: Path) -> None:
    told = json.loads(ref.read_text())
    told["files"][0]["name"] = "../../../x"
    ref.write_text(json.dumps(told))


def of_a_strange_hash(ref: Path) -> None:
    told = json.loads(ref.read_text())
    told["files"][0]["hash"] = "../x"
    ref.write_text(json.dumps(told))


def a_pipe(ref: Path) -> None:
    ref.unlink()
    os.mkfifo(ref)


def of_an_older_release(ref: Path) -> None:
    ref.rename(ref.with_suffix(""))


def behind_a_link(ref: Path) -> None:
    ref.parent.rename(ref.parent.with_name("moved"))
    ref.parent.symlink_to("moved")


@pytest.mark.parametrize(
    "spoil", [damaged, nested, that_leads_out, of_a_strange_hash, a_pipe, of_an_older_release, behind_a_link]
)
def test_without_a_ref_that_can_be_read_every_blob_is_needed(
    store: Path, spoil: Callable[[Path], None]
) -> None:
    unused = store / BASE / "blobs" / ramalama.by_content(b"unused")
    unused.write_bytes(b"unused")
    assert leftovers(store)[str(unused)].kind is LeftoverKind.UNUSED
    spoil(store / BASE / "refs/latest.json")
    assert leftovers(store) == {}
    root = Root(str(store), RamaLamaBackend.name)
    paths = [str(store / BASE / "blobs" / ramalama.by_content(WEIGHTS)), str(unused), "/elsewhere/x"]
    assert list(RamaLamaBackend().still_needed(root, paths, TreeWalk(root, {}))) == paths
    assert len(scan(RamaLamaBackend, store).replicas) == 7, "its blobs are content all the same"


def test_a_download_that_was_interrupted_belongs_to_its_tag(store: Path, engine: Engine) -> None:
    blob = store / ALONE / "blobs" / ramalama.by_content(WEIGHTS)
    blob.rename(f"{blob}.partial")
    (store / ALONE / "snapshots" / blob.name / "model.gguf").unlink()
    ((model, _),) = engine.models(["hf://org/base/model.gguf"]).rows
    (revision,) = model.places[0].revisions
    assert [(one.path, one.name) for one in revision.partials] == [(f"{blob}.partial", "model.gguf")]
    assert leftovers(store)[f"{blob}.partial"].kind is LeftoverKind.INTERRUPTED
