"""Where hubfold keeps what it knows: the state directory and the registered roots.

Layout of the state directory (mode 0700, made only when something has to be written)::

    index.db      a cache of what scans saw; deleting it loses time only
    runs/         one journal per run; undo and recovery need these
    roots.json    the roots that `hubfold roots add` registered
    asked.json    which files of a revision `hubfold download --include` asked for
    placed.json   which caches a `--into` has put models into
    registry.db   which models names stand for, and at which places these are to lie (`places/registry`)
    located.json  on which file systems places were seen, so that an empty mount point is known for what it is
    verified      what a `hubfold verify` that was cut short has read and found good
    used.json     when models were used last, and pinned.json which of them stay (`state/used`)
    lock          held (flock) by the one command that changes something

``config.toml`` is the user's own file. It lies in the platform's config directory, or in the state directory where
``HUBFOLD_HOME`` names one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from hubfold.content import Role
from hubfold.errors import HubfoldError
from hubfold.models.patterns import Selection, Selections
from hubfold.state.used import Used
from hubfold.state.verified import Verified

HOME_VARIABLE = "HUBFOLD_HOME"
APP = "hubfold"
PRIVATE = 0o700

#: (repo_type, repo_id)
Named = tuple[str, str]
#: (identity of a file system, path in it, inode), see `disk/identity`.
Seen = tuple[str, str, int]
#: (repo_type, repo_id, commit hash)
Revised = tuple[str, str, str]


class StateDamaged(HubfoldError):
    """A file of the state directory that no command can do without is not what hubfold wrote."""


class KnownRoot(NamedTuple):
    """A root that the user registered. `backend` None: whichever backend recognises it at the next scan."""

    path: str
    backend: str | None = None
    role: Role = Role.SECONDARY
    #: Bytes this root may hold, None for no limit.
    limit: int | None = None
    #: What the user calls it as a place for models; "" where he gave it no name.
    name: str = ""


@dataclass(frozen=True, slots=True)
class StateHome:
    """The paths of one user's state. Nothing is created by asking for them."""

    home: str
    config: str

    @classmethod
    def locate(
        cls, home: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
    ) -> StateHome:
        """The state in `home`, else in ``HUBFOLD_HOME``, else where the platform keeps state and configuration."""
        chosen = os.fspath(home) if home is not None else environ.get(HOME_VARIABLE, "")
        if chosen:
            path = os.path.abspath(os.path.expanduser(chosen))
            return cls(path, os.path.join(path, "config.toml"))
        import platformdirs

        return cls(
            platformdirs.user_state_dir(APP, appauthor=False),
            os.path.join(platformdirs.user_config_dir(APP, appauthor=False), "config.toml"),
        )

    @property
    def index(self) -> str:
        return os.path.join(self.home, "index.db")

    @property
    def plugins(self) -> str:
        """The folder of the user's own plugins, each a file."""
        return os.path.join(os.path.dirname(self.config), "plugins")

    @property
    def runs(self) -> str:
        return os.path.join(self.home, "runs")

    @property
    def roots(self) -> str:
        return os.path.join(self.home, "roots.json")

    @property
    def asked_for(self) -> str:
        return os.path.join(self.home, "asked.json")

    @property
    def placed_at(self) -> str:
        return os.path.join(self.home, "placed.json")

    @property
    def located_at(self) -> str:
        return os.path.join(self.home, "located.json")

    @property
    def verified(self) -> Verified:
        return Verified(os.path.join(self.home, "verified"))

    @property
    def used(self) -> Used:
        return Used(self.home, self._replace)

    @property
    def lock(self) -> str:
        return os.path.join(self.home, "lock")

    def create(self) -> None:
        """Make the state directory and ``runs/``, private to the user. Raises `HubfoldError` where that fails."""
        try:
            os.makedirs(os.path.dirname(self.home), exist_ok=True)
            for path in (self.home, self.runs):
                if not os.path.isdir(path):
                    os.makedirs(path, PRIVATE, exist_ok=True)
        except OSError as error:
            raise HubfoldError(
                f"the state directory {self.home} cannot be made: {error.strerror}",
                f"give another one by {HOME_VARIABLE}",
            ) from error

    def registered_roots(self) -> tuple[KnownRoot, ...]:
        """The roots of ``roots.json``, in the order in which they were added; empty where there is no such file.

        Raises `StateDamaged` where the file is not what `register_roots` writes.
        """
        try:
            with open(self.roots, encoding="ascii") as file:
                entries = json.load(file)["roots"]
            return tuple(_known_root(entry) for entry in entries)
        except FileNotFoundError:
            return ()
        except NotADirectoryError as error:
            raise StateDamaged(
                f"the state directory {self.home} is no directory", f"give another one by {HOME_VARIABLE}"
            ) from error
        except OSError as error:
            raise StateDamaged(
                f"the list of roots {self.roots} cannot be read: {error.strerror}", "mend its permissions"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StateDamaged(
                f"the list of roots {self.roots} is damaged: {error}",
                "delete it and register the roots again with `hubfold roots add PATH`",
            ) from error

    def register_roots(self, roots: Iterable[KnownRoot]) -> None:
        """Replace ``roots.json`` as a whole: a crash leaves the old list or the new one."""
        entries = [
            {
                "path": root.path,
                "backend": root.backend,
                "role": str(root.role),
                "limit": root.limit,
                "name": root.name,
            }
            for root in roots
        ]
        self._replace(self.roots, {"version": 1, "roots": entries})

    def move_root(self, old: str, new: str) -> None:
        """Let what is registered for a root hold for another path, unless that is registered itself."""
        roots = self.registered_roots()
        if any(root.path == old for root in roots):
            taken = any(root.path == new for root in roots)
            kept = [root._replace(path=new) if root.path == old else root for root in roots]
            self.register_roots([root for root in roots if root.path != old] if taken else kept)

    def write_config(self, text: str) -> None:
        """Make ``config.toml`` with this text. Raises `HubfoldError` where there is something of that name already."""
        try:
            os.makedirs(os.path.dirname(self.config), PRIVATE, exist_ok=True)
            with open(self.config, "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise HubfoldError(
                f"{self.config} is there already, and nothing was written",
                "edit it; `hubfold init --dry-run` prints what a new one would hold",
            ) from error
        except OSError as error:
            raise HubfoldError(
                f"{self.config} cannot be written: {error.strerror}",
                f"make room or mend its permissions, or give another state directory by {HOME_VARIABLE}",
            ) from error

    def asked(self) -> dict[Revised, Selections]:
        """What was asked for of revisions of which not all was; empty where ``asked.json`` is missing or damaged."""
        return _remembered(self.asked_for, "asked", _asked)  # without it, more is called incomplete

    def remember_asked(self, changes: Mapping[Revised, Selections]) -> None:
        """Note what is asked for of revisions; nothing, for all there is."""
        before = self.asked()
        after = {revised: asked for revised, asked in {**before, **changes}.items() if asked}
        if after == before:
            return
        entries = [
            {"type": kind, "repo": repo, "revision": revision, "files": [one.as_json() for one in asked]}
            for (kind, repo, revision), asked in sorted(after.items())
        ]
        self._replace(self.asked_for, {"version": 1, "asked": entries})

    def placed(self) -> dict[Named, tuple[str, ...]]:
        """The caches that models were put into by name; empty where ``placed.json`` is missing or damaged."""
        return _remembered(self.placed_at, "placed", _placed)  # without it, a model is told to be elsewhere

    def remember_placed(self, models: Iterable[Named], cache: str) -> None:
        """Note that somebody wanted `models` in this cache. Raises `HubfoldError`."""
        before = self.placed()
        after = before | {
            model: (*before.get(model, ()), cache) for model in models if cache not in before.get(model, ())
        }
        if after == before:
            return
        entries = [
            {"type": kind, "repo": repo, "caches": list(caches)}
            for (kind, repo), caches in sorted(after.items())
        ]
        self._replace(self.placed_at, {"version": 1, "placed": entries})

    def located(self) -> dict[str, Seen]:
        """Where roots were seen, by path; empty where ``located.json`` is missing or damaged."""
        return _remembered(
            self.located_at, "located", _located
        )  # without it, an empty mount point is a new place

    def remember_located(self, path: str, seen: Seen | None) -> None:
        """Note where a root lies; None forgets it. Raises `HubfoldError`."""
        after = {**self.located(), path: seen}
        entries = [
            {"path": one, "fs": found[0], "inside": found[1], "inode": found[2]}
            for one, found in sorted(after.items())
            if found is not None
        ]
        self._replace(self.located_at, {"version": 1, "located": entries})

    def taken(self) -> int:
        """What hubfold's own state takes, in bytes by blocks: index, runs, what is remembered."""
        found = 0
        for folder, _, names in os.walk(self.home):
            for name in names:
                with suppress(OSError):
                    found += os.lstat(os.path.join(folder, name)).st_blocks * 512
        return found

    def _replace(self, path: str, document: Mapping[str, Any]) -> None:
        """Write a file as a whole: a crash leaves the old one or the new one."""
        self.create()
        temporary = f"{path}.{os.getpid()}"
        try:
            with open(temporary, "w", encoding="ascii") as file:
                json.dump(document, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise HubfoldError(
                f"{path} cannot be written: {error.strerror}",
                f"make room or mend its permissions, or give another state directory by {HOME_VARIABLE}",
            ) from error


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _remembered(path: str, what: str, item: Callable[[Any], tuple[_Key, _Value]]) -> dict[_Key, _Value]:
    """The entries of a file of ours that only helps: none where it is missing or damaged."""
    try:
        with open(path, encoding="ascii") as file:
            return dict(map(item, json.load(file)[what]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _asked(entry: Mapping[str, Any]) -> tuple[Revised, Selections]:
    files = tuple(
        Selection(tuple(map(str, one["include"])), tuple(map(str, one["exclude"]))) for one in entry["files"]
    )
    return (str(entry["type"]), str(entry["repo"]), str(entry["revision"])), files


def _placed(entry: Mapping[str, Any]) -> tuple[Named, tuple[str, ...]]:
    return (str(entry["type"]), str(entry["repo"])), tuple(map(str, entry["caches"]))


def _located(entry: Mapping[str, Any]) -> tuple[str, Seen]:
    return str(entry["path"]), (str(entry["fs"]), str(entry["inside"]), int(entry["inode"]))


def _known_root(entry: Mapping[str, Any]) -> KnownRoot:
    path, backend, limit = entry["path"], entry["backend"], entry["limit"]
    name = entry.get("name", "")
    if not (isinstance(path, str) and os.path.isabs(path) and "\0" not in path):
        raise ValueError(f"{path!r} is no absolute path")
    if not (backend is None or isinstance(backend, str)):
        raise ValueError(f"{backend!r} is no backend")
    if not (limit is None or (isinstance(limit, int) and limit >= 0)):
        raise ValueError(f"{limit!r} is no limit")
    if not isinstance(name, str):
        raise ValueError(f"{name!r} is no name")
    return KnownRoot(path, backend, Role(entry["role"]), limit, name)
