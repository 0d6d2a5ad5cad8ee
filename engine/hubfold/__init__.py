"""hubfold keeps one copy of every model file.

    from hubfold import Engine

    with Engine() as engine:
        plan = engine.plan(["~/models"])
        print(plan.bytes)
        report = engine.apply(plan)

Names are imported when they are first used, so that ``import hubfold`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubfold.backend import Capabilities, Folder, StorageBackend, Walk
    from hubfold.content import DuplicateSet, LinkKind, Replica, Role, Root
    from hubfold.engine import Engine
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
    from hubfold.hookspecs import hookimpl
    from hubfold.manager import ModelCacheManager, check_model_availability
    from hubfold.plan import Action, Plan
    from hubfold.progress import Progress, Stop

#: Where each public name lives. `tests/test_architecture.py` holds this table against the imports above.
_HOMES = {
    "backend": ("Capabilities", "Folder", "StorageBackend", "Walk"),
    "content": ("DuplicateSet", "LinkKind", "Replica", "Role", "Root"),
    "engine": ("Engine",),
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
    "hookspecs": ("hookimpl",),
    "manager": ("ModelCacheManager", "check_model_availability"),
    "plan": ("Action", "Plan"),
    "progress": ("Progress", "Stop"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from hubfold import installed

        return installed.version_of("hubfold")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'hubfold' has no attribute {name!r}")
    value = getattr(import_module(f"hubfold.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
