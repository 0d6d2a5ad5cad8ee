"""What removing a model frees where files share extents."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, safetensors

from .filesystems import MIB, Mounts, run

pytestmark = pytest.mark.slow


def test_extents_that_another_file_has_are_not_freed_and_count_once(
    mounts: Mounts, loopback_hub: LoopbackHub, tmp_path: Path
) -> None:
    xfs = Path(mounts.image("xfs", 320 * MIB).path)
    loopback_hub.add("org/base", {"model.safetensors": safetensors("base", 4 * MIB)})
    tree = Tree(xfs, loopback_hub).build({"hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    with Engine(tmp_path / "state") as engine:
        for root in ("hub", "models"):
            engine.add_root(tree[root])
        [base] = engine.models().models
        assert base.physical_bytes == 8 * MIB
        assert base.freed_bytes is not None and 4 * MIB <= base.freed_bytes < 5 * MIB
        [blob] = tree["hub/models--org--base/blobs"].iterdir()
        run("cp", "--reflink=always", str(blob), str(xfs / "by-hand.safetensors"))
        [base] = engine.models().models
        assert base.freed_bytes is not None and base.freed_bytes < MIB, (
            "a file that is no model's has its extents"
        )
        (xfs / "by-hand.safetensors").unlink()
        shutil.rmtree(tree["models/base"])
        tree.build({"models/base": local_dir("org/base")})
        engine.scan([tree["hub"], tree["models"]])
        engine.apply(engine.plan([tree["hub"], tree["models"]]))
        [base] = engine.models().models
        assert base.physical_bytes == 4 * MIB, "folded: one set of extents for both"
        assert base.freed_bytes is not None and base.freed_bytes < MIB
