"""An engine with a home of its own, and a user whose client downloads from a Hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing.trees import Tree
from tests.building.library import GGUF


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as made:
        yield made


@pytest.fixture
def user(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A user whose cache is ``hf/hub`` and whose Hub has org/many."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    tree.hub.add("org/many", GGUF)
    with Engine() as engine:
        yield engine
