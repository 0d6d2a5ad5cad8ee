"""hubfold keeps one copy of every model file.

    from hubfold import Engine

    with Engine() as engine:
        plan = engine.plan(["~/models"])
        print(plan.bytes)
        report = engine.apply(plan)

Names are imported when they are first used, so that ``import hubfold`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubfold.lazy import hand_on

if TYPE_CHECKING:
    from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
    from hubfold.backend.hookspecs import hookimpl
    from hubfold.content import DuplicateSet, LinkKind, Replica, Role, Root
    from hubfold.engine.engine import Engine
    from hubfold.errors import (
        HubfoldError,
        IndexDamaged,
        Interrupted,
        JournalDamaged,
        LeftAlone,
        Locked,
        NeedsConfirmation,
        NoSpace,
        PluginError,
        RootError,
        RunNotFound,
        UsageError,
    )
    from hubfold.folding.plan import Action, Plan
    from hubfold.manager import ModelCacheManager, check_model_availability
    from hubfold.progress import Progress, Stop

#: Where each public name lives. `tests/test_architecture.py` holds this table against the imports above.
_HOMES = {
    "backend.contract": ("Capabilities", "Folder", "StorageBackend", "Walk"),
    "backend.hookspecs": ("hookimpl",),
    "content": ("DuplicateSet", "LinkKind", "Replica", "Role", "Root"),
    "engine.engine": ("Engine",),
    "errors": (
        "HubfoldError",
        "IndexDamaged",
        "Interrupted",
        "JournalDamaged",
        "LeftAlone",
        "Locked",
        "NeedsConfirmation",
        "NoSpace",
        "PluginError",
        "RootError",
        "RunNotFound",
        "UsageError",
    ),
    "folding.plan": ("Action", "Plan"),
    "manager": ("ModelCacheManager", "check_model_availability"),
    "progress": ("Progress", "Stop"),
}

__all__ = [
    "Action",
    "Capabilities",
    "DuplicateSet",
    "Engine",
    "Folder",
    "HubfoldError",
    "IndexDamaged",
    "Interrupted",
    "JournalDamaged",
    "LeftAlone",
    "LinkKind",
    "Locked",
    "ModelCacheManager",
    "NeedsConfirmation",
    "NoSpace",
    "Plan",
    "PluginError",
    "Progress",
    "Replica",
    "Role",
    "Root",
    "RootError",
    "RunNotFound",
    "Stop",
    "StorageBackend",
    "UsageError",
    "Walk",
    "__version__",
    "check_model_availability",
    "hookimpl",
]


_hand_on = hand_on(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from hubfold.backend import distributions

        return distributions.version_of("hubfold")
    return _hand_on(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
