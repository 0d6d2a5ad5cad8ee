"""Where this user's roots and places are named, read once: files of his, of the project, and the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

from hubfold.backend import peek
from hubfold.backend.boundary import GuardedBackend
from hubfold.content import Root
from hubfold.disk.identity import Location, Mounts, Placed, place_of
from hubfold.disk.paths import canonical
from hubfold.errors import HubfoldError
from hubfold.places import settings
from hubfold.places.places import is_away
from hubfold.places.settings import Project, Said, Settled
from hubfold.scanning import discover
from hubfold.state.config import Config
from hubfold.state.home import KnownRoot, StateHome

#: What a new drive has in it before anybody has put something there.
_OF_A_NEW_DRIVE = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})


class Sources:
    """What is said of roots, and where they were seen; `notices` are told to the user."""

    def __init__(
        self,
        state: StateHome,
        environ: Mapping[str, str],
        config: Callable[[], Config],
        backends: Callable[[], Mapping[str, GuardedBackend]],
        notices: list[str],
    ) -> None:
        self._state = state
        self._environ = environ
        self._config = config
        self._backends = backends
        self._notices = notices
        self._mounts: Mounts | None = None

    @cached_property
    def project(self) -> Project | None:
        """The project that the current folder lies in. Raises `ConfigError`."""
        try:
            found = settings.project_at(os.getcwd())
        except FileNotFoundError:
            return None
        self._notices += found.warnings if found is not None else ()
        return found

    @cached_property
    def _variables(self) -> Said:
        try:
            folder = os.getcwd()
        except FileNotFoundError:
            folder = "/"
        return settings.from_variables(self._environ, settings.ENVIRONMENT, folder)

    @cached_property
    def client_cache(self) -> Root | None:
        """The cache that the client uses by itself; None where no loaded backend has one."""
        with suppress(HubfoldError):
            return discover.default_cache(self._backends(), self._environ)
        return None

    def written(self) -> Iterator[tuple[str, str, KnownRoot]]:
        """Every root that is named elsewhere than by `hubfold roots add`: where, how to take it back, and the root."""
        project = self.project
        folder = project.folder if project is not None else ""
        by_table = "take its [[roots]] out of that file"
        where = {
            settings.PROJECT: (os.path.join(folder, settings.PROJECT_FILE), by_table),
            settings.DOTENV: (
                os.path.join(folder, settings.DOTENV_FILE),
                "take its variable out of that file",
            ),
            settings.CONFIG: (self._state.config, by_table),
            settings.ENVIRONMENT: ("the environment", "unset the variable that names it"),
        }
        for one in self._said():
            if one.source in where:
                yield from ((*where[one.source], root) for root in one.roots)

    def _said(self) -> list[Said]:
        added = self._state.registered_roots()
        by_variables = (settings.DOTENV, settings.ENVIRONMENT)
        return [
            one._replace(roots=tuple(map(self._as_cache, one.roots))) if one.source in by_variables else one
            for one in settings.by_strength(added, self.project, self._config().roots, self._variables)
        ]

    def settled(self, real: Callable[[KnownRoot], str]) -> Settled:
        """What all sources say together; `real` as in `settings.settle`."""
        return settings.settle(self._said(), real)

    def _as_cache(self, root: KnownRoot) -> KnownRoot:
        found = self.cache_for(root.path)
        return root if found is None else root._replace(path=found.path, backend=found.backend)

    def cache_for(self, path: str, *, home: bool = False) -> Root | None:
        """The cache of the client's layout that `path` is, stands for or will be; None where no layout has caches.

        A folder that is no cache yet will be one itself, unless it is where the client's own lies, or is given as a
        `home`, in which programs make theirs.
        """
        client = self.client_cache
        if client is None:
            return None
        backend = self._backends()[client.backend]
        real = canonical(path)
        found = backend.recognise(real, peek.names_in(real))
        if found is not None:
            return Root(canonical(found), client.backend)
        inside = backend.home_root(real)
        if inside is not None and (home or inside == client.path):
            return Root(inside, client.backend)
        return Root(real, client.backend)

    def base_of(self, root: Root) -> str | None:
        """The folder above a root that a program's variable may name instead of it."""
        above = os.path.dirname(root.path)
        backend = self._backends().get(root.backend)
        return above if backend is not None and backend.home_root(above) == root.path else None

    @staticmethod
    def is_new(names: list[str]) -> bool:
        """Whether nobody has put anything into a folder of these names yet."""
        return all(name in _OF_A_NEW_DRIVE or name.startswith(".Trash") for name in names)

    # where they were seen

    def mounts(self) -> Mounts:
        if self._mounts is None:
            self._mounts = Mounts.now()
        return self._mounts

    def look_again(self) -> None:
        """Ask anew what is mounted."""
        self._mounts = None

    def away(self, path: str) -> bool:
        """Whether the drive of a root that was seen at `path` is not there."""
        return is_away(path, self._noted.get(path), self.mounts)

    def was_seen(self, path: str) -> bool:
        """Whether a root was there at `path` at some time."""
        return path in self._noted

    @cached_property
    def _noted(self) -> dict[str, Placed]:
        return {
            path: Placed(path, Location(filesystem, inside), inode)
            for path, (filesystem, inside, inode) in self._state.located().items()
        }

    def note(self, path: str, *, anew: bool = False) -> None:
        """Remember on which file system a root lies; of one whose drive is away only if it is said `anew`."""
        if not os.path.isdir(path) or (not anew and self.away(path)):
            return
        seen = place_of(path, self.mounts())
        if self._noted.get(path) != seen:
            self._noted[path] = seen
            self._state.remember_located(path, (seen.at.filesystem, seen.at.inside, seen.inode))

    def forget(self, path: str) -> None:
        """Forget where a root was seen."""
        if self._noted.pop(path, None) is not None:
            self._state.remember_located(path, None)
