"""The plugin API. A backend imports these names, `hubfold.content` and `hubfold.hookimpl`, and nothing else.

Names are imported when they are first used.
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
        SharedPayload,
    )
    from hubfold.backend.contract import ALL_LINKS, Capabilities, Folder, StorageBackend, Walk

__all__ = [
    "ALL_LINKS",
    "Capabilities",
    "Folder",
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
    "SharedPayload",
    "StorageBackend",
    "Walk",
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
            "SharedPayload",
        ),
    },
)
