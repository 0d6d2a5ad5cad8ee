"""`Workspace`: one user's state, plugins and index, and the questions that every operation asks of them.

Every command makes one, so what not all of them need is imported where it is used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from hubfold.content import VAULT, Role, Root, Scope, Signature
from hubfold.errors import HubfoldError, LeftAlone, RootError, UsageError
from hubfold.faults import Faults
from hubfold.progress import Progress, Silent, Stop
from hubfold.state.home import KnownRoot, StateHome

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from hubfold.backend.boundary import GuardedBackend
    from hubfold.backend.policies import Policies
    from hubfold.backend.registry import Registry
    from hubfold.content import IndexedReplica
    from hubfold.disk.filesystem import FileSystems, Shows
    from hubfold.duplicates.cost import Sharing
    from hubfold.engine.sources import Sources
    from hubfold.index.index import Index
    from hubfold.library.inventory import Holdings
    from hubfold.models.names import ConfiguredModel, ModelName
    from hubfold.places.registry import Registry as ModelRegistry
    from hubfold.places.settings import Settled
    from hubfold.reading.pool import Readers
    from hubfold.reports.outcomes import Notice
    from hubfold.reports.scans import RootReport, StatusRoot
    from hubfold.scanning.reached import Reached
    from hubfold.state.config import Config
    from hubfold.transfer.hub import Hub
    from hubfold.vault.moved import Moved
    from hubfold.vault.need import Here
    from hubfold.workers.folders import Folders
    from hubfold.workers.spread import Spread

StrPath = str | os.PathLike[str]
#: Files under this many bytes are left alone: they are what people edit.
MIN_SIZE = 1 << 20
#: A scan with this as its smallest size walks and reads no content.
NO_CONTENT = 1 << 62
_Rooted = TypeVar("_Rooted", Root, "StatusRoot", "RootReport")


class Workspace:
    """What `Engine` and its services are built on; see `Engine` for the arguments."""

    def __init__(
        self,
        home: StrPath | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
        stop: Stop | None = None,
        guests: Callable[[], object] | None = None,
        executor: Executor | str | None = None,
    ) -> None:
        self.environ = environ
        self._executor = executor
        self._spread: Spread | None = None
        self._guests = guests
        self.state = StateHome.locate(home, environ)
        self.progress: Progress = progress or Silent()
        self.stop = Stop() if stop is None else stop
        #: What the user should know about the state itself: an index begun anew, a plugin left out.
        self.notices: list[str] = []
        #: What plugins did wrong so far; the roots that are named there were left out.
        self.faults = Faults()
        #: Roots of which a plugin could not tell all at the last scan: nothing is folded there by what was known.
        self.left_out: set[str] = set()
        #: The roots of the paths that were given to this workspace: to it they are known, to the next one they are not.
        self.given: dict[str, Root] = {}
        #: What roots without a layout of their own turned out to be: folders are asked once, and again by a scan.
        self._resolved: dict[tuple[str, bool], KnownRoot] = {}
        self._index: Index | None = None

    def close(self) -> None:
        if self._spread is not None:
            self._spread.close()
            self._spread = None
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def _asked(self) -> Executor | str:
        return self._executor if self._executor is not None else self.config.executor

    @cached_property
    def threads(self) -> int:
        """How many files threads of ours read, or compare, at a time. Raises `UsageError` as `readers` does."""
        asked, found = self._asked, None
        if asked and isinstance(asked, str):
            from hubfold.workers.named import threads

            found = threads(asked)
        return found or min(4, os.cpu_count() or 1)

    @contextmanager
    def readers(self) -> Iterator[Readers]:
        """Who reads files: threads, or the workers that were handed in, named or configured.

        Raises `UsageError` where they are called what nobody is; when they are needed, what `workers.named` raises.
        """
        from hubfold.reading.pool import Readers, Threads

        spread = self.spread
        if spread is None:
            with Threads(self.threads) as pool:
                yield Readers(pool, self.progress, self.stop)
            return
        try:
            yield Readers(spread, self.progress, self.stop)
        finally:
            self.notices += spread.told()

    @property
    def spread(self) -> Spread | None:
        """The workers, where it is not threads of ours that read."""
        asked = self._asked
        if self._spread is not None or not asked:
            return self._spread
        from hubfold.workers import named
        from hubfold.workers.spread import Spread

        if isinstance(asked, str):
            if named.threads(text := asked) is not None:
                return None
            named.check(text)
            self._spread = Spread(lambda: named.open_team(text, self.stop), self.threads, self.state.home)
        else:
            team = named.team_of(asked)
            self._spread = Spread(lambda: team, self.threads, self.state.home)
        return self._spread

    @property
    def lister(self) -> Folders | None:
        """Who lists the folders of a scan, where it is not its walk itself."""
        spread = self.spread
        if spread is None:
            return None
        from hubfold.workers.folders import Folders

        return Folders(spread, self.stop)

    @cached_property
    def registry(self) -> Registry:
        """The loaded backends. Raises `PluginError` where two have one name."""
        from hubfold.backend import registry

        found = registry.load(self.environ, guests=self._guests, files=self.state.plugins)
        for broken in found.broken:
            self.faults.note(broken)
        return found

    @cached_property
    def policies(self) -> Policies:
        """What plugins have a say in; each has taken its section of ``config.toml`` by then."""
        from hubfold.backend.policies import Policies

        found = Policies(self.registry.hooks, self.faults)
        if found.has("hubfold_settings"):
            found.configure(self.config.plugins or {})
        return found

    @cached_property
    def config(self) -> Config:
        from hubfold.state import config

        found = config.load(self.state.config)
        self.notices += found.warnings
        if found.plugins:
            loaded = {one.origin.plugin for one in self.registry.plugins}
            for name in sorted(found.plugins.keys() - loaded):
                self.notices.append(f"config.toml: [plugins.{name}]: no plugin of that name is loaded")
        return found

    @property
    def sample_config(self) -> str:
        """See `Engine.sample_config`."""
        from hubfold.state.config import SAMPLE

        return SAMPLE

    @cached_property
    def backends(self) -> dict[str, GuardedBackend]:
        from hubfold.backend.boundary import GuardedBackend
        from hubfold.disk.bounds import Bounds
        from hubfold.vault.backend import VaultBackend

        disk = Bounds(self.environ)
        named = {name: self.registry.named(name, self.faults, disk) for name in self.registry}
        return {VAULT: GuardedBackend(VaultBackend(), disk=disk), **named}

    @property
    def index(self) -> Index:
        if self._index is None:
            from hubfold.index.index import Index

            self.state.create()
            self._index, notice = Index.open_or_rebuild(self.state.index)
            if notice is not None:
                self.notices.append(notice)
        return self._index

    @property
    def has_index(self) -> bool:
        return self._index is not None or os.path.exists(self.state.index)

    @cached_property
    def filesystems(self) -> FileSystems:
        from hubfold.disk.filesystem import FileSystems

        return FileSystems()

    @cached_property
    def sharing(self) -> Sharing:
        """How duplicates are asked about on the disks, for their cost."""
        from hubfold.backend.sides import Sides
        from hubfold.duplicates.cost import Sharing

        capabilities = {name: backend.capabilities for name, backend in self.backends.items()}
        return Sharing(self._shared_extents, self._may_share, self.shown, Sides(capabilities))

    def _shared_extents(self, replica: IndexedReplica) -> object | None:
        from hubfold.reading.extents import shared_extents

        return shared_extents(replica, filesystems=self.filesystems)

    def _may_share(self, folder: str) -> bool:
        try:
            return self.filesystems.of(folder).pool != ""
        except OSError:
            return True

    def shown(self, folder: str) -> Shows:
        """Whose files the file system of a folder shows; `MAYBE_TWICE` where that cannot be told."""
        from hubfold.disk.filesystem import Shows

        try:
            return self.filesystems.of(folder).shows
        except OSError:
            return Shows.MAYBE_TWICE

    def discover(
        self,
        paths: Sequence[StrPath] = (),
        *,
        backend: str | None = None,
        known: bool = True,
        around: bool = False,
    ) -> list[Root]:
        """The roots at or below `paths`; without any, the known ones and those that the environment names.

        With `around` both. `backend` says which owns the paths. Without `known`, what is known of roots does not count.
        Raises `RootError`, `PluginError`.
        """
        from hubfold.scanning import discover

        roots = self.known_roots() if known else None
        if roots is not None and not paths:
            roots += [root for path, root in self.given.items() if all(path != one.path for one in roots)]
        return discover.discover(
            paths, self.backends, known=roots, backend=backend, environ=self.environ, around=around
        )

    def scope(self, asked: Scope) -> Scope:
        """What a command and ``config.toml`` together say of which files of plain folders are content."""
        config = self.config
        return replace(
            asked,
            include=config.include + asked.include,
            exclude=config.exclude + asked.exclude,
            all_files=config.all_files or asked.all_files,
        )

    @cached_property
    def reached(self) -> Sequence[Reached]:
        """The links by which the layouts of known roots reach folders elsewhere."""
        from hubfold.scanning.reached import reached_from

        return reached_from(self.discover(), self.backends)

    @cached_property
    def _links(self) -> Mapping[str, str]:
        # The first link of a folder is the one that counts.
        return {one.folder: one.link for one in reversed(self.reached)}

    def with_link(self, root: Root) -> Root:
        """A root of the index, which does not know by which link it is reached."""
        return replace(root, link=self._links.get(root.path, ""))

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        """The locks of everybody who may replace `path`. Raises `BackendFault`."""
        from hubfold.scanning.reached import lock_paths

        return lock_paths(root, path, self.reached, self.backends)

    def give(self, roots: Mapping[str, Root]) -> None:
        """Count roots as known to this workspace."""
        self.given |= roots
        self._forget_links()

    def folders(self, paths: Sequence[StrPath]) -> tuple[str, ...]:
        """`paths` as they are compared with what the index knows, and what is reached by links below them.

        Raises `RootError` as `discover` does.
        """
        from hubfold.disk.paths import canonical, within
        from hubfold.scanning.reached import reached_from

        named = [canonical(path) for path in paths]
        there = [path for path in named if os.path.isdir(path)]
        reached = reached_from(self.discover(there), self.backends) if there else ()
        behind = (one.folder for one in reached if any(within(one.link, path) for path in named))
        return tuple(dict.fromkeys((*named, *behind)))

    @cached_property
    def named_in(self) -> Sources:
        """Where roots and places are named."""
        from hubfold.engine.sources import Sources

        return Sources(self.state, self.environ, lambda: self.config, lambda: self.backends, self.notices)

    @property
    def settled(self) -> Settled:
        """What is said of roots by all sources together."""
        return self.named_in.settled(lambda root: self.resolved(root).path)

    def sources(self) -> Iterator[tuple[str, KnownRoot]]:
        """Every root that is named, with where, the strongest first; last what backends find in the environment."""
        settled = self.settled
        for setting in settled.settings:
            yield setting.source, setting.root
        limit = settled.primary_limit
        client = self.named_in.client_cache
        if limit is not None and client is not None:
            yield limit[1], KnownRoot(client.path, client.backend, Role.PRIMARY, limit[0], str(Role.PRIMARY))
        yield from self._registered_roots()
        for name in self.registry:
            for path in self.backends[name].default_roots(self.environ):
                yield "found", KnownRoot(os.path.realpath(path), name)

    def _registered_roots(self) -> Iterator[tuple[str, KnownRoot]]:
        """The caches that models are registered at by their paths, as far as they were ever there."""
        for path in dict.fromkeys(one.path for one in self.models.values() if one.path):
            cache = self.named_in.cache_for(path, home=True)
            if cache is not None and (os.path.isdir(cache.path) or self.named_in.was_seen(cache.path)):
                yield "registered", KnownRoot(cache.path, cache.backend)

    def named_by_models_alone(self, path: str) -> bool:
        """Whether a cache is a root only because a model is registered at its path."""
        named = {source for source, root in self.sources() if root.path == path}
        return named == {"registered"}

    def resolved(self, root: KnownRoot, before: Mapping[str, Root] | None = None) -> KnownRoot:
        """A root with its path, free of symlinks, and its layout: where the user named none, that of what is there now.

        `before` are the roots of the index. The layout is None where nobody takes the folder.
        """
        from hubfold.disk.paths import canonical
        from hubfold.scanning.discover import fallback, recognise

        path = canonical(root.path)
        if root.backend is not None:
            return root._replace(path=self._cache_of(path, root))
        key = path, bool(root.name)
        if key not in self._resolved:
            names = os.listdir(path) if os.path.isdir(path) else []
            recognised = recognise(path, names, self.backends)
            # What nobody recognises now, since a plugin fails, is what it was.
            failed = any(fault.method == "recognise" for fault in self.faults)
            if failed and before is None:
                before = self._indexed()
            known = failed and before is not None and path in before
            other = (before or {})[path].backend if known else fallback(self.backends)
            if not known and recognised is None and root.name and self.named_in.is_new(names):
                cache = self.named_in.cache_for(path)
                other = cache.backend if cache is not None else other
            backend, place = recognised if recognised is not None else (other, path)
            self._resolved[key] = KnownRoot(canonical(place), backend)
        found = self._resolved[key]
        return root._replace(path=found.path, backend=found.backend)

    def _cache_of(self, path: str, root: KnownRoot) -> str:
        """Of a place that is a cache, the cache that programs have made below it meanwhile; else the path itself."""
        client = self.named_in.client_cache if root.name else None
        if client is None or client.backend != root.backend:
            return path
        found = self.named_in.cache_for(path)
        return path if found is None else found.path

    def look_again(self) -> None:
        """Forget what roots were taken for, and what they reach: something may have come into them since."""
        self._resolved.clear()
        self.named_in.look_again()
        self._forget_links()

    def _forget_links(self) -> None:
        for name in ("reached", "_links"):
            vars(self).pop(name, None)

    def known_roots(self) -> list[Root]:
        """What the user registered or configured, and the roots that scans met in these or in the environment's.

        What was only looked at is in the index too, and is none of them.
        """
        from hubfold.disk.paths import canonical, within

        before = self._indexed()
        known: dict[str, Root] = {}
        places: list[tuple[str, str | None]] = []
        for source, root in self.sources():
            path = canonical(root.path)
            if source == "found":
                places.append((path, root.backend))
            if source == "found" or path in known:
                continue
            told = self.resolved(root, before)
            if self.has_to_be_made(told, told.path in before):
                continue
            if told.backend is not None:
                places.append((told.path, told.backend))
                known.setdefault(told.path, Root(told.path, told.backend, root.role, root.limit))
        for old in before.values():
            # A layout in the folder of another; a folder that was only looked at is no other layout.
            if any(
                within(old.path, path) and (old.path == path or old.backend != backend)
                for path, backend in places
            ):
                known.setdefault(old.path, old)
        return [root for root in known.values() if root.backend in self.backends]

    def _indexed(self) -> dict[str, Root]:
        """The roots of the index, by path."""
        return {root.path: root for root in self.index.roots()} if self.has_index else {}

    def has_to_be_made(self, root: KnownRoot, scanned: bool) -> bool:
        """Whether a place is named that nobody has put anything into: there is nothing to look at, and nothing away."""
        if not root.name or os.path.lexists(root.path):
            return False
        return not scanned and not self.named_in.was_seen(root.path)

    def scanned(self, *, vaults: bool = False) -> list[Root]:
        """The roots of the index that a command without a path is about; on demand with their vaults."""
        known = {root.path for root in self.discover()}
        roots = [self.with_link(root) for root in self.index.roots() if root.path in known]
        return roots + (self.vaults_of(roots) if vaults else [])

    def roots_of(self, paths: Sequence[StrPath], *, only: bool = False) -> dict[str, Root]:
        """The scanned roots at, below or around `paths` and, unless `only` these, the known ones; with their vaults.

        Raises `HubfoldError` where a path was not scanned.
        """
        from hubfold.disk.paths import canonical, within

        chosen: dict[str, Root] = {}
        for path in paths:
            wanted = canonical(path)
            above = [root for root in self.index.roots() if within(wanted, root.path)]
            there = [root for root in self.index.roots() if within(root.path, wanted)]
            there += [max(above, key=lambda root: len(root.path))] if above else []
            # Of one folder under two names (a bind mount) a scan walks one.
            there = there or [root for root in self.index.roots() if _is_one(root.path, wanted)]
            if not there:
                names = ", ".join(map(str, paths))
                raise HubfoldError(f"{names}: no root was scanned there", f"run `hubfold scan {names}` first")
            chosen |= {root.path: root for root in there}
        if not (paths and only):
            chosen |= {root.path: root for root in self.scanned()}
        roots = [self.with_link(root) for root in chosen.values() if root.backend in self.backends]
        found = self.by_role(roots + self.vaults_of(roots))
        return {root.path: root for root in found if self.is_there(root.path)}

    def is_there(self, path: str) -> bool:
        """Whether a root is there now, and not another drive, or an empty mount point, in its place."""
        return os.path.isdir(path) and not self.named_in.away(path)

    def vaults_of(self, roots: Iterable[Root]) -> list[Root]:
        """The vaults of the index that belong to `roots`."""
        places = {place for root in roots for place in self._vault_places(root)}
        return [
            root for root in self.index.roots(vaults=True) if root.backend == VAULT and root.path in places
        ]

    def roots_away(self, paths: Sequence[StrPath]) -> list[Root]:
        """The scanned roots at or below `paths` (all that are known without any) that are not there now."""
        from hubfold.disk.paths import canonical, within

        wanted = [canonical(path) for path in paths]
        return [
            root
            for root in (self.index.roots() if wanted else self.scanned())
            if not self.is_there(root.path) and (not wanted or any(within(root.path, one) for one in wanted))
        ]

    def by_role(self, roots: Iterable[Root]) -> list[Root]:
        """Primary first."""
        return sorted(self.with_primary(roots), key=lambda root: (root.role is not Role.PRIMARY, root.path))

    def with_primary(self, roots: Iterable[_Rooted]) -> list[_Rooted]:
        """The same; where the user chose no primary one, the first cache that a backend names by default is it.

        Of caches those that clients download into: the store of some other program is nobody's choice.
        """
        from hubfold.scanning.discover import takes_downloads

        found = list(roots)
        if not any(root.role is Role.PRIMARY for root in found):
            defaults = [root for source, root in self.sources() if source == "found"]
            there = {root.path for root in found}
            first = next(
                (
                    root.path
                    for root in defaults
                    if root.path in there
                    and root.backend is not None
                    and takes_downloads(self.backends[root.backend], Root(root.path, root.backend))
                ),
                None,
            )
            found = [replace(root, role=Role.PRIMARY) if root.path == first else root for root in found]
        return found

    def vaults(self) -> list[str]:
        """Every vault that a known root may have or a run has used, and that is there, be it at another place."""
        from hubfold.disk.identity import Mounts
        from hubfold.journal import journal
        from hubfold.vault import objects
        from hubfold.vault.moved import mounted_elsewhere
        from hubfold.vault.names import of_object

        roots = self.scanned(vaults=True) if self.has_index else []
        candidates = [root.path for root in roots if root.backend == VAULT]
        for root in roots:
            if root.backend != VAULT:
                candidates += self._vault_places(root)
        mounts = Mounts.now()
        for log in journal.logs(self.state.runs):
            candidates += [of_object(path) for path in log.objects]
            candidates += [of_object(link.target) for link in log.repointed]
            candidates += mounted_elsewhere(log.places.values(), mounts)
        return [path for path in dict.fromkeys(candidates) if objects.is_vault(path)]

    def vault_for(self, root: str) -> str:
        """Where the vault for files of a root is or would be. Raises `LeftAlone` where there can be none."""
        from hubfold.vault import objects
        from hubfold.vault.places import vault_places

        if objects.is_vault(root):
            return root
        known = self.index.root_at(root)
        here = self.filesystems.of(root)
        known = self.with_link(known) if known is not None else None
        for place in vault_places(known, self.backends, self.filesystems) if known is not None else ():
            if place.writable and place.filesystem.links_to(here):
                return place.path
        raise LeftAlone(f"there is no place for a vault on the file system of {root}")

    def here(self) -> Here:
        """What this machine can see of links, by what is mounted now."""
        from hubfold.journal import journal, others
        from hubfold.vault.need import Here

        runs = self.state.runs
        return Here.now(
            lambda: journal.run_names(runs),
            lambda: others.taken_away(journal.logs(runs)),
        )

    def moved(self) -> Moved:
        """What tells where vaults and roots lie that are not where runs knew them."""
        from hubfold.disk.identity import Mounts
        from hubfold.vault.moved import Moved

        roots = [root.path for root in self.index.roots()] if self.has_index else []
        return Moved(self.vaults(), roots, Mounts.now())

    def links_made(self) -> Iterator[str]:
        from hubfold.journal import journal

        return (path for log in journal.logs(self.state.runs) for path in log.links_made())

    def note_path(self, index: Index, path: str, *, proven: bool) -> None:
        known = index.replica(path)
        if known is None:
            return
        try:
            st = os.lstat(path)
        except OSError:
            return
        if stat.S_ISREG(st.st_mode) and proven:
            index.refresh(path, st, keep_digests_of=known.signature)
        elif not stat.S_ISREG(st.st_mode):
            index.forget(path)

    def model_name(self, name: str, revision: str | None = None) -> ModelName:
        """What a name given by a user asks for: one of ``config.toml``, a repo id, or what a layout calls its models.

        Raises `UsageError`.
        """
        from hubfold.models.names import ModelName, parse

        try:
            return parse(name, self.models, revision)
        except UsageError:
            known = {} if name in self.models else self._named_by_layouts(name)
            if known:
                (repo_type, repo_id, stated), *others = known
                chosen = stated if revision is None else revision
                # Several programs may call a model the same.
                layouts = " or ".join(name for named in known.values() for name in named)
                return ModelName(
                    name,
                    repo_id,
                    repo_type,
                    chosen,
                    layout=layouts,
                    others=tuple(other for of_type, other, _ in others if of_type == repo_type),
                )
            raise

    def _named_by_layouts(self, name: str) -> dict[tuple[str, str, str | None], list[str]]:
        """The backends that know a name of models, by what each takes it for."""
        found: dict[tuple[str, str, str | None], list[str]] = {}
        for backend in self.backends.values():
            answer = backend.model_named(name)
            if answer is not None:
                found.setdefault(answer, []).append(backend.name)
        return found

    def hub_name(self, name: str, revision: str | None = None) -> ModelName:
        """`model_name` of what the Hub is to be asked for. Raises `UsageError`."""
        from hubfold.models.names import parse

        return parse(name, self.models, revision)

    @cached_property
    def registry_of_models(self) -> ModelRegistry:
        """The registry in the state directory."""
        from hubfold.places.registry import Registry

        return Registry(self.state.home, self.state.create)

    @property
    def models_of_project(self) -> Mapping[str, ConfiguredModel]:
        """What the project's ``hubfold.toml`` says of models."""
        project = self.named_in.project
        return (project.config.models if project is not None else None) or {}

    @cached_property
    def models(self) -> Mapping[str, ConfiguredModel]:
        """The names that stand for models: those of files and of the registry, which is stronger, as one list."""
        return {
            **(self.config.models or {}),
            **self.models_of_project,
            **self.registry_of_models.models(),
        }

    def forget_models(self) -> None:
        """Read anew what is registered: something was."""
        vars(self).pop("models", None)
        self._forget_links()

    def hub(self, *, bars: bool = False) -> Hub:
        from hubfold.transfer.hub import Hub

        return Hub.of(self.environ, bars=bars)

    def cache_of_downloads(self) -> str | None:
        """The cache that downloads go to, whether it exists or not; None where no loaded backend has one."""
        try:
            return self.download_cache(None).path
        except HubfoldError:
            return None

    def cache_at(self, place: StrPath | None) -> Root | None:
        """The root that a user names by its folder or the one above; without one, that of downloads, None if there is
        none. Raises `RootError` for what is no folder."""
        from hubfold.disk.paths import named

        if place is None:
            path = self.cache_of_downloads()
            return None if path is None else self.download_cache(None)
        given = named(self.folder_of(place))
        if os.path.lexists(given) and not os.path.isdir(given):
            raise RootError(f"{given} is no folder", "name the folder of a cache")
        backend = self.recognised(given) or self.download_cache(None).backend
        return self.root_of(backend, given)

    def download_cache(self, into: StrPath | None) -> Root:
        """The cache that models are downloaded `into`; without it the primary place, else the client's own.

        Raises `HubfoldError` where no loaded backend has one.
        """
        from hubfold.scanning import discover

        cache = discover.default_cache(self.backends, self.environ)
        if into is not None:
            return self.root_of(cache.backend, self.folder_of(into))
        return self._primary_cache() or cache

    def folder_of(self, place: StrPath) -> StrPath:
        """The folder of a place that is called so; anything else is a path, and stays as it is."""
        text = os.fspath(place)
        named = [one.root for one in self.settled.settings if one.root.name == text]
        if named:
            return self.resolved(named[0]).path
        # The primary place may have another name, or be the client's own cache.
        return self.download_cache(None).path if text == Role.PRIMARY else place

    def _primary_cache(self) -> Root | None:
        """The cache that somebody made the primary place; None where nobody has, or where none is there."""
        from hubfold.scanning import discover

        for setting in self.settled.settings:
            if setting.root.role is Role.PRIMARY:
                told = self.resolved(setting.root)
                root = Root(told.path, told.backend or "", told.role, told.limit)
                backend = self.backends.get(root.backend)
                if backend is not None and discover.takes_downloads(backend, root):
                    return root
        return None

    def root_of(self, backend: str, place: StrPath) -> Root:
        """The root of a layout that `place` is, stands for or will be."""
        path, names = self._names_at(place)
        return Root(self.backends[backend].recognise(path, names) or path, backend)

    def recognised(self, place: StrPath) -> str | None:
        """The backend that a place was given to, or that recognises it; None where that is nobody."""
        from hubfold.scanning.discover import recognise

        path, names = self._names_at(place)
        known = next((root.backend for root in self.known_roots() if root.path == path), None)
        found = recognise(path, names, self.backends)
        return found[0] if found is not None else known

    def _names_at(self, place: StrPath) -> tuple[str, list[str]]:
        from hubfold.disk.paths import canonical

        path = canonical(place)
        return path, os.listdir(path) if os.path.isdir(path) else []

    def holdings(
        self,
        roots: Sequence[Root] | None = None,
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> Holdings:
        """What `roots` hold, as it is on the disk now; by default the known ones, and those that the environment names.

        `stop` may end the look: not what goes on while something is changed.
        """
        from hubfold.library.inventory import Beyond, Holdings

        found = self.discover() if roots is None else roots
        chosen = list({root.path: root for root in found}.values())
        known = self.index.roots() if self.has_index else ()
        unasked = [root.path for root in known if root.backend not in self.backends]

        def vaults() -> list[str]:
            from hubfold.vault import objects

            places = [place for root in chosen for place in self._vault_places(root)]
            return list(dict.fromkeys([*self.vaults(), *filter(objects.is_vault, places)]))

        beyond = Beyond(vaults, self.here, unasked, self.named_in.away, self.same_content)
        return Holdings(chosen, self.backends, beyond, progress=progress, stop=stop)

    def holdings_at(self, paths: Sequence[StrPath]) -> Holdings:
        """What the known roots and those at or below `paths` hold."""
        return self.holdings([*self.discover(), *(self.discover(paths) if paths else ())])

    def _vault_places(self, root: Root) -> Sequence[str]:
        return self.backends[root.backend].vault_places(root) if root.backend in self.backends else ()

    def faults_of_no_root(self) -> list[Notice]:
        """What plugins did wrong when they were asked about no root in particular, for a report."""
        from hubfold.reports.outcomes import Notice

        return [Notice.of(fault) for fault in self.faults if not fault.root]

    def caches(self) -> frozenset[str]:
        """The names of the backends whose layout is a cache."""
        return frozenset(name for name, backend in self.backends.items() if backend.capabilities.cache)

    def same_content(self, path: str, st: os.stat_result) -> list[IndexedReplica]:
        """Every name with the content of the file at `path`, as far as the index knows it; none where it does not."""
        if not self.has_index:
            return []
        known = [one for one in self.names_of(st) if one.signature == Signature.of(st)]
        mine = {item for one in known for item in one.digests.items()}
        return [one for one in self.index.of_size(st.st_size) if mine & one.digests.items()]

    def names_of(self, st: os.stat_result) -> list[IndexedReplica]:
        """All names of a payload that the last scans met."""
        return self.index.payload(st.st_dev, st.st_ino, st.st_size) if self.has_index else []


def _is_one(folder: str, other: str) -> bool:
    try:
        return os.path.samefile(folder, other)
    except OSError:
        return False
