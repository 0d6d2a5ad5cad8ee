"""A `hubfold` with a home of its own, and copies of one model to run it on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.building.program import COMMIT, Folded, Program, Scene


@pytest.fixture
def hubfold(tmp_path: Path) -> Program:
    return Program(tmp_path / "home")


@pytest.fixture
def scene(hubfold: Program) -> Scene:
    made = Scene(hubfold.home, 2 << 20)
    content = os.urandom(made.size)
    tuned = bytearray(content)
    tuned[made.size // 2] ^= 1
    repo = made.hub / "models--org--base"
    for folder in (repo / "blobs", repo / "refs", made.snapshot.parent, made.models / "base"):
        folder.mkdir(parents=True)
    (repo / "blobs" / hashlib.sha256(content).hexdigest()).write_bytes(content)
    (repo / "refs" / "main").write_text(COMMIT)
    made.snapshot.symlink_to(Path("../../blobs") / made.blob.name)
    for copy in made.copies:
        copy.write_bytes(content)
    made.tuned.write_bytes(tuned)
    return made


@pytest.fixture
def folded(hubfold: Program, scene: Scene) -> Folded:
    """A finished run and what was there before it."""
    before = scene.photograph()
    return hubfold("consolidate", "hf", "models", "-y", "--json").json["run"], before
