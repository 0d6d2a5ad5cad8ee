"""Which backends there are: plugins found by entry point, built into a registry by one function."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import pluggy

from hubfold.backend import distributions, hookspecs
from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution
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
    origins: dict[str, _Origin] = {}
    only_own = environ.get(BLOCK_VARIABLE, "") not in ("", "0")
    for distribution in _with_plugins(only_own, broken):
        for entry_point in distribution.entry_points:
            origin = _Origin(entry_point.name, distribution.name, distribution.version)
            # Two distributions may give their entry points one name; pluggy wants a name for each.
            key = f"{origin.distribution}:{origin.plugin}"
            try:
                manager.register(entry_point.load(), name=key)
                manager.check_pending()
            except _ANYTHING as error:
                manager.unregister(name=key)
                broken.append(origin.broken(error))
            else:
                origins[key] = origin
    for module in modules:
        manager.register(module)
    manager.check_pending()
    return _collect(manager, origins, broken)


#: What somebody else's code can raise. `SystemExit` is no `Exception`: a module that exits must not end hubfold.
_ANYTHING = (Exception, SystemExit)


@dataclass(frozen=True, slots=True)
class _Origin:
    plugin: str
    distribution: str
    version: str

    def broken(self, error: BaseException) -> BrokenPlugin:
        return BrokenPlugin(
            self.plugin, f"{self.distribution} {self.version}", f"{type(error).__name__}: {error}"
        )


class _EntryPoint(Protocol):
    """What is needed of `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str: ...

    def load(self) -> object: ...


@dataclass(frozen=True, slots=True)
class _Distribution:
    name: str
    version: str
    entry_points: tuple[_EntryPoint, ...]


class BuiltIn:
    """Our own entry point, as ``pyproject.toml`` declares it (a test holds the two together)."""

    name = "builtin"
    module = "hubfold_plugins"

    def load(self) -> object:
        return import_module(self.module)


def _with_plugins(only_own: bool, broken: list[BrokenPlugin]) -> list[_Distribution]:
    """Installed distributions with plugins, hubfold's own first, then by name, each name once."""
    own = _Distribution(hookspecs.PROJECT, distributions.version_of(hookspecs.PROJECT), (BuiltIn(),))
    if only_own or not distributions.others_may_have(ENTRY_POINT_GROUP, besides=hookspecs.PROJECT):
        return [own]
    return [own, *_others(broken)]


def _others(broken: list[BrokenPlugin]) -> list[_Distribution]:
    from importlib import metadata

    found: dict[str, _Distribution] = {}
    for distribution in metadata.distributions():
        try:
            # The text is asked first: parsing every entry_points.txt of a big environment costs more than the rest
            # of start-up.
            if f"[{ENTRY_POINT_GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
        except (OSError, ValueError):
            continue
        try:
            name, version = distribution.metadata["Name"], distribution.version
            points = tuple(point for point in distribution.entry_points if point.group == ENTRY_POINT_GROUP)
            if not isinstance(name, str):
                raise ValueError("its metadata has no name")
        except _ANYTHING as error:
            broken.append(_Origin("?", f"a distribution in {_place(distribution)}", "").broken(error))
            continue
        if name != hookspecs.PROJECT:
            found.setdefault(name, _Distribution(name, version, points))
    return sorted(found.values(), key=lambda one: one.name)


def _place(distribution: Distribution) -> str:
    return str(distribution.locate_file(""))


def _collect(
    manager: pluggy.PluginManager, origins: Mapping[str, _Origin], broken: list[BrokenPlugin]
) -> Registry:
    backends: dict[str, LoadedBackend] = {}
    for implementation in manager.hook.hubfold_storage_backends.get_hookimpls():
        origin = origins.get(
            implementation.plugin_name, _Origin(implementation.plugin_name, "no distribution", "?")
        )
        try:
            classes = [_checked(cls) for cls in cast("Iterable[object]", implementation.function())]
        except _ANYTHING as error:
            broken.append(origin.broken(error))
            continue
        for cls in classes:
            if cls.name in backends:
                other = backends[cls.name]
                raise PluginError(
                    f"two plugins have a backend called {cls.name!r}: {other.plugin!r} ({other.distribution}) "
                    f"and {origin.plugin!r} ({origin.distribution})",
                    f"uninstall one of them, or set {BLOCK_VARIABLE}=1 to leave out all but hubfold's own",
                )
            backends[cls.name] = LoadedBackend(cls, origin.plugin, origin.distribution, origin.version)
    return Registry(backends, tuple(broken))


def _checked(cls: object) -> type[StorageBackend]:
    if not (isinstance(cls, type) and issubclass(cls, StorageBackend)):
        raise TypeError(f"{cls!r} is not a subclass of hubfold.StorageBackend")
    if not isinstance(getattr(cls, "name", None), str) or not cls.name:
        raise TypeError(f"{cls.__qualname__} has no `name`")
    return cls
