"""Farms: what their links are made of is held while they are made, and what is removed is announced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.care import recovery
from hubfold.disk import directory
from hubfold.engine.farming import Farming
from hubfold.engine.scanning import Scanning
from hubfold.farm import build
from hubfold.progress import Silent, Stop
from hubfold.reports.runs import FarmReport
from hubfold.testing.trees import Tree, hub_cache, model_files
from tests.building.people import open_place


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as engine:
        yield engine


@pytest.fixture
def cached(tree: Tree, engine: Engine) -> Tree:
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    engine.scan([tree["hf/hub"]])
    return tree


def blob(tree: Tree) -> Path:
    (link,) = tree["hf/hub"].glob("models--*/snapshots/*/model.safetensors")
    return link.resolve()


def names(report: FarmReport) -> set[str]:
    return {os.path.basename(path) for path in report.added}


def test_a_file_that_a_program_has_open_for_writing_gets_no_link(cached: Tree, engine: Engine) -> None:
    """A download that goes on, or a training run: what the object would hold is not what its name says."""
    with open(blob(cached), "r+b"):
        report = engine.farm(cached["farm"])
        assert [failure.error for failure in report.failed] == ["a program has it open for writing"]
        assert names(report) == {"README.md", "config.json", "tokenizer.json"}
    link = cached["farm/org/model/model.safetensors"]
    assert not link.is_symlink() and blob(cached).stat().st_nlink == 1
    assert names(engine.farm(cached["farm"])) == {"model.safetensors"}
    assert link.samefile(blob(cached))


def test_a_file_that_changed_since_the_scan_gets_no_link(cached: Tree, engine: Engine) -> None:
    plan = Farming(engine.workspace, Scanning(engine.workspace)).plan(cached["farm"], ())
    before = blob(cached).stat()
    with open(blob(cached), "r+b") as file:
        file.write(b"other bytes")
    with recovery.begin(engine.state, "farm") as book:
        failed = build.build(plan, book, progress=Silent(), stop=Stop())
        book.append("end", state="finished")
    assert [failure.error for failure in failed] == ["it changed since it was scanned"]
    assert not cached["farm/org/model/model.safetensors"].is_symlink()
    assert blob(cached).stat().st_mode == before.st_mode, "and it was not made read-only"


def test_two_links_of_one_file_are_both_made(tree: Tree, engine: Engine) -> None:
    """The first changes the file's mode and its number of names: that is no change by somebody else."""
    files = model_files("model")
    tree.hub.add("org/model", {**files, "copy/model.safetensors": files["model.safetensors"]})
    tree.build({"hf/hub": hub_cache("org/model")})
    engine.scan([tree["hf/hub"]])
    report = engine.farm(tree["farm"])
    assert report.failed == () and len(report.added) == len(files) + 1


def stale(tree: Tree, engine: Engine) -> list[Path]:
    """A farm of two models, one of which was deleted with its objects."""
    tree.hub.add("org/gone", model_files("gone"))
    tree.build({"second/hub": hub_cache("org/gone")})
    engine.scan([tree["second/hub"]])
    engine.farm(tree["farm"])
    links = sorted(path for path in tree["farm/org/gone"].rglob("*") if path.is_symlink())
    for link in links:
        link.resolve().unlink()
    engine.remove(["org/gone"])
    return links


@pytest.mark.slow
def test_links_that_lead_nowhere_are_announced_before_they_are_removed(cached: Tree, engine: Engine) -> None:
    links = stale(cached, engine)
    report = engine.farm(cached["farm"])
    assert sorted(report.removed) == [str(link) for link in links]
    assert not any(link.is_symlink() for link in links)
    shown = {action.path: (action.link, state) for action, state in engine.run(report.run or "").actions}
    assert {str(link): ("removed", "done") for link in links}.items() <= shown.items()


@pytest.mark.slow
def test_a_link_that_cannot_be_removed_stops_nothing_else(
    cached: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = stale(cached, engine)
    real = directory.Directory.unlink

    def failing(self: directory.Directory, name: str) -> None:
        if name == links[0].name:
            raise PermissionError(13, "Permission denied", name)
        real(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(directory.Directory, "unlink", failing)
        report = engine.farm(cached["farm"])
    assert [(failure.path, failure.error) for failure in report.failed] == [
        (str(links[0]), "permission denied")
    ]
    assert [link.is_symlink() for link in links] == [True] + [False] * (len(links) - 1)
    assert engine.runs()[0].state == "finished"


def test_a_link_that_leads_somewhere_again_stays(cached: Tree, engine: Engine) -> None:
    links = stale(cached, engine)
    plan = Farming(engine.workspace, Scanning(engine.workspace)).plan(cached["farm"], ())
    target = links[0].parent / os.readlink(links[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"back again")
    with recovery.begin(engine.state, "farm") as book:
        assert build.build(plan, book, progress=Silent(), stop=Stop()) == []
        book.append("end", state="finished")
    assert links[0].read_bytes() == b"back again"


@pytest.mark.parametrize("closed", [True, False])
def test_a_model_in_a_closed_repository_gets_no_object_that_others_reach(
    tree: Tree, engine: Engine, closed: bool
) -> None:
    with open_place() as place:
        shared = Tree(place, tree.hub)
        shared.hub.add("org/model", model_files("model"))
        shared.build({"hf/hub": hub_cache("org/model")})
        for folder, _, _ in os.walk(place):
            os.chmod(folder, 0o755)
        (repository,) = shared["hf/hub"].glob("models--*")
        repository.chmod(0o700 if closed else 0o755)
        engine.scan([shared["hf/hub"]])
        report = engine.farm(shared["farm"])
        told = {left.reason for left in report.left}
        assert told == ({"other users could read it in the vault, who cannot now"} if closed else set())
        assert len(report.added) == (0 if closed else len(model_files("model")))


@pytest.fixture
def twice(tree: Tree, engine: Engine) -> Tree:
    """Two models of one content, a blob each."""
    for name in ("base", "tuned"):
        tree.hub.add(f"org/{name}", {"model.safetensors": b"one content" * 1000})
    tree.build({"hf/hub": hub_cache("org/base", "org/tuned")})
    engine.scan([tree["hf/hub"]])
    return tree


def test_two_files_of_one_content_have_one_object(twice: Tree, engine: Engine) -> None:
    """They are two payloads until they are folded, and an object has one name."""
    report = engine.farm(twice["farm"])
    assert report.failed == ()
    base, tuned = (twice[f"farm/org/{name}/model.safetensors"] for name in ("base", "tuned"))
    assert base.samefile(tuned) and base.read_bytes() == b"one content" * 1000
    assert engine.farm(twice["farm"]).added == (), "built again it has nothing to do"


def test_a_file_that_is_not_what_its_name_says_gets_no_link_to_the_object_of_that_name(
    twice: Tree, engine: Engine
) -> None:
    (link,) = twice["hf/hub"].glob("models--org--tuned/snapshots/*/model.safetensors")
    link.resolve().write_bytes(b"two content" * 1000)
    engine.scan([twice["hf/hub"]])
    report = engine.farm(twice["farm"])
    assert [os.path.relpath(failure.path, twice["farm"]) for failure in report.failed] == [
        "org/tuned/model.safetensors"
    ]
    assert "bytes differ" in report.failed[0].error
    assert not twice["farm/org/tuned/model.safetensors"].exists()
    assert link.read_bytes() == b"two content" * 1000


def test_the_farm_of_one_object_is_taken_back_and_the_other_model_reads_its_bytes(
    twice: Tree, engine: Engine
) -> None:
    before = {path: path.read_bytes() for path in twice["hf"].rglob("*") if path.is_file()}
    report = engine.farm(twice["farm"])
    assert engine.undo(report.run).failed == ()
    assert not twice["farm/org/base/model.safetensors"].is_symlink()
    engine.gc()
    assert {path: path.read_bytes() for path in twice["hf"].rglob("*") if path.is_file()} == before
