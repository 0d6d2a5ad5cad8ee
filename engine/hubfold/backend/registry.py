"""Which backends there are: plugins found by entry point, built into a registry by one function."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import pluggy

from hubfold.backend import distributions, hookspecs, one_file
from hubfold.backend.boundary import GuardedBackend, guarded, told
from hubfold.backend.policies import Hook
from hubfold.errors import PluginError
from hubfold.faults import Fault, Faults, Origin

if TYPE_CHECKING:
    from importlib.metadata import Distribution
    from types import ModuleType

    from hubfold.backend.contract import Capabilities
    from hubfold.backend.territory import Disk

ENTRY_POINT_GROUP = "hubfold"

#: Set to anything but "" or "0", only the plugins of hubfold's own distribution are loaded.
BLOCK_VARIABLE = "HUBFOLD_NO_PLUGINS"


class LoadedBackend(NamedTuple):
    """One backend and where it comes from."""

    backend: GuardedBackend

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    @property
    def plugin(self) -> str:
        return self.backend.origin.plugin

    @property
    def distribution(self) -> str:
        return self.backend.origin.distribution

    @property
    def version(self) -> str:
        return self.backend.origin.version


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that was loaded: the version of the API that it states, its hooks, and what its import took."""

    origin: Origin
    api: int
    hooks: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Registry(Mapping[str, LoadedBackend]):
    """The loaded backends by name, in the order in which they are asked, and the plugins that failed."""

    backends: Mapping[str, LoadedBackend]
    #: What could not be loaded; everything else goes on without it.
    broken: tuple[Fault, ...] = ()
    plugins: tuple[LoadedPlugin, ...] = ()
    #: By the name of a hook, but for that of backends: who takes part in it.
    hooks: Mapping[str, tuple[Hook, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> LoadedBackend:
        return self.backends[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.backends)

    def __len__(self) -> int:
        return len(self.backends)

    def named(self, name: str, faults: Faults | None = None, disk: Disk | None = None) -> GuardedBackend:
        """The backend called `name`, which notes its `faults` and asks `disk`; `PluginError` where none is loaded."""
        if name not in self.backends:
            raise PluginError(
                f"no backend is called {name!r}",
                f"loaded are: {', '.join(self.backends)} (see `hubfold plugins`)",
            )
        found = self.backends[name].backend
        return found if faults is None else found.noting(faults, disk)


def load(
    environ: Mapping[str, str] = os.environ,
    *modules: ModuleType,
    guests: Callable[[], object] | None = None,
    files: str = "",
) -> Registry:
    """Load every plugin and return the registry; `modules` are registered as plugins too (for tests).

    `files` is a folder of plugins of one file each, which the user has for himself; where there is none, none is
    loaded. `guests` is called before the first plugin that is not hubfold's own is imported: what it prints from then
    on is not for our stdout.

    Raises `PluginError` where two backends have one name: which of them would own a root must not depend on luck.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    broken: list[Fault] = []
    origins: dict[str, Origin] = {}
    plugins: list[LoadedPlugin] = []
    only_own = environ.get(BLOCK_VARIABLE, "") not in ("", "0")
    found = _with_plugins(only_own, broken, guests)
    if files and not only_own and (own_files := one_file.plugins_in(files)):
        if guests is not None:
            guests()
        found += [_Distribution(one.distribution, one.version, (one,)) for one in own_files]
    for distribution in found:
        for entry_point in distribution.entry_points:
            origin = Origin(entry_point.name, distribution.name, distribution.version)
            # Two distributions may give their entry points one name; pluggy wants a name for each.
            key = f"{origin.distribution}:{origin.plugin}"
            begun = time.monotonic()
            try:
                module = entry_point.load()
                api = _version(module)
                manager.register(module, name=key)
                manager.check_pending()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
                manager.unregister(name=key)
                broken.append(Fault(origin, told(error)))
            else:
                origins[key] = origin
                hooks = tuple(sorted(one.name for one in manager.get_hookcallers(module) or ()))
                plugins.append(LoadedPlugin(origin, api, hooks, time.monotonic() - begun))
    for module in modules:
        manager.register(module)
    manager.check_pending()
    return replace(_collect(manager, origins, broken), plugins=tuple(plugins))


def _version(module: object) -> int:
    """The version of the API that a plugin states. Raises `PluginError` where it is not one of this hubfold's."""
    stated = getattr(module, hookspecs.API_NAME, hookspecs.API_VERSION)
    if type(stated) is not int:
        raise PluginError(f"its {hookspecs.API_NAME} is {stated!r}, where a number is asked for")
    if not hookspecs.OLDEST_API <= stated <= hookspecs.API_VERSION:
        which = "a newer hubfold" if stated > hookspecs.API_VERSION else "a newer plugin"
        raise PluginError(
            f"it is written for version {stated} of the plugin API, and this hubfold has {hookspecs.API_VERSION}: "
            f"it takes {which}"
        )
    return stated


class _EntryPoint(Protocol):
    """What is needed of `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str: ...

    def load(self) -> object: ...


class _Distribution(NamedTuple):
    name: str
    version: str
    entry_points: tuple[_EntryPoint, ...]


class BuiltIn:
    """Our own entry point, as ``pyproject.toml`` declares it (a test holds the two together)."""

    name = "builtin"
    module = "hubfold_plugins"

    def load(self) -> object:
        return import_module(self.module)


def _with_plugins(
    only_own: bool, broken: list[Fault], guests: Callable[[], object] | None
) -> list[_Distribution]:
    """Installed distributions with plugins, hubfold's own first, then by name, each name once."""
    own = _Distribution(hookspecs.PROJECT, distributions.version_of(hookspecs.PROJECT), (BuiltIn(),))
    if only_own or not distributions.others_may_have(ENTRY_POINT_GROUP, besides=hookspecs.PROJECT):
        return [own]
    others = _others(broken)
    if others and guests is not None:
        guests()
    return [own, *others]


def _others(broken: list[Fault]) -> list[_Distribution]:
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
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others go on
            origin = Origin("?", f"a distribution in {_place(distribution)}", "")
            broken.append(Fault(origin, told(error)))
            continue
        if name != hookspecs.PROJECT:
            found.setdefault(name, _Distribution(name, version, points))
    return sorted(found.values(), key=lambda one: one.name)


def _place(distribution: Distribution) -> str:
    return str(distribution.locate_file(""))


def _collect(manager: pluggy.PluginManager, origins: Mapping[str, Origin], broken: list[Fault]) -> Registry:
    backends: dict[str, LoadedBackend] = {}
    for implementation in manager.hook.hubfold_storage_backends.get_hookimpls():
        origin = _origin(implementation, origins)
        try:
            loaded = [
                LoadedBackend(guarded(cls, origin))
                for cls in cast("Iterable[object]", implementation.function())
            ]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            broken.append(Fault(origin, told(error)))
            continue
        for one in loaded:
            if one.name in backends:
                other = backends[one.name]
                raise PluginError(
                    f"two plugins have a backend called {one.name!r}: {other.plugin!r} ({other.distribution}) "
                    f"and {origin.plugin!r} ({origin.distribution})",
                    f"uninstall one of them, or set {BLOCK_VARIABLE}=1 to leave out all but hubfold's own",
                )
            backends[one.name] = one
    ordered = sorted(backends.values(), key=lambda one: -one.backend.priority)
    return Registry({one.name: one for one in ordered}, tuple(broken), hooks=_hooks(manager, origins))


def _hooks(manager: pluggy.PluginManager, origins: Mapping[str, Origin]) -> dict[str, tuple[Hook, ...]]:
    found = {}
    for name, caller in vars(manager.hook).items():
        if name.startswith("hubfold_") and name != "hubfold_storage_backends":
            found[name] = tuple(
                Hook(_origin(one, origins), one.function, tuple(one.argnames))
                for one in caller.get_hookimpls()
            )
    return found


def _origin(implementation: pluggy.HookImpl, origins: Mapping[str, Origin]) -> Origin:
    name = implementation.plugin_name
    return origins.get(name, Origin(name, "no distribution", "?"))
