"""`Workspace`: one user's state, plugins and index, and the questions that every operation asks of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from hubfold.backend.faults import Faults
from hubfold.content import VAULT, Role, Root
from hubfold.errors import HubfoldError, LeftAlone
from hubfold.progress import Progress, Silent, Stop
from hubfold.state.home import KnownRoot, StateHome

if TYPE_CHECKING:
    from typing import Self

    from hubfold.backend.boundary import GuardedBackend
    from hubfold.backend.registry import Registry
    from hubfold.disk.filesystem import FileSystems
    from hubfold.index.index import Index
    from hubfold.journal.journal import Journal
    from hubfold.models.names import ModelName
    from hubfold.reports.scans import RootReport, StatusRoot
    from hubfold.state.config import Config
    from hubfold.transfer.hub import Hub

StrPath = str | os.PathLike[str]
_Rooted = TypeVar("_Rooted", Root, "StatusRoot", "RootReport")


class Workspace:
    """What `Engine` is built on: see there."""

    def __init__(
        self,
        home: StrPath | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
        stop: Stop | None = None,
        threads: int | None = None,
    ) -> None:
        self.environ = environ
        self.state = StateHome.locate(home, environ)
        self.progress: Progress = progress or Silent()
        self.stop = Stop() if stop is None else stop
        self.threads = threads or min(4, os.cpu_count() or 1)
        #: What the user should know about the state itself: an index begun anew, a plugin left out.
        self.notices: list[str] = []
        #: What plugins did wrong so far; the roots that are named there were left out.
        self.faults = Faults()
        #: Roots of which a plugin could not tell all at the last scan: nothing is folded there by what was known before.
        self.left_out: set[str] = set()
        self._index: Index | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    @cached_property
    def registry(self) -> Registry:
        """The loaded backends. Raises `PluginError` where two have one name."""
        from hubfold.backend import registry

        found = registry.load(self.environ)
        for broken in found.broken:
            self.faults.note(broken)
        return found

    @cached_property
    def config(self) -> Config:
        from hubfold.state import config

        found = config.load(self.state.config)
        self.notices += found.warnings
        return found

    @cached_property
    def _backends(self) -> dict[str, GuardedBackend]:
        from hubfold.backend.boundary import GuardedBackend
        from hubfold.vault.backend import VaultBackend

        named = {name: self.registry.named(name, self.faults) for name in self.registry}
        return {VAULT: GuardedBackend(VaultBackend()), **named}

    @property
    def _open_index(self) -> Index:
        if self._index is None:
            from hubfold.index.index import Index

            self.state.create()
            self._index, notice = Index.open_or_rebuild(self.state.index)
            if notice is not None:
                self.notices.append(notice)
        return self._index

    @property
    def _has_index(self) -> bool:
        return self._index is not None or os.path.exists(self.state.index)

    @cached_property
    def _filesystems(self) -> FileSystems:
        from hubfold.disk.filesystem import FileSystems

        return FileSystems()

    def _sources(self) -> Iterator[tuple[str, KnownRoot]]:
        for root in self.state.registered_roots():
            yield "added", root
        for root in self.config.roots:
            yield "config", root
        for name in self.registry:
            for path in self._backends[name].default_roots(self.environ):
                yield "found", KnownRoot(os.path.realpath(path), name)

    def _known_roots(self) -> list[Root]:
        """What the user registered or configured, and what was scanned before."""
        from hubfold.disk.paths import canonical
        from hubfold.scanning.discover import FALLBACK, recognise

        known: dict[str, Root] = {}
        for source, root in self._sources():
            path = canonical(root.path)
            if source == "found" or path in known:
                continue
            backend = root.backend
            if backend is None:
                names = os.listdir(path) if os.path.isdir(path) else []
                recognised = recognise(path, names, self._backends)
                backend, path = recognised if recognised is not None else (FALLBACK, path)
            known.setdefault(path, Root(path, backend, root.role, root.limit))
        for old in self._open_index.roots() if self._has_index else ():
            known.setdefault(old.path, old)
        return [root for root in known.values() if root.backend in self._backends]

    def _roots_of(self, paths: Sequence[StrPath]) -> dict[str, Root]:
        """The scanned roots at or below `paths` (all of them without any), and their vaults."""
        from hubfold.disk.paths import canonical, within

        roots = self._open_index.roots(vaults=True)
        if paths:
            wanted = [canonical(path) for path in paths]
            chosen = [root for root in roots if any(within(root.path, path) for path in wanted)]
            if not chosen:
                names = ", ".join(map(str, paths))
                raise HubfoldError(f"{names}: no root was scanned there", f"run `hubfold scan {names}` first")
            places = {
                place
                for root in chosen
                if root.backend in self._backends
                for place in self._backends[root.backend].vault_places(root)
            }
            roots = [
                root for root in roots if root in chosen or (root.backend == VAULT and root.path in places)
            ]
        return {root.path: root for root in self._by_role(roots) if root.backend in self._backends}

    def _by_role(self, roots: Iterable[Root]) -> list[Root]:
        """Primary first."""
        return sorted(self._with_primary(roots), key=lambda root: (root.role is not Role.PRIMARY, root.path))

    def _with_primary(self, roots: Iterable[_Rooted]) -> list[_Rooted]:
        """The same; where the user chose no primary one, the first cache that a backend names by default is it."""
        found = list(roots)
        if not any(root.role is Role.PRIMARY for root in found):
            defaults = [root.path for source, root in self._sources() if source == "found"]
            first = next((path for path in defaults if any(root.path == path for root in found)), None)
            found = [replace(root, role=Role.PRIMARY) if root.path == first else root for root in found]
        return found

    def _vaults(self) -> list[str]:
        """Every vault that a known root may have or a run has used, and that is there."""
        from hubfold.journal import journal
        from hubfold.vault import objects
        from hubfold.vault.names import of_object

        roots = self._open_index.roots(vaults=True) if self._has_index else []
        candidates = [root.path for root in roots if root.backend == VAULT]
        for root in roots:
            if root.backend != VAULT and root.backend in self._backends:
                candidates += self._backends[root.backend].vault_places(root)
        for log in journal.logs(self.state.runs):
            candidates += [of_object(path) for path in log.objects]
        return [path for path in dict.fromkeys(candidates) if objects.is_vault(path)]

    def _vault_for(self, root: str) -> str:
        """Where the vault for files of a root is or would be. Raises `LeftAlone` where there can be none."""
        from hubfold.vault import objects
        from hubfold.vault.places import vault_places

        if objects.is_vault(root):
            return root
        known = self._open_index.root_at(root)
        here = self._filesystems.of(root)
        for place in vault_places(known, self._backends, self._filesystems) if known is not None else ():
            if place.writable and place.filesystem.links_to(here):
                return place.path
        raise LeftAlone(f"there is no place for a vault on the file system of {root}")

    def _links_made(self) -> Iterator[str]:
        from hubfold.journal import journal

        return (path for log in journal.logs(self.state.runs) for path in log.links_made())

    def _begin(self, command: str) -> Journal:
        from hubfold import __version__
        from hubfold.journal.journal import Journal

        return Journal.create(self.state.runs, command, __version__)

    def _note_path(self, index: Index, path: str, *, proven: bool) -> None:
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
        """What a name given by a user asks for: one of ``config.toml``, or a repo id. Raises `UsageError`."""
        from hubfold.models.names import parse

        return parse(name, self.config.models, revision)

    def _hub(self, *, bars: bool = False) -> Hub:
        from hubfold.transfer.hub import Hub

        return Hub.of(self.environ, bars=bars)

    def _download_cache(self, into: StrPath | None) -> Root:
        from hubfold.disk.paths import canonical
        from hubfold.transfer import download

        cache = download.default_cache(self._backends, self.environ)
        if into is None:
            return cache
        path = canonical(os.path.expanduser(os.fspath(into)))
        names = os.listdir(path) if os.path.isdir(path) else []
        return Root(self._backends[cache.backend].recognise(path, names) or path, cache.backend)
