"""What stores of other programs cost grows with their models, never with the square of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.scanning.walk import TreeWalk
from tests.building import ollama, tree

Work = Callable[[Engine, Path, int], None]


def fill(home: Path, models: int) -> dict[str, Path]:
    """Stores with so many models each."""
    stores = {"ollama": home / ".ollama/models", "lm-studio": home / ".lmstudio/models"}
    for number in range(models):
        weights = f"GGUF {number}".encode()
        ollama.model(stores["ollama"], f"{ollama.LIBRARY}/m{number}/latest", {"model": weights})
        path = stores["lm-studio"] / f"org/r{number}/model.gguf"
        path.parent.mkdir(parents=True)
        path.write_bytes(weights)
    return stores


def back_up(engine: Engine, home: Path, models: int) -> None:
    assert len(engine.plan_backup(home / "backup").models) == 2 * models


def remove(engine: Engine, home: Path, models: int) -> None:
    plan = engine.plan_remove([f"m{number}:latest" for number in range(models)], with_copies=True)
    report = engine.apply_removal(plan)
    assert len(report.models) == models and not report.failed
    assert not list((home / ".ollama/models/blobs").iterdir())


def folders_read(home: Path, models: int, patch: pytest.MonkeyPatch, work: Work) -> int:
    """How many folders are read for work on all models."""
    read, count = TreeWalk._read, 0

    def counted(walk: TreeWalk, path: str, visited: set[tuple[int, int]]) -> object:
        nonlocal count
        count += 1
        return read(walk, path, visited)

    stores = fill(home, models)
    with Engine(environ=tree.environment(str(home))) as engine:
        for store in stores.values():
            engine.add_root(store)
        with patch.context() as counting:
            counting.setattr(TreeWalk, "_read", counted)
            work(engine, home, models)
    return count


@pytest.mark.parametrize("work", [back_up, remove])
def test_what_is_done_with_all_models_of_a_store_reads_it_as_often_as_with_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    few = folders_read(tmp_path / "few", 4, monkeypatch, work)
    many = folders_read(tmp_path / "many", 24, monkeypatch, work)
    assert many < 8 * few, (few, many)
