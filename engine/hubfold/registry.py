"""Which backends there are: plugins found by entry point, built into a registry by one function."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import TYPE_CHECKING, cast

import pluggy
from hubfold import hookspecs
from hubfold.backend import Capabilities, StorageBackend
from hubfold.errors import PluginError

if TYPE_CHECKING:
    from types import ModuleType

ENTRY_POINT_GROUP = "hubfold"

#: Set to anything but "" or "0", only the plugins of hubfold's own distribution are loaded.
BLOCK_VARIABLE = "HUBFOLD_NO_PLUGINS"


@dataclass(frozen=True, slots=True)
class LoadedBackend:
    """One backend class and where it comes from."""

    backend: type[StorageBackend]
    plugin: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be loaded; everything else goes on without it."""

    plugin: str
    distribution: str
    error: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} is left out: {self.error}"


@dataclass(frozen=True, slots=True)
class Registry(Mapping[str, LoadedBackend]):
    """The loaded backends by name, in order of registration, and the plugins that failed."""

    backends: Mapping[str, LoadedBackend]
    broken: tuple[BrokenPlugin, ...] = ()

    def __getitem__(self, name: str) -> LoadedBackend:
        return self.backends[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.backends)

    def __len__(self) -> int:
        return len(self.backends)

    def named(self, name: str) -> StorageBackend:
        """An instance of the backend called `name`; `PluginError` where none is loaded."""
        if name not in self.backends:
            raise PluginError(
                f"no backend is called {name!r}",
                f"loaded are: {', '.join(self.backends)} (see `hubfold plugins`)",
            )
        return self.backends[name].backend()


def load(environ: Mapping[str, str] = os.environ, *modules: ModuleType) -> Registry:
    """Load every plugin and return the registry; `modules` are registered as plugins too (for tests).

    Raises `PluginError` where two backends have one name: which of them would own a root must not depend on luck.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    broken: list[BrokenPlugin] = []
    origins: dict[str, tuple[str, str]] = {}
    only_own = environ.get(BLOCK_VARIABLE, "") not in ("", "0")
    for distribution, entry_point in _entry_points():
        name, version = distribution.metadata["Name"], distribution.version
        if only_own and name != hookspecs.PROJECT:
            continue
        try:
            manager.register(entry_point.load(), name=entry_point.name)
        except Exception as error:  # noqa: BLE001 - anything can go wrong in somebody else's code
            broken.append(BrokenPlugin(entry_point.name, f"{name} {version}", _reason(error)))
        else:
            origins[entry_point.name] = (name, version)
    for module in modules:
        manager.register(module)
    manager.check_pending()
    return _collect(manager, origins, broken)


def _entry_points() -> Iterator[tuple[Distribution, EntryPoint]]:
    """Entry points with their distributions, hubfold's own first, then by name, each distribution once."""
    found: dict[str, tuple[Distribution, list[EntryPoint]]] = {}
    for distribution in distributions():
        # The files of an installed distribution are asked for text first: parsing every entry_points.txt of a big
        # environment costs more than the rest of start-up.
        text = distribution.read_text("entry_points.txt") or ""
        if f"[{ENTRY_POINT_GROUP}]" not in text:
            continue
        points = [point for point in distribution.entry_points if point.group == ENTRY_POINT_GROUP]
        found.setdefault(distribution.metadata["Name"], (distribution, points))
    for name in sorted(found, key=lambda name: (name != hookspecs.PROJECT, name)):
        distribution, points = found[name]
        for point in points:
            yield distribution, point


def _collect(
    manager: pluggy.PluginManager, origins: Mapping[str, tuple[str, str]], broken: list[BrokenPlugin]
) -> Registry:
    backends: dict[str, LoadedBackend] = {}
    for implementation in manager.hook.hubfold_storage_backends.get_hookimpls():
        plugin = implementation.plugin_name
        distribution, version = origins.get(plugin, (plugin, "?"))
        try:
            classes = [_checked(cls) for cls in cast("Iterable[object]", implementation.function())]
        except Exception as error:  # noqa: BLE001 - a fault in one plugin stops nothing else
            broken.append(BrokenPlugin(plugin, f"{distribution} {version}", _reason(error)))
            continue
        for cls in classes:
            if cls.name in backends:
                raise PluginError(
                    f"two plugins have a backend called {cls.name!r}: {backends[cls.name].plugin} "
                    f"({backends[cls.name].distribution}) and {plugin} ({distribution})",
                    f"uninstall one of them, or set {BLOCK_VARIABLE}=1 to leave out all but hubfold's own",
                )
            backends[cls.name] = LoadedBackend(cls, plugin, distribution, version)
    return Registry(backends, tuple(broken))


def _checked(cls: object) -> type[StorageBackend]:
    if not (isinstance(cls, type) and issubclass(cls, StorageBackend)):
        raise TypeError(f"{cls!r} is not a subclass of hubfold.StorageBackend")
    if not isinstance(getattr(cls, "name", None), str) or not cls.name:
        raise TypeError(f"{cls.__qualname__} has no `name`")
    return cls


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
