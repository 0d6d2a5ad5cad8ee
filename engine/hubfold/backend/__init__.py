"""The plugin API. A plugin imports these names and nothing else; its tests import `hubfold.testing`.

`plugins/README.md` is the book of it. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold.lazy import hand_on

if TYPE_CHECKING:
    from hubfold.backend.changes import (
        Gap,
        Kept,
        Leftover,
        LeftoverKind,
        ModelPart,
        Offer,
        OfferedFile,
        PartPlace,
        Place,
        Removal,
        SharedContent,
        SharedPayload,
        ShownFile,
    )
    from hubfold.backend.contract import ALL_LINKS, Capabilities, Folder, StorageBackend, Walk
    from hubfold.backend.hookspecs import API_VERSION, hookimpl
    from hubfold.content import LinkKind, Partial, Replica, Role, Root, Snapshot, SnapshotFile

__all__ = [
    "ALL_LINKS",
    "API_VERSION",
    "Capabilities",
    "Folder",
    "Gap",
    "Kept",
    "Leftover",
    "LeftoverKind",
    "LinkKind",
    "ModelPart",
    "Offer",
    "OfferedFile",
    "PartPlace",
    "Partial",
    "Place",
    "Removal",
    "Replica",
    "Role",
    "Root",
    "SharedContent",
    "SharedPayload",
    "ShownFile",
    "Snapshot",
    "SnapshotFile",
    "StorageBackend",
    "Walk",
    "hookimpl",
]

__getattr__ = hand_on(
    __name__,
    {
        "contract": ("ALL_LINKS", "Capabilities", "Folder", "StorageBackend", "Walk"),
        "changes": (
            "Gap",
            "Kept",
            "Leftover",
            "LeftoverKind",
            "ModelPart",
            "Offer",
            "OfferedFile",
            "PartPlace",
            "Place",
            "Removal",
            "SharedContent",
            "SharedPayload",
            "ShownFile",
        ),
        "hookspecs": ("API_VERSION", "hookimpl"),
        "hubfold.content": ("LinkKind", "Partial", "Replica", "Role", "Root", "Snapshot", "SnapshotFile"),
    },
)
