"""The registry: which model a user's name stands for, and at which place it is to lie.

``registry.db`` in the state directory, SQLite, apart from the index: that may be deleted at any time, this is the
user's own word. One table, ``models``, a row a name: ``name``, ``repo`` (as ``org/name`` or ``datasets/org/name``),
``revision`` (NULL for what main names), ``place`` (a place's name) or ``path`` (the folder of a cache or the one above
it, a BLOB, since it need not be UTF-8), both empty for wherever downloads go.

It is read by every command that takes a model, so reading needs the standard library alone; sqlite-utils comes in
where something is written, with the migrations.

Exported and imported as JSON with the keys that people's own registries have: ``model_name``, ``hf_path``,
``cache_location`` (a place, or ``custom``), ``cache_path``, and ``revision``.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from hubfold.errors import HubfoldError, Locked, NoSpace, UsageError
from hubfold.models.names import ConfiguredModel, parse

if TYPE_CHECKING:
    from sqlite_utils import Database

#: The file in the state directory.
FILE = "registry.db"
#: ``cache_location`` of a model that is registered by a path.
CUSTOM = "custom"
_SET = "hubfold-registry"
_M001 = """CREATE TABLE models (
    name TEXT PRIMARY KEY, repo TEXT NOT NULL, revision TEXT, place TEXT NOT NULL, path BLOB NOT NULL
)"""
#: What the file has in it, but for what SQLite and the migrations make by themselves.
_TABLES = {("table", "models")}
_OWN = ("sqlite_", "_sqlite_migrations", "idx__sqlite_migrations")
#: How long a command waits for another that writes.
_LOCK_SECONDS = 5.0
_PRIVATE = 0o600


class RegistryDamaged(HubfoldError):
    """The registry cannot be read, or is not what hubfold wrote."""


class Registry:
    """The registry in a state directory. Nothing is made by reading it."""

    def __init__(self, home: str, make_home: Callable[[], None]) -> None:
        self.path = os.path.join(home, FILE)
        self._make_home = make_home

    def models(self) -> dict[str, ConfiguredModel]:
        """What is registered, by name. Raises `RegistryDamaged`, `Locked`."""
        if not os.path.exists(self.path):
            return {}
        with self._opened() as connection:
            rows = connection.execute("SELECT name, repo, revision, place, path FROM models ORDER BY name")
            return {row[0]: _model(*row) for row in rows}

    def put(self, models: Iterable[ConfiguredModel]) -> None:
        """Register all of `models`, or none; a name that is there already stands for the new one.

        Raises `RegistryDamaged`, `Locked`, `NoSpace`.
        """
        rows = [(one.name, one.repo_id, one.revision, one.place, os.fsencode(one.path)) for one in models]
        self._write(
            "INSERT OR REPLACE INTO models (name, repo, revision, place, path) VALUES (?, ?, ?, ?, ?)", rows
        )

    def remove(self, name: str) -> None:
        """Forget a name. Raises as `put`."""
        self._write("DELETE FROM models WHERE name = ?", [(name,)])

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        from sqlite_utils import Database

        self._make_home()
        if not os.path.exists(self.path):
            # Private from its first moment on, as the folder is.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, _PRIVATE))
        with self._opened(new=True) as connection:
            migrate(Database(connection, recursive_triggers=False, execute_plugins=False))
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, rows)
            connection.commit()

    @contextmanager
    def _opened(self, *, new: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None)
            ) as connection:
                # Nothing that is stored in the schema may call functions with side effects.
                connection.execute("PRAGMA trusted_schema = 0")
                found = set(connection.execute("SELECT type, name FROM sqlite_master"))
                strange = sorted(name for _, name in found - _TABLES if not name.startswith(_OWN))
                if strange:
                    raise RegistryDamaged(
                        f"the registry {self.path} has {strange[0]!r} in it, which hubfold did not make",
                        "look at it, then move it away and register the models again",
                    )
                if not new and not found:
                    connection.execute("CREATE TEMP TABLE models (name, repo, revision, place, path)")
                yield connection
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.DatabaseError) -> HubfoldError:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Locked(f"the registry {self.path} is in use by another program", "wait, then try again")
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return NoSpace(f"the registry {self.path} cannot be written: {error}", "make room where it lies")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return HubfoldError(f"the registry {self.path} cannot be used: {error}", "mend its permissions")
        return RegistryDamaged(
            f"the registry {self.path} is damaged: {error}", "move it away and register the models again"
        )


def migrate(db: Database) -> None:
    """Bring the tables up to date. Raises `RegistryDamaged` where a later hubfold has made them."""
    from sqlite_utils import Migrations

    migrations = Migrations(_SET)

    @migrations()
    def m001_models(db: Database) -> None:
        db.execute(_M001)

    if db[migrations.migrations_table].exists():
        applied = {one.name for one in migrations.applied(db)}
        if applied - {"m001_models"}:
            raise RegistryDamaged("the registry was made by a newer hubfold", "upgrade hubfold")
    if migrations.pending(db):
        migrations.apply(db)


def _model(name: str, repo: str, revision: str | None, place: str, path: bytes) -> ConfiguredModel:
    return ConfiguredModel(name, repo, revision, place=place, path=os.fsdecode(path))


def checked(model: ConfiguredModel) -> ConfiguredModel:
    """`model`. Raises `UsageError` where its name, its repo id or its revision cannot be one."""
    name = model.name
    if not name or name != name.strip() or not name.isprintable() or name.startswith(("-", "/", ".", "~")):
        raise UsageError(f"{name!r} is no name for a model", "give a word, like small or base-v2")
    if "/" in name and name != model.repo_id:
        raise UsageError(
            f"{name!r} looks like a repo id, and would stand for another", "give a word without a slash"
        )
    parse(model.repo_id, revision=model.revision)
    return model


# -- JSON


def as_entry(model: ConfiguredModel, cache_path: str) -> dict[str, str | None]:
    """A model as it is exported; `cache_path` is where its place lies now."""
    return {
        "model_name": model.name,
        "hf_path": model.repo_id,
        "revision": model.revision,
        "cache_location": model.place or (CUSTOM if model.path else None),
        "cache_path": cache_path or None,
    }


def entries(text: str, where: str) -> Iterator[Mapping[str, Any]]:
    """The entries of a file that is imported: a list, ``{"models": [...]}``, or an object by names.

    Raises `UsageError` for what is none of these.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}", "mend that place") from error
    if isinstance(document, dict):
        document = document.get("models", document)
    if isinstance(document, dict):
        document = [{"model_name": name, **one} for name, one in document.items() if isinstance(one, dict)]
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise UsageError(f"{where} holds no list of models", 'write [{"model_name": …, "hf_path": …}]')
    yield from document


def from_entry(entry: Mapping[str, Any], places: Iterable[str], folder: str) -> ConfiguredModel:
    """The model of an entry; `places` are the names there are, relative paths count from `folder`.

    A place counts where there is one of that name, else the path. Raises `UsageError`, which names the entry.
    """

    def text(key: str) -> str:
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{key} of {entry.get('model_name')!r} is no text", "write it in quotes")
        return (value or "").strip()

    name, repo = text("model_name"), text("hf_path")
    if not name or not repo:
        raise UsageError(f"an entry has no {'hf_path' if name else 'model_name'}: {dict(entry)}", "add it")
    place, path = text("cache_location"), text("cache_path")
    if place == CUSTOM and not path:
        raise UsageError(f"{name} is at a custom place and has no cache_path", "add it")
    if place and place != CUSTOM and place not in places and not path:
        raise UsageError(f"no place is called {place!r}, where {name} is to lie", "see `hubfold roots`")
    known = place in places
    full = os.path.normpath(os.path.join(folder, os.path.expanduser(path))) if path and not known else ""
    return checked(
        ConfiguredModel(name, repo, text("revision") or None, place=place if known else "", path=full)
    )
