"""A cache with two models, and a place on another drive that they may move to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.reports.moves import MoveReport
from tests.building import tree

#: One in each size: only the first becomes a link.
ONE = {"model.safetensors": tree.model("weights"), "config.json": b'{"small": true}'}
TWO = {"sub/other.safetensors": tree.model("other")}


@dataclass(frozen=True)
class Machine:
    """`hub` is the client's cache, `slow` one that is not there yet, on another drive."""

    engine: Engine
    hub: Path
    slow: Path
    before: dict[str, tree.Seen]

    def move(self, *models: str, **how: object) -> MoveReport:
        return self.engine.apply_move(self.engine.plan_move(models, self.slow, **how))  # type: ignore[arg-type]

    def blob(self, name: str = "model.safetensors", repo: str = "org/one") -> Path:
        folder = self.hub / f"models--{repo.replace('/', '--')}" / "snapshots" / ("a" * 40) / name
        return Path(os.path.normpath(folder.parent / os.readlink(folder)))

    def losses(self) -> list[str]:
        return tree.losses(self.before, str(self.hub))


@pytest.fixture
def machine(tmp_path: Path, other_drive: Path) -> Iterator[Machine]:
    hub = tmp_path / "hf" / "hub"
    tree.cache(str(hub), "org/one", ONE)
    tree.cache(str(hub), "org/two", TWO)
    environ = {**tree.environment(str(tmp_path)), "HF_HOME": str(hub.parent)}
    before = tree.census(str(hub))
    with Engine(tmp_path / "state", environ=environ) as engine:
        yield Machine(engine, hub, other_drive / "hub", before)
