"""The hooks of hubfold: everything that a plugin can take part in.

A plugin is a module with functions of these names, marked with `hubfold.hookimpl`, in a distribution with an entry
point in the group ``hubfold``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from hubfold.backend.contract import StorageBackend

PROJECT = "hubfold"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def hubfold_storage_backends() -> Iterable[type[StorageBackend]]:  # type: ignore[empty-body]
    """Return the backend classes of this plugin.

    Fires once, when an `Engine` (or a command) first needs a backend. Two backends of one name are an error that
    names both plugins.
    """
