"""A cache with a model, served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from hubfold import Engine
from hubfold.serving import proof
from hubfold.testing.trees import Tree, hub_cache, safetensors

if TYPE_CHECKING:
    from tests.building.serving import Served

WEIGHTS = safetensors("weights", 3 << 20)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "sub/notes.txt": b"notes"}


@pytest.fixture
def cached(tree: Tree) -> Tree:
    tree.hub.add("org/base", FILES)
    tree.hub.add("org/data", {"part.parquet": b"rows"}, repo_type="dataset")
    return tree.build({"hf/hub": hub_cache("org/base", "datasets/org/data")})


@pytest.fixture
def engine(cached: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("HF_HUB_CACHE", str(cached["hf/hub"]))
    # What was made just now is waited for else.
    monkeypatch.setattr(proof, "SETTLED", 0)
    environ = {**os.environ, "HF_HUB_CACHE": str(cached["hf/hub"]), "HOME": str(cached.folder)}
    with Engine(cached.folder / "state", environ=environ) as one:
        yield one


@pytest.fixture
def serving(engine: Engine) -> Iterator[Served]:
    # Which skips the test where it cannot be done: not all of the tests here.
    from tests.building.serving import served

    with served(engine) as one:
        yield one
