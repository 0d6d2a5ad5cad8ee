"""Whole means whole: what the real client left, damaged in each way, as every judge of models sees it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download, snapshot_download

from hubfold import Engine, HubfoldError, ModelCacheManager, check_model_availability
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building.library import configure
from tests.building.people import Person, open_place

needs_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
FILES = model_files("base", 200_000)
WEIGHTS = "model.safetensors"
#: A file that is read and hashed in passing is a small one: these are not.
LARGE = {"vocab.txt": b"word\n" * 20_000, "model.bin": bytes(range(256)) * 400}


@pytest.fixture
def hub(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A user whose cache is ``hf/hub``, and a Hub with org/base."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    tree.hub.add("org/base", {**FILES, **LARGE})
    return tree


@pytest.fixture
def engine(hub: Tree) -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def judged(engine: Engine, tree: Tree, name: str = "org/base") -> str:
    """The one status of a model that everybody gives."""
    [checked] = engine.check([name]).models
    whole = checked.status == "cached"
    manager = ModelCacheManager(tree["hf/hub"])
    assert manager.is_model_cached(name) is whole
    assert (manager.get_cached_snapshot_path(name) is not None) is whole
    assert check_model_availability(name)[0] is whole
    assert [model.cached for model in engine.models([name]).models if checked.status != "missing"] in (
        [],
        [whole],
    )
    backed_up = engine.plan_backup(tree.folder / "saved", [name])
    assert [model.held.name.repo_id for model in backed_up.models] == (
        ["org/base"] if checked.status in ("cached", "unknown") else []
    )
    if whole:
        assert engine.model_path(name) == checked.path
    else:
        with pytest.raises(HubfoldError):
            engine.model_path(name)
    return checked.status


def client_gets(tree: Tree, *names: str) -> None:
    for name in names:
        hf_hub_download("org/base", name, cache_dir=tree["hf/hub"], endpoint=tree.hub.endpoint, token=False)


def whole(tree: Tree, *, listed: bool = True) -> Path:
    """The snapshot of org/base, whole."""
    tree.build({"hf/hub": hub_cache("org/base")})
    [snapshot] = tree["hf/hub/models--org--base/snapshots"].iterdir()
    if not listed:
        shutil.rmtree(tree["hf/hub/models--org--base/trees"])
    return snapshot


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["config.json"], "incomplete"),
        (["config.json", "tokenizer/tokenizer.json", "README.md", "vocab.txt"], "incomplete"),
        (["tokenizer/tokenizer.json"], "unknown"),
        (["README.md"], "unknown"),
        (["config.json", WEIGHTS], "cached"),
    ],
)
def test_single_files_are_a_model_only_with_its_weights(
    hub: Tree, engine: Engine, names: list[str], status: str
) -> None:
    client_gets(hub, *names)
    assert judged(engine, hub) == status


@pytest.mark.parametrize("patterns", ["*.json", "[README*, config.json]"])
@pytest.mark.parametrize("single", [True, False], ids=["by name", "by patterns"])
def test_a_config_is_whole_where_only_that_is_asked_for(
    hub: Tree, engine: Engine, patterns: str, single: bool
) -> None:
    if single:
        client_gets(hub, "config.json", "tokenizer/tokenizer.json", "README.md")
    else:
        cache = hub["hf/hub"]
        snapshot_download(
            "org/base", cache_dir=cache, endpoint=hub.endpoint if False else hub.hub.endpoint,
            allow_patterns=["*.json", "README*"], token=False,
        )  # fmt: skip
    assert engine.check(["org/base"]).models[0].status == "incomplete"
    texts = '["README*", "config.json"]' if patterns.startswith("[") else f'"{patterns}"'
    configure(engine, f'[models]\ntexts = {{ repo = "org/base", include = {texts} }}\n')
    with Engine() as other:
        assert other.check(["texts"]).models[0].status == "cached"
    configure(engine, '[models]\ntexts = { repo = "org/base", include = ["*.json", "*.safetensors"] }\n')
    with Engine() as other:
        assert other.check(["texts"]).models[0].status == "incomplete"
    configure(
        engine, '[models]\ntexts = { repo = "org/base", exclude = ["*.bin", "*.safetensors", "*.txt"] }\n'
    )
    with Engine() as other:
        assert other.check(["texts"]).models[0].status == "incomplete"


def _cut(blob: Path) -> None:
    os.truncate(blob, 100)


def _lengthen(blob: Path) -> None:
    with blob.open("ab") as file:
        file.write(b"more")


def _empty(blob: Path) -> None:
    os.truncate(blob, 0)


def _remove(blob: Path) -> None:
    blob.unlink()


def _point_at_itself(blob: Path) -> None:
    blob.unlink()
    blob.symlink_to(blob.name)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_cut, _lengthen, _empty, _remove, _point_at_itself])
@pytest.mark.parametrize(
    "name", [WEIGHTS, "config.json", pytest.param("tokenizer/tokenizer.json", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("listed", [True, False], ids=["with a listing", "without one"])
def test_a_damaged_blob_is_seen(
    hub: Tree, engine: Engine, damage: Callable[[Path], None], name: str, listed: bool
) -> None:
    snapshot = whole(hub, listed=listed)
    assert judged(engine, hub) == "cached"
    damage((snapshot / name).resolve())
    assert judged(engine, hub) == "incomplete"
    assert engine.models().models[0].state == "broken"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vocab.txt", "model.bin"])
@pytest.mark.parametrize("listed", [True, False], ids=["with a listing", "without one"])
def test_other_bytes_of_the_same_size_are_known_once_they_were_read_until_they_are_mended(
    hub: Tree, engine: Engine, name: str, listed: bool
) -> None:
    snapshot = whole(hub, listed=listed)
    blob = (snapshot / name).resolve()
    good = blob.read_bytes()
    engine.scan()
    blob.write_bytes(b"?" * len(good))
    report = engine.verify([str(hub["hf/hub"])])
    assert [problem.kind for problem in report.problems] == ["corrupt"]
    assert judged(engine, hub) == "incomplete"
    assert "is corrupt" in engine.check(["org/base"]).models[0].missing[0].reason
    engine.scan()
    assert judged(engine, hub) == "incomplete", "a scan makes nothing good"
    replaced = blob.with_name("new")
    replaced.write_bytes(good)
    replaced.replace(blob)
    assert judged(engine, hub) == "cached", "nobody says anything of these bytes"


def test_a_farm_of_corrupt_content_is_not_whole_either(hub: Tree, engine: Engine) -> None:
    snapshot = whole(hub)
    engine.farm(hub["links"])
    engine.add_root(hub["links"])
    blob = (snapshot / "model.bin").resolve()
    blob.chmod(0o644)
    blob.write_bytes(b"?" * blob.stat().st_size)
    engine.scan()
    engine.verify()
    assert {one.state for one in engine.models(["org/base"]).models[0].revisions} == {"broken"}
    assert engine.check(["org/base"]).models[0].status == "incomplete"


def test_a_local_copy_is_held_against_what_its_client_noted(hub: Tree, engine: Engine) -> None:
    snapshot = whole(hub)
    hub.build({"models/base": local_dir("org/base")})
    engine.add_root(hub["models"])
    (snapshot / WEIGHTS).unlink()
    assert engine.check(["org/base"]).models[0].path == str(hub["models/base"])
    copy = hub["models/base/model.bin"]
    times = copy.stat().st_atime_ns, copy.stat().st_mtime_ns
    copy.write_bytes(b"?" * copy.stat().st_size)
    os.utime(copy, ns=times)
    engine.scan()
    engine.verify()
    assert engine.check(["org/base"]).models[0].status == "incomplete"


NOBODY = Person(65534, (65534,))


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("blobs", "cannot be read: permission denied"),
        ("one blob", "cannot be read: permission denied"),
        ("snapshots", "snapshots cannot be read"),
        ("repository", "may be there: "),
        ("cache", "may be there: "),
        ("listing", "cached"),
    ],
)
@needs_another_user
def test_what_may_not_be_read_is_not_called_gone(closed: str, said: str) -> None:
    """A cache of somebody else's; the listing, which the client writes for its owner alone, is none to others."""
    with LoopbackHub() as hub, open_place() as place:
        tree = Tree(place, hub)
        hub.add("org/base", FILES)
        tree.build({"hub": hub_cache("org/base")})
        os.chmod(place, 0o755)
        for folder, _, names in os.walk(place):
            os.chmod(folder, 0o755)
            for name in names:
                path = Path(folder, name)
                if not path.is_symlink():
                    path.chmod(0o644)
        repository = place / "hub/models--org--base"
        [snapshot] = (repository / "snapshots").iterdir()
        what = {
            "blobs": repository / "blobs",
            "one blob": (snapshot / WEIGHTS).resolve(),
            "snapshots": repository / "snapshots",
            "repository": repository,
            "cache": place / "hub",
            "listing": repository / "trees" / f"{snapshot.name}.json",
        }[closed]
        what.chmod(0)
        environ = {"HF_HUB_CACHE": str(place / "hub"), "HOME": str(place)}

        def ask(state: str = "nowhere") -> str:
            with Engine(place / state, environ=environ) as engine:
                report = engine.check(["org/base"])
                messages = " ".join(one.message for one in report.recommendations)
                commands = "".join(one.command for one in report.recommendations)
                return f"{report.models[0].status} {messages} command={commands}"

        assert "cached" in ask("of root"), "root reads all; and what this imports another user could not"
        told = NOBODY.told(ask)
        what.chmod(0o755)
        assert said in told
        assert told.endswith("command="), "no download helps"
        assert ("cached" in told) is (closed == "listing")


def test_a_place_without_a_file_is_none_where_the_files_are_elsewhere(hub: Tree, engine: Engine) -> None:
    """The client leaves a ref in the cache when it downloads into a folder."""
    snapshot_download("org/base", local_dir=hub["models/base"], endpoint=hub.hub.endpoint, token=False,
                      cache_dir=hub["hf/hub"])  # fmt: skip
    assert hub["hf/hub/models--org--base/refs/main"].is_file()
    engine.add_root(hub["models"])
    [base] = engine.models().models
    assert [place.path for place in base.places] == [str(hub["models/base"])]
    assert engine.check(["org/base"]).models[0].path == str(hub["models/base"])
    shutil.rmtree(hub["models"])
    client_gets(hub, "config.json")
    [base] = engine.models().models
    assert [place.path for place in base.places if not place.root.endswith("models")] == [
        str(hub["hf/hub/models--org--base"])
    ]


def test_a_ref_alone_is_still_told(hub: Tree, engine: Engine) -> None:
    snapshot_download("org/base", local_dir=hub["models/base"], endpoint=hub.hub.endpoint, token=False,
                      cache_dir=hub["hf/hub"])  # fmt: skip
    [base] = engine.models().models
    assert (base.id, base.state) == ("org/base", "incomplete")
