"""What goes wrong after the fact, found and mended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import LinkKind
from hubfold.errors import Interrupted
from hubfold.progress import Silent, Stop
from hubfold.testing.trees import Tree, copy_of, hub_cache, model_files
from tests.building.doctored import blob, build, fold, kinds, weights, write_through


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as engine:
        yield engine


@pytest.fixture
def folded(tree: Tree, engine: Engine) -> Tree:
    """A cache, a second cache, a local copy; all that is big is folded into the first."""
    fold(build(tree), engine)
    return tree


def test_a_healthy_tree_has_no_findings(folded: Tree, engine: Engine) -> None:
    assert engine.doctor().findings == ()


class Bar(Silent):
    """Notes what a bar would show; asks to stop once `enough` bytes of a reading were told of."""

    def __init__(self, stop: Stop | None = None, enough: int = 0) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.told: dict[str, int] = {}
        self.stop, self.enough = stop, enough

    def start(self, task: str, total: int | None, unit: str) -> None:
        self.stages.append((task, total))

    def advance(self, amount: int) -> None:
        task, _ = self.stages[-1]
        self.told[task] = self.told.get(task, 0) + amount
        if task == "reading" and self.stop is not None and self.told[task] > self.enough:
            self.stop.set()


@pytest.mark.slow
def test_what_it_reads_is_told_and_can_be_stopped(folded: Tree, tmp_path: Path) -> None:
    write_through(weights(folded))
    changed, size = weights(folded).read_bytes(), weights(folded).stat().st_size
    bar = Bar()
    with Engine(tmp_path / "state", progress=bar) as engine:
        assert kinds(engine.doctor().findings) == ["written-through"]
    assert ("reading", size) in bar.stages
    assert bar.told["reading"] % size == 0 and bar.told["reading"] > 0
    stop = Stop()
    with Engine(tmp_path / "state", progress=Bar(stop), stop=stop) as engine, pytest.raises(Interrupted):
        engine.doctor(fix=True)
    assert weights(folded).read_bytes() == changed


@pytest.mark.slow
def test_an_object_that_was_deleted_is_made_again_from_the_blob(folded: Tree, engine: Engine) -> None:
    weights(folded).resolve().unlink()
    found = engine.doctor().findings
    assert kinds(found) == ["dangling-link"] and found[0].path == str(weights(folded)) and not found[0].fixed
    assert not weights(folded).exists()
    assert [finding.fixed for finding in engine.doctor(fix=True).findings] == [True]
    assert weights(folded).read_bytes() == model_files("model")["model.safetensors"]
    assert engine.doctor().findings == ()


@pytest.mark.slow
def test_a_link_with_nothing_left_is_told_with_what_to_do(folded: Tree, engine: Engine) -> None:
    for path in (weights(folded).resolve(), blob(folded), blob(folded, "second/hub")):
        path.unlink()
    found = [finding for finding in engine.doctor(fix=True).findings if finding.path == str(weights(folded))]
    assert found and not found[0].fixed and "download it again" in found[0].fix


@pytest.mark.slow
def test_a_write_through_a_link_is_found_and_put_right_and_the_new_bytes_are_kept(
    tree: Tree, engine: Engine, tmp_path: Path
) -> None:
    fold(build(tree), engine)
    # A copy that is no link any more, or never was: the one to mend from.
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    right = weights(tree).read_bytes()
    write_through(weights(tree))
    changed = weights(tree).read_bytes()
    assert changed != right and blob(tree).read_bytes() == changed
    found = engine.doctor().findings
    assert "written-through" in kinds(found) and weights(tree).read_bytes() == changed
    mended = [finding for finding in engine.doctor(fix=True).findings if finding.kind == "written-through"]
    assert mended and [f for f in mended if not f.fixed] == []
    assert (
        weights(tree).read_bytes()
        == blob(tree).read_bytes()
        == blob(tree, "second/hub").read_bytes()
        == right
    )
    assert weights(tree).stat().st_ino == blob(tree).stat().st_ino, "one payload again"
    kept = list(tmp_path.rglob("replaced/*"))
    assert len(kept) == 1 and kept[0].read_bytes() == changed
    assert "written-through" not in kinds(engine.doctor().findings)
    assert not list(tmp_path.rglob(".hubfold-doctor-*"))


@pytest.mark.slow
def test_a_write_through_with_no_other_copy_is_told_and_nothing_touched(folded: Tree, engine: Engine) -> None:
    write_through(weights(folded))
    changed = weights(folded).read_bytes()
    found = [finding for finding in engine.doctor(fix=True).findings if finding.kind == "written-through"]
    assert found and all("no other copy" in finding.fix and not finding.fixed for finding in found)
    assert weights(folded).read_bytes() == changed


def test_verify_tells_the_blob_whose_bytes_are_not_its_name(folded: Tree, engine: Engine) -> None:
    write_through(weights(folded))
    problems = {problem.path: problem.kind for problem in engine.verify([folded["hf/hub"]]).problems}
    assert problems == {str(blob(folded)): "corrupt"}


@pytest.mark.slow
def test_a_link_that_its_object_does_not_list_is_noted_again(folded: Tree, engine: Engine) -> None:
    noted = Path(f"{weights(folded).resolve()}.links")
    noted.unlink()
    assert kinds(engine.doctor().findings)[0] == "vault-out-of-step"
    engine.doctor(fix=True)
    assert str(weights(folded)) in noted.read_text()
    assert engine.doctor().findings == ()


def test_interrupted_downloads_misplaced_caches_and_offline_roots_are_told(
    tree: Tree, engine: Engine, tmp_path: Path
) -> None:
    tree.hub.add("org/model", model_files("model"))
    tree.build(
        {
            "hf/hub": hub_cache("org/model"),
            "hf/hub/hub": hub_cache("org/model"),
            "gone": hub_cache("org/model"),
        }
    )
    tree["hf/hub/models--org--model/blobs/abc.incomplete"].write_bytes(b"half")
    engine.scan([tree["hf"], tree["gone"]])
    shutil.rmtree(tree["gone"])
    found = {finding.kind: finding for finding in engine.doctor().findings}
    begun = found["interrupted-download"]
    assert begun.path.endswith("abc.incomplete")
    assert "`hubfold clean --older-than 0` (by itself it takes what is older than 1d)" in begun.fix
    os.utime(begun.path, (1, 1))
    engine.scan()
    [begun] = [one for one in engine.doctor().findings if one.kind == "interrupted-download"]
    assert begun.fix.endswith("or `hubfold clean` to drop it"), "the plain command takes it now"
    assert found["misplaced-cache"].path == str(tree["hf/hub/hub"])
    assert found["offline-root"].path == str(tree["gone"])


def test_objects_that_nothing_needs_are_told(folded: Tree, engine: Engine) -> None:
    weights(folded).unlink()
    assert "unneeded-objects" in kinds(engine.doctor().findings)


@pytest.mark.slow
def test_each_hard_link_that_was_written_through_is_put_right(
    tree: Tree, engine: Engine, tmp_path: Path
) -> None:
    fold(build(tree), engine, LinkKind.HARDLINK)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    right = weights(tree).read_bytes()
    write_through(weights(tree))
    engine.doctor(fix=True)
    assert {path.read_bytes() == right for path in (weights(tree), blob(tree), blob(tree, "second/hub"))} == {
        True
    }
    assert os.path.samefile(blob(tree), weights(tree)) or blob(tree).read_bytes() == right


@pytest.mark.slow
def test_a_file_that_comes_while_a_blob_is_put_right_stays(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.care import exchange
    from hubfold.disk import directory as fsops

    fold(build(tree), engine)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    write_through(weights(tree))
    real = exchange.swap_in

    def late(directory: fsops.Directory, temporary: str, name: str) -> str:
        directory.unlink(name)
        Path(directory.path, name).write_bytes(b"newer")
        return real(directory, temporary, name)

    monkeypatch.setattr(exchange, "swap_in", late)
    engine.doctor(fix=True)
    assert blob(tree, "drive").stat().st_size > 1 << 20
    assert b"newer" in {path.read_bytes() for path in tree["second/hub"].glob("models--*/blobs/*")}
