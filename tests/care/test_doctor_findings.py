"""Each thing that the doctor looks for: told without `--fix` and nothing touched, and what `--fix` makes of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing import snapshot
from hubfold.testing.trees import Tree, copy_of, hub_cache, model_files
from tests.building.doctored import RIGHT, blob, build, cut_short, fold, kinds, rot, weights, write_through

Harm = Callable[[Tree, Engine, pytest.MonkeyPatch], Path]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as engine:
        yield engine


@pytest.fixture
def sick(tree: Tree, engine: Engine) -> Tree:
    """Folded, with one more copy that is no link."""
    fold(build(tree), engine)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    return tree


def dangling(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    weights(tree).resolve().unlink()
    return weights(tree)


def snapshot_without_its_blob(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    (link,) = tree["second/hub"].glob("*/snapshots/*/config.json")
    link.resolve().unlink()
    return link


def interrupted(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tree["hf/hub/models--org--model/blobs/abc.incomplete"]
    path.write_bytes(b"half of it")
    return path


def misplaced(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree.build({"hf/hub/hub": hub_cache("org/model")})
    return tree["hf/hub/hub"]


def unnoted(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    object_ = weights(tree).resolve()
    os.unlink(f"{object_}.links")
    return object_


def unneeded(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    weights(tree).unlink()
    return tree["hf/hubfold"]


def written_through(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_through(weights(tree))
    return blob(tree, "second/hub")


def corrupt(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    rot(blob(tree))
    engine.verify()
    return blob(tree)


def damaged(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    return cut_short(tree, "drive")


def unreadable(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that another user has closed; root is let in everywhere, so the call itself is refused."""
    folder, real = str(tree["models"]), os.open

    def refused(path: str, *arguments: int, **options: int | None) -> int:
        if path == folder:
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refused)
    return tree["models"]


def offline(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.move(tree["second/hub"], tree["away"])
    return tree["second/hub"]


def crashed(tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    (journal,) = Path(engine.state.runs).iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    return Path(journal.stem)


FINDINGS: dict[str, tuple[str, Harm, bool]] = {
    "a link whose object is gone": ("dangling-link", dangling, True),
    "a snapshot whose blob is gone": ("dangling-link", snapshot_without_its_blob, True),
    "an interrupted download": ("interrupted-download", interrupted, False),
    "a cache in a cache": ("misplaced-cache", misplaced, False),
    "an object that does not list its link": ("vault-out-of-step", unnoted, True),
    "an object that nothing needs": ("unneeded-objects", unneeded, False),
    "a blob that was written through a link": ("written-through", written_through, True),
    "a blob whose bytes rotted": ("corrupt", corrupt, True),
    "a blob that is too short": ("damaged-blob", damaged, True),
    "a folder that cannot be read": ("unreadable", unreadable, False),
    "a root that is away": ("offline-root", offline, False),
    "a run that a crash cut short": ("interrupted-run", crashed, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FINDINGS)
def test_it_is_told_and_nothing_is_touched_and_fix_mends_it_where_that_is_safe(
    what: str, sick: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, harm, mendable = FINDINGS[what]
    path = harm(sick, engine, monkeypatch)
    before = snapshot(sick.folder)
    found = [finding for finding in engine.doctor().findings if finding.kind == kind]
    assert [finding.path for finding in found] == [str(path)]
    assert (found[0].fixed, found[0].mendable) == (False, mendable)
    assert found[0].fix, "it says what to do"
    assert snapshot(sick.folder) == before
    found = [finding for finding in engine.doctor(fix=True).findings if finding.kind == kind]
    assert [(finding.path, finding.fixed) for finding in found] == [(str(path), mendable)]
    if mendable:
        assert engine.doctor().findings == ()
        assert weights(sick).read_bytes() == RIGHT
        for cache in ("hf/hub", "second/hub", "drive"):
            assert blob(sick, cache).read_bytes() == RIGHT
    else:
        assert snapshot(sick.folder) == before
        assert kind in kinds(engine.doctor().findings)


def test_without_its_index_the_doctor_knows_the_links_still(
    sick: Tree, engine: Engine, tmp_path: Path
) -> None:
    """The index is a cache: vault and journals tell what has to be there."""
    weights(sick).resolve().unlink()
    engine.close()
    for path in (tmp_path / "state").glob("index.db*"):
        path.unlink()
    with Engine(tmp_path / "state") as fresh:
        assert [
            (f.kind, f.fixed) for f in fresh.doctor(fix=True).findings if f.path == str(weights(sick))
        ] == [("dangling-link", True)]
    assert weights(sick).read_bytes() == RIGHT


def test_an_object_of_which_the_index_knows_and_the_disk_does_not_is_no_donor(
    sick: Tree, engine: Engine
) -> None:
    object_ = weights(sick).resolve()
    for path in (object_, blob(sick), blob(sick, "second/hub"), blob(sick, "drive")):
        path.unlink()
    (found,) = (f for f in engine.doctor(fix=True).findings if f.path == str(weights(sick)))
    assert (found.kind, found.fixed) == ("dangling-link", False)


@pytest.mark.slow
def test_a_donor_that_somebody_writes_to_is_passed_over_and_one_that_he_may_write_to_is_copied(
    sick: Tree, engine: Engine
) -> None:
    """What somebody may write to stays his alone: the object gets bytes of its own."""
    object_ = weights(sick).resolve()
    object_.unlink()
    blob(sick).unlink()
    blob(sick, "second/hub").unlink()
    blob(sick, "drive").chmod(0o644)
    with open(blob(sick, "drive"), "r+b"):
        (busy,) = (f for f in engine.doctor(fix=True).findings if f.path == str(weights(sick)))
        assert not busy.fixed
    (found,) = (f for f in engine.doctor(fix=True).findings if f.path == str(weights(sick)))
    assert found.fixed and weights(sick).read_bytes() == RIGHT
    assert object_.stat().st_nlink == 1 and object_.stat().st_mode & 0o222 == 0
    assert blob(sick, "drive").stat().st_mode & 0o777 == 0o644, "and nothing of it was changed"


@pytest.mark.slow
def test_a_donor_on_another_drive_is_copied(tree: Tree, engine: Engine, other_drive: Path) -> None:
    """An object has to be on the file system of its links' cache, also where the one good copy is not."""
    fold(build(tree), engine)
    copy = other_drive / "copy.safetensors"
    copy.write_bytes(RIGHT)
    copy.chmod(0o444)
    engine.scan([other_drive])
    engine.verify([other_drive])
    object_ = weights(tree).resolve()
    for path in (object_, blob(tree), blob(tree, "second/hub")):
        path.unlink()
    (found,) = (f for f in engine.doctor(fix=True).findings if f.path == str(weights(tree)))
    assert found.fixed, found
    assert weights(tree).read_bytes() == RIGHT and object_.stat().st_nlink == 1


def test_the_report_of_a_finding_has_the_fields_that_scripts_rely_on(sick: Tree, engine: Engine) -> None:
    weights(sick).resolve().unlink()
    report = json.loads(json.dumps(engine.doctor().as_json()))
    assert set(report) == {"findings"}
    assert set(report["findings"][0]) == {"kind", "path", "message", "fix", "fixed", "replaces"}


def test_an_object_whose_list_is_lost_is_not_told_to_be_garbage_and_gc_leaves_it(
    tree: Tree, engine: Engine
) -> None:
    """The journal knows the link too, though it lies in no root."""
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    engine.scan([tree["hf/hub"]])
    engine.farm(tree["farm"])
    link = tree["farm/org/model/model.safetensors"]
    os.unlink(f"{link.resolve()}.links")
    assert kinds(engine.doctor().findings) == ["vault-out-of-step"]
    assert engine.preview_gc().removed == engine.gc().removed == ()
    assert link.read_bytes() == RIGHT


def test_a_farm_that_was_scanned_is_told_of_once(tree: Tree, engine: Engine) -> None:
    """The scan of the farm warns of the link, and the journal knows it: one finding, and it is mended."""
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    engine.scan([tree["hf/hub"]])
    engine.farm(tree["farm"])
    engine.scan([tree["farm"]])
    link = tree["farm/org/model/model.safetensors"]
    link.resolve().unlink()
    for fix in (False, True):
        found = [finding for finding in engine.doctor(fix=fix).findings if finding.path == str(link)]
        assert [(finding.kind, finding.fixed) for finding in found] == [("dangling-link", fix)]
    assert link.read_bytes() == RIGHT
