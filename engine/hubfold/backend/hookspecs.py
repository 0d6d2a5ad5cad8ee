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

#: The version of the plugin API: it goes up when something that a plugin may rely on is taken away or means something
#: else. A plugin states the one it was written for as ``HUBFOLD_API`` in its module.
API_VERSION = 1
#: The oldest that still works.
OLDEST_API = 1
#: What a plugin's module states it by.
API_NAME = "HUBFOLD_API"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def hubfold_storage_backends() -> Iterable[type[StorageBackend]]:  # type: ignore[empty-body]
    """Return the backend classes of this plugin.

    Fires once, when an `Engine` (or a command) first needs a backend. Two backends of one name are an error that
    names both plugins.
    """
