"""Actions in batches: by keeper, never parting the names of a file, as many as can be held open."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.folding import swaps
from hubfold.folding.plan import Plan
from tests.building.descriptors import nothing_stays_open
from tests.building.executing import MODEL, Folding


@pytest.fixture
def scene(tmp_path: Path) -> Folding:
    return Folding(tmp_path)


def batches(scene: Folding) -> list[list[str]]:
    """The names that were announced together."""
    found: list[list[str]] = [[]]
    for line in Path(scene.log().path).read_text().splitlines():
        record = json.loads(line)
        if record["record"] == "intent":
            found[-1].append(os.path.basename(record["path"]))
        elif record["record"] == "done" and found[-1]:
            found.append([])
    return [names for names in found if names]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, [["a"], ["b", "c"], ["d"]]),
        (2, [["a", "b", "c"], ["d"]]),
        (3, [["a", "b", "c"], ["d"]]),
        (4, [["a", "b", "c", "d"]]),
    ],
)
def test_batches_never_part_the_names_of_a_file(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, limit: int, expected: list[list[str]]
) -> None:
    monkeypatch.setattr(swaps, "BATCH_ACTIONS", limit)
    a, b, d = (scene.file(scene.models, name, MODEL) for name in "abd")
    os.link(b, scene.models / "c")
    assert scene.errors(a, b, scene.models / "c", d) == [""] * 4
    assert batches(scene) == expected
    assert {path.stat().st_ino for path in scene.models.iterdir() if path.is_symlink()} == {
        scene.blob.stat().st_ino
    }


@pytest.mark.parametrize(
    ("readers", "constant", "limit", "expected"),
    [
        (1, "BATCH_BYTES", len(MODEL), [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        (1, "BATCH_BYTES", 2 * len(MODEL), [["a", "b"], ["c", "d"], ["e", "f"]]),
        (1, "BATCH_BYTES", 2 * len(MODEL) + 1, [["a", "b", "c"], ["d", "e", "f"]]),
        # What can be read at once is: else large files would be read one by one.
        (2, "BATCH_BYTES", len(MODEL), [["a", "b"], ["c", "d"], ["e", "f"]]),
        (3, "BATCH_BYTES", len(MODEL), [["a", "b", "c"], ["d", "e", "f"]]),
        (3, "BATCH_ACTIONS", 2, [["a", "b"], ["c", "d"], ["e", "f"]]),
        (1, "BATCH_ACTIONS", 6, [["a", "b", "c", "d", "e", "f"]]),
    ],
)
def test_a_batch_ends_when_it_has_enough_files_or_bytes_of_keepers(
    scene: Folding,
    monkeypatch: pytest.MonkeyPatch,
    readers: int,
    constant: str,
    limit: int,
    expected: list[list[str]],
) -> None:
    scene.readers = readers
    monkeypatch.setattr(swaps, constant, limit)
    plans = []
    for name in "abcdef":
        content = os.urandom(len(MODEL))
        blob = scene.file(scene.cache, f"blobs/{name}", content)
        plans.append(scene.plan(blob, scene.file(scene.models, name, content)))
    assert not any(o.error for o in scene.run(Plan(tuple(a for what in plans for a in what.actions))))
    assert batches(scene) == expected


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    with nothing_stays_open():
        yield
