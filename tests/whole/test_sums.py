"""Totals of random trees agree: scan, dupes, plan, run, status, `ls`, `watch --once` and what the disk itself says.

The rules: a file counts once however many names it has, by allocated blocks, and where one of its names lies in a cache
it counts there. `scan` and `hubfold` count all content, `ls` and `watch` what models refer to (here: all but the
plain copies), and what is reclaimable is what the plan frees, to the byte.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, LinkKind
from hubfold.journal import journal
from hubfold.reports.scans import ScanReport
from tests.building import tree
from tests.building.weights import weights

#: Without these, what lies in a cache or a copy is content; an object of a vault is a name of a file that is kept.
NO_CONTENT = {"refs", ".no_exist", ".locks", ".cache", ".hubfold"}


class Place:
    """Caches, copies that a client made, and plain copies, by chance."""

    def __init__(self, base: Path, seed: int) -> None:
        self.base, self.chance = base, random.Random(seed)
        self.caches = [base / name / "hub" for name in ("hf", "project")]
        self.copies = [base / "downloaded"]
        self.plain = base / "plain"
        self.files: list[str] = []
        for number in range(self.chance.randint(2, 4)):
            self._model(f"org/model-{number}", number)
        for number in range(self.chance.randint(0, 4)):
            self._plain(number)

    @property
    def roots(self) -> list[Path]:
        return [root for root in (*self.caches, *self.copies, self.plain) if root.exists()]

    def _model(self, repo_id: str, number: int) -> None:
        contents = {
            f"part-{part}.safetensors": self._content(self.chance.choice([part, 10 * number + part]))
            for part in range(self.chance.randint(1, 3))
        }
        for cache in self.chance.sample(self.caches, self.chance.randint(1, 2)):
            self.files += tree.cache(str(cache), repo_id, contents).values()
        if self.chance.random() < 0.6:
            folder = self.copies[0] / repo_id.replace("/", "-")
            tree.local_dir(str(folder), contents)
            self.files += [str(folder / name) for name in contents]

    def _plain(self, number: int) -> None:
        source = self.chance.choice(self.files)
        target = self.plain / f"{number}.safetensors"
        self.plain.mkdir(exist_ok=True)
        if self.chance.random() < 0.3:
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    def _content(self, number: int) -> bytes:
        path = weights(self.base / "made", number, size=4000 + 3000 * number)
        content = path.read_bytes()
        path.unlink()
        return content

    def disk(self, *roots: Path) -> int:
        """What the disk says the content of these takes, without asking hubfold."""
        found: dict[tuple[int, int], int] = {}
        for root in roots:
            for folder, folders, names in os.walk(root):
                folders[:] = [name for name in folders if name not in NO_CONTENT]
                for name in names:
                    st = os.stat(os.path.join(folder, name))
                    found[st.st_dev, st.st_ino] = st.st_blocks * 512
        return sum(found.values())


@pytest.fixture(params=[101, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(102, 120))])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    return Place(tmp_path, request.param)


@pytest.fixture
def engine(place: Place) -> Iterator[Engine]:
    with Engine(place.base / "state", environ={"HOME": str(place.base)}) as made:
        for root in place.roots:
            made.add_root(root)
        yield made


def agreed(engine: Engine, place: Place) -> ScanReport:
    """A scan, after all that is told of sums was held against it and against the disk."""
    report = engine.scan(min_size=1)
    space, status = report.space, engine.space()
    assert space is not None
    assert (space.cache_bytes, space.copy_bytes, space.vault_bytes) == (
        status.cache_bytes, status.copy_bytes, status.vault_bytes,
    )  # fmt: skip
    assert space.vault_bytes == 0, "each object is a name of a kept file"
    assert space.total_bytes == place.disk(*place.roots)
    assert space.cache_bytes == place.disk(*(cache for cache in place.caches if cache.exists()))
    plan = engine.plan(min_size=1)
    dupes = engine.dupes(min_size=1)
    assert report.reclaimable_bytes == plan.bytes == engine.preview(plan).reclaimed_bytes
    assert dupes.reclaimable_bytes == plan.bytes == sum(freed for _, freed in dupes.sets)
    models = engine.models()
    assert models.physical_bytes == engine.look().physical_bytes
    assert models.physical_bytes == sum(model.physical_bytes for model in models.models)
    assert models.physical_bytes == place.disk(*(root for root in place.roots if root != place.plain))
    return report


@pytest.mark.parametrize("kind", [None, pytest.param(LinkKind.SYMLINK, marks=pytest.mark.slow)])
def test_all_that_is_told_of_space_agrees_before_and_after_a_fold_and_its_undo(
    place: Place, engine: Engine, kind: LinkKind | None
) -> None:
    before = agreed(engine, place)
    assert before.space is not None and before.space.saved_bytes == 0
    plan = engine.plan(min_size=1, link=kind)
    done = engine.apply(plan)
    assert not done.failed and done.reclaimed_bytes == plan.bytes
    now = engine.space()
    assert now.total_bytes == before.space.total_bytes - plan.bytes, "known at once, without a scan"
    assert now.saved_bytes == plan.bytes
    after = agreed(engine, place)
    assert after.space is not None and after.space.total_bytes == now.total_bytes
    assert after.reclaimable_bytes == (0 if kind is None else before.reclaimable_bytes - plan.bytes)
    if done.actions:
        engine.undo()
        told = engine.space()
        assert (told.total_bytes, told.saved_bytes) == (before.space.total_bytes, 0), "known without a scan"
        assert engine.dupes(min_size=1).reclaimable_bytes == before.reclaimable_bytes
        again = agreed(engine, place)
        assert again.space is not None
        assert (again.space.total_bytes, again.space.saved_bytes) == (before.space.total_bytes, 0)
        assert again.reclaimable_bytes == before.reclaimable_bytes


def test_what_folds_saved_is_kept_with_the_index_and_known_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        weights(tmp_path / "plain" / name / "m.safetensors")
    with Engine() as engine:
        engine.add_root(tmp_path / "plain")
        engine.scan()
        freed = engine.apply(engine.plan()).reclaimed_bytes
        assert freed and engine.saved() == freed
    with Engine() as engine:
        engine.scan()
    with monkeypatch.context() as patch, Engine() as engine:
        patch.setattr(journal, "read", lambda runs, run: pytest.fail("it was read before"))
        again = engine.scan()
        assert again.space is not None and again.space.saved_bytes == freed == engine.saved()
        path = engine.state.index
    os.unlink(path)
    with Engine() as engine:
        assert engine.saved() == freed
