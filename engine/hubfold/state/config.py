"""The user's configuration, ``config.toml``::

    exclude = ["old/", "/mnt/nas/scratch"]   # what no scan takes in; patterns as in .gitignore
    include = ["*.dat"]           # of plain folders only these, and these whatever they are
    all_files = false             # true: of plain folders more than model files
    reserve = "30GB"              # what downloads leave free beside the cache; `check` tells where there is less
    neighbours = ["http://lab-1:8600"]    # hosts that run `hubfold serve`: downloads ask them before the Hub
    neighbours_token = "~/.hubfold-token"  # the file with the token that they want
    executor = "processes:8"      # who reads and lists files: "threads:N", "processes:N", a cluster of Dask's, "mpi"

    [[roots]]
    path = "/mnt/nas/models"      # or "~/models"
    backend = "local-dir"         # optional: else the backend that recognises it
    role = "secondary"            # optional: "primary" or "secondary"
    limit = "2TB"                 # optional
    name = "slow"                 # optional: what you call it where models go (default: its role)

    [models]
    small = "org/small-model"
    large = { repo = "org/large-model", revision = "main", size = "54GB" }
    quant = { repo = "org/many-GGUF", include = ["*Q4_K_M*", "*.json"], exclude = ["old/"] }
    big = { repo = "org/big-model", place = "slow" }          # a place by its name, or `path = "/mnt/big"`

    [plugins.my-store]            # what the plugin of that name takes; hubfold reads nothing of it
    keep = "/mnt/fast"

The `include` and `exclude` of a model say which of its files are wanted: `hubfold download quant` fetches those, and it
is whole when those are there.

A key that hubfold does not know is a warning: the file may be for a newer version.

The ``hubfold.toml`` of a project says `roots` and `models` in the same form, and nothing else. Its paths may be
relative to the folder that it lies in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hubfold.content import Role
from hubfold.display import parse_size
from hubfold.errors import HubfoldError, UsageError
from hubfold.models.names import ConfiguredModel
from hubfold.models.patterns import Selection
from hubfold.state.home import KnownRoot

#: The settings that there are: at the top, of a root, of a model.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "": (
        "roots",
        "models",
        "plugins",
        "include",
        "exclude",
        "all_files",
        "reserve",
        "neighbours",
        "neighbours_token",
        "executor",
    ),
    "roots": ("path", "backend", "role", "limit", "name"),
    "models": ("repo", "revision", "size", "include", "exclude", "place", "path"),
}
#: What the file of a project may say: where models lie, and which it counts on. Not what scans take in.
_OF_A_PROJECT = ("roots", "models")
#: What a place may be called: no path, nothing that looks like an option or a size.
_PLACE_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
#: What ``hubfold init`` writes: every setting, commented out, so that it says nothing until it is edited.
SAMPLE = """\
# The settings of hubfold. What is commented out (#) does not count; take the # away to use it.
# Text after a second # explains. A mistake is told by every command, with its line.

# -- which files ---------------------------------------------------------------------------------

# What no scan takes in, on any root; patterns as in .gitignore.
#exclude = ["old/", "/mnt/nas/scratch"]

# Of plain folders only these, whatever they are. Without it, model files.
#include = ["*.dat"]

# true: of plain folders everything, not just model files.
#all_files = false

# -- space ---------------------------------------------------------------------------------------

# What downloads leave free; below it `hubfold check` warns.
#reserve = "30GB"

# -- downloads -----------------------------------------------------------------------------------

# Hosts that run `hubfold serve`, asked before the Hub; and the file with the token that they want.
#neighbours = ["http://lab-1:8600"]
#neighbours_token = "~/.hubfold-token"

# -- speed ---------------------------------------------------------------------------------------

# Who reads and lists files: "processes:N" on this machine, or the workers of a cluster.
#executor = "processes:8"

# -- roots ---------------------------------------------------------------------------------------
# The caches that HF_HOME and its like name are known without being told. Each further folder has
# a [[roots]] of its own; `hubfold roots add PATH` notes one without this file.

#[[roots]]
#path = "/mnt/nas/models"      # from / or ~/ on
#backend = "name"              # its layout, by `hubfold plugins`; without it, as it is recognised
#role = "secondary"            # "primary": downloads go there, and its copies are kept before others
#limit = "2TB"                 # how much it may hold
#name = "slow"                 # what you call it: `hubfold register big org/big-model --at slow`

# -- models --------------------------------------------------------------------------------------
# What your programs count on: `hubfold check` tells whether all of it is there, and
# `hubfold download --missing` gets the rest. The short names work wherever a MODEL is asked for.

#[models]
#small = "org/small-model"
#large = { repo = "org/large-model", revision = "main", size = "54GB" }
#quant = { repo = "org/many-GGUF", include = ["*Q4_K_M*", "*.json"], exclude = ["old/"] }
#big = { repo = "org/big-model", place = "slow" }
#other = { repo = "org/other-model", path = "/mnt/big" }

# -- plugins -------------------------------------------------------------------------------------
# What a plugin takes, in a section of its name (`hubfold plugins check` tells it).

#[plugins.my-store]
#keep = "/mnt/fast"
"""


class ConfigError(HubfoldError):
    """``config.toml`` cannot be read or says something that makes no sense."""


class Config(NamedTuple):
    """What ``config.toml`` says; empty where there is none."""

    roots: tuple[KnownRoot, ...] = ()
    models: Mapping[str, ConfiguredModel] | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    all_files: bool = False
    #: Bytes that downloads leave free.
    reserve: int = 0
    #: Endpoints that downloads ask before the Hub, and the file with the token that they want.
    neighbours: tuple[str, ...] = ()
    neighbours_token: str | None = None
    #: Who reads files (`workers/named`); "" for threads.
    executor: str = ""
    #: By the name of a plugin: its own section.
    plugins: Mapping[str, Mapping[str, Any]] | None = None
    warnings: tuple[str, ...] = ()


def load(path: str, *, project: bool = False) -> Config:
    """Read ``config.toml`` at `path`, or the ``hubfold.toml`` of a `project`.

    A missing file is an empty configuration; raises `ConfigError` for a bad one.
    """
    if not os.path.lexists(path):
        return Config()
    import tomllib

    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", "mend its permissions, or remove it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # The text of the error ends in "(at line 3, column 5)".
        raise ConfigError(f"{path} is not TOML: {error}", "mend that line") from error
    return _Reader(path, _OF_A_PROJECT if project else SETTINGS[""]).config(document)


def is_place_name(text: str) -> bool:
    """Whether a place may be called so: a word of letters, digits, ``.``, ``-`` and ``_``."""
    return bool(_PLACE_NAME.fullmatch(text))


class _Reader:
    """Turns the TOML document into a `Config`, naming the file and the key in every complaint."""

    def __init__(self, path: str, settings: Sequence[str]) -> None:
        self.path = path
        self._settings = settings
        self.warnings: list[str] = []

    def config(self, document: Mapping[str, Any]) -> Config:
        self._known(document, self._settings, "")
        document = {key: value for key, value in document.items() if key in self._settings}
        roots = document.get("roots", [])
        if not isinstance(roots, list):
            raise self._error("roots", "is not a list", "write [[roots]] above each root")
        models = document.get("models", {})
        if not isinstance(models, dict):
            raise self._error("models", "is not a table", "write [models]")
        return Config(
            roots=tuple(self._root(f"roots[{number}]", root) for number, root in enumerate(roots, 1)),
            models={name: self._model(name, model) for name, model in models.items()},
            include=self._patterns(document, "", "include"),
            exclude=self._patterns(document, "", "exclude"),
            all_files=self._flag(document, "all_files"),
            reserve=self._size(document, "", "reserve") or 0,
            neighbours=self._texts(document, "neighbours", 'neighbours = ["http://lab-1:8600"]'),
            neighbours_token=self._text(document, "", "neighbours_token"),
            executor=self._text(document, "", "executor") or "",
            plugins=self._sections(document.get("plugins", {})),
            warnings=tuple(self.warnings),
        )

    def _sections(self, table: object) -> Mapping[str, Mapping[str, Any]]:
        if not isinstance(table, dict) or not all(isinstance(one, dict) for one in table.values()):
            raise self._error(
                "plugins", "is not a table of tables", "write [plugins.NAME] above its settings"
            )
        return table

    def _root(self, key: str, table: object) -> KnownRoot:
        if not isinstance(table, dict):
            raise self._error(key, "is not a table", "write [[roots]] above each root")
        self._known(table, SETTINGS["roots"], f"{key}.")
        path = self._path(table, key)
        if not path:
            raise self._error(
                f"{key}.path", "is missing or not absolute", 'write it like path = "/mnt/models"'
            )
        role = self._text(table, key, "role") or str(Role.SECONDARY)
        if role not in set(Role):
            raise self._error(f"{key}.role", f"is {role!r}", f"choose one of {', '.join(Role)}")
        # Who says that it is a secondary one means it: what nobody says anything of is one too.
        name = self._text(table, key, "name") or (role if table.get("role") == Role.SECONDARY else "")
        if name and not is_place_name(name):
            raise self._error(f"{key}.name", f"is {name!r}", 'write a word, like name = "slow"')
        return KnownRoot(
            path, self._text(table, key, "backend"), Role(role), self._size(table, key, "limit"), name
        )

    def _path(self, table: Mapping[str, Any], key: str) -> str:
        """The path that a table names, "" where it names none that is absolute."""
        path = os.path.expanduser(self._text(table, key, "path") or "")
        if path and self._settings is _OF_A_PROJECT:
            path = os.path.join(os.path.dirname(self.path), path)
        return os.path.normpath(path) if os.path.isabs(path) else ""

    def _model(self, name: str, value: object) -> ConfiguredModel:
        key = f"models.{name}"
        if isinstance(value, str):
            return ConfiguredModel(name, value)
        if not isinstance(value, dict):
            raise self._error(key, "is neither a repo id nor a table", f'write {name} = "org/name"')
        self._known(value, SETTINGS["models"], f"{key}.")
        repo_id = self._text(value, key, "repo")
        if not repo_id:
            raise self._error(f"{key}.repo", "is missing", f'write {name} = {{ repo = "org/name" }}')
        place, path = self._where(value, key)
        return ConfiguredModel(
            name,
            repo_id,
            self._text(value, key, "revision"),
            self._size(value, key, "size"),
            Selection(self._patterns(value, key, "include"), self._patterns(value, key, "exclude")),
            place=place,
            path=path,
        )

    def _where(self, value: Mapping[str, Any], key: str) -> tuple[str, str]:
        """(place, path) that a model is registered at, "" each where it is not said."""
        place, path = self._text(value, key, "place") or "", self._path(value, key)
        if place and "path" in value:
            raise self._error(key, "has a place and a path", "leave one of the two")
        if value.get("path") and not path:
            raise self._error(f"{key}.path", "is not absolute", 'write it like path = "/mnt/models"')
        return place, path

    def _flag(self, table: Mapping[str, Any], name: str) -> bool:
        value = table.get(name, False)
        if not isinstance(value, bool):
            raise self._error(name, "is neither true nor false", f"write {name} = true")
        return value

    def _patterns(self, table: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
        value = table.get(name, [])
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
            raise self._error(
                f"{key}.{name}".lstrip("."), "is no list of patterns", f'write {name} = ["*.gguf"]'
            )
        return tuple(found)

    def _texts(self, table: Mapping[str, Any], name: str, example: str) -> tuple[str, ...]:
        found = table.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
            raise self._error(name, "is no list of texts", f"write {example}")
        return tuple(found)

    def _text(self, table: Mapping[str, Any], key: str, name: str) -> str | None:
        value = table.get(name)
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise self._error(f"{key}.{name}".lstrip("."), "is not a text", f'write {name} = "…"')
        return value

    def _size(self, table: Mapping[str, Any], key: str, name: str) -> int | None:
        value = table.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        try:
            return parse_size(value)
        except (UsageError, AttributeError) as error:
            raise self._error(
                f"{key}.{name}".lstrip("."), f"is {value!r}, no size", "write it like 500GB"
            ) from error

    def _known(self, table: Mapping[str, Any], keys: Iterable[str], prefix: str) -> None:
        for key in table:
            if key not in keys:
                self.warnings.append(
                    f"{self.path}: {prefix}{key} is not a setting of this hubfold; it is passed over"
                )

    def _error(self, key: str, what: str, hint: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key} {what}", hint)
