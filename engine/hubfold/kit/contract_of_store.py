"""The contract, held against a store that an author names: what `hubfold plugins check` runs by pytest.

The store is copied first: the suite removes models, and folds.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hubfold.content import Root
from hubfold.kit.look import BACKEND, STORE, backend_class
from hubfold.scanning.walk import TreeWalk
from hubfold.testing import BackendContract, Built


class TestStore(BackendContract):
    """`BackendContract` of the backend and the store in the environment."""

    if BACKEND in os.environ:
        backend = backend_class(os.environ[BACKEND])

    def build(self, folder: Path) -> Built:
        target = folder / "store"
        shutil.copytree(os.environ[STORE], target, symlinks=True)
        root = Root(str(target), self.backend.name)
        walk = TreeWalk(root, {self.backend.name: self.guarded()})
        found: list[str] = []
        self.guarded().replicas(root, walk, lambda one: found.append(os.path.relpath(one.path, target)))
        if not found:
            pytest.fail("the backend finds no content in this store")
        return Built(target, found)
