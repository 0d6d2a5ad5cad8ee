"""The hooks of hubfold: everything that a plugin can take part in.

A plugin is a module with functions of these names, marked with `hubfold.hookimpl`, in a distribution with an entry
point in the group ``hubfold``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from hubfold.backend.contract import StorageBackend
    from hubfold.content import Root

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


# policies: what a plugin raises here stops that plugin's hook, and nothing else


@hookspec
def hubfold_prefer(candidates: Sequence[str], digests: Mapping[str, str], size: int) -> str | None:
    """Return the one of `candidates` that is to be kept, or None for no opinion.

    `candidates` are the paths of the copies of one content of `size` bytes, `digests` what is known of it (algorithm →
    hex). Fires for each duplicate set when a plan is made. The first plugin that has an opinion counts, and only where
    a link to that copy may stand in place of the others.
    """


@hookspec
def hubfold_veto(action: Any) -> str | None:
    """Return why `action` (`hubfold.Action`) must not be done, as half a sentence, or None.

    Fires for each action when a plan is made, and once more right before the plan is applied. With one name of a file
    all of its names stay.
    """


@hookspec
def hubfold_before_run(command: str) -> None:
    """Take note that `command` is about to change something. Fires once a run, under its lock, before any change."""


@hookspec
def hubfold_after_run(command: str, run: str, paths: Sequence[str]) -> None:
    """Do what has to be done once paths have changed (``git update-index --refresh``).

    Fires once a run, after it has ended and let go of its lock, whether it finished or not. `paths` are those that are
    links now, or files of their own again; `run` is what ``hubfold runs`` calls it.
    """


@hookspec
def hubfold_findings(roots: Sequence[Root]) -> Iterable[tuple[str, str, str, str]]:  # type: ignore[empty-body]
    """Return what ``hubfold doctor`` is to tell: (kind, path, message, hint) each. Fires once, at its end."""


@hookspec
def hubfold_settings(settings: Mapping[str, Any]) -> None:
    """Take the section ``[plugins.NAME]`` of ``config.toml``; NAME is the plugin's entry point. Empty without one.

    Fires once, before the first other hook. Raise `ValueError` with what is wrong with it.
    """


@hookspec
def hubfold_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Return commands of the plugin's own, for ``hubfold NAME``; those of hubfold have precedence.

    Fires where a command line names none of hubfold's commands.
    """
