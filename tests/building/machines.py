"""The hubfold of other machines, which backups are taken to."""

from __future__ import annotations

from pathlib import Path

from hubfold import Engine
from hubfold.testing.trees import Tree

FORMS = ["backup", "backup.tar", "backup.tar.zst"]


def of(tree: Tree, name: str, cache: Path) -> Engine:
    """The hubfold of a machine whose client has its cache there."""
    return Engine(
        tree.folder / f"state-{name}", environ={"HF_HUB_CACHE": str(cache), "HOME": str(tree.folder)}
    )
