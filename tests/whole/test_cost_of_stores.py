"""What stores of other programs cost grows with their models, never with the square of these."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.scanning.walk import TreeWalk
from tests.building import ollama, tree


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


def folders_read(home: Path, models: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many folders are read to plan a backup of all models."""
    read, count = TreeWalk._read, 0

    def counted(walk: TreeWalk, path: str, visited: set[tuple[int, int]]) -> object:
        nonlocal count
        count += 1
        return read(walk, path, visited)

    stores = fill(home, models)
    with Engine(environ=tree.environment(str(home))) as engine:
        for store in stores.values():
            engine.add_root(store)
        with monkeypatch.context() as patch:
            patch.setattr(TreeWalk, "_read", counted)
            plan = engine.plan_backup(home / "backup")
    assert len(plan.models) == 2 * models
    return count


def test_planning_a_backup_reads_a_store_once_for_all_of_its_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = folders_read(tmp_path / "few", 4, monkeypatch)
    many = folders_read(tmp_path / "many", 24, monkeypatch)
    assert many < 8 * few, (few, many)
