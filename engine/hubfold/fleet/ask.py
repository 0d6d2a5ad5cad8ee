"""Asks exported indexes (`layout`) questions (`questions`), by DuckDB, which reads these files and nothing else.

What the files say is data of other hosts and users: names and models in them are values, never SQL.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubfold import display
from hubfold.errors import HubfoldError, RootError
from hubfold.fleet import layout, questions
from hubfold.fleet.export import missing
from hubfold.reports.fleet import Answer, ExportedFile, FleetReport
from hubfold.reports.outcomes import Notice

if TYPE_CHECKING:
    import duckdb

#: What DuckDB takes for a pattern in the name of a file.
_PATTERN = re.compile(r"[*?\[\]{}]")


def exported_at(places: Sequence[str]) -> list[str]:
    """The exported files at these folders, files and patterns, sorted. Raises `RootError` where one has none."""
    found: set[str] = set()
    for place in places:
        path = os.path.abspath(os.path.expanduser(place))
        here = [path] if os.path.isfile(path) else _matching(path)
        files = [one for one in here if os.path.isfile(one)]
        for folder in filter(os.path.isdir, [path, *here]):
            names = sorted(os.listdir(folder))
            files += [os.path.join(folder, name) for name in names if _is_export(name)]
        if not files:
            raise RootError(
                f"{place} has no exported index",
                "write one on each host: hubfold export DIR, where DIR is a folder that you can read here",
            )
        found |= set(files)
    return sorted(found)


def _matching(pattern: str) -> list[str]:
    try:
        return [os.fspath(found) for found in Path("/").glob(pattern.lstrip("/"))]
    except (ValueError, OSError):
        return []


def _is_export(name: str) -> bool:
    return name.endswith(layout.SUFFIX) and not name.startswith(".")


def ask(
    paths: Sequence[str], wanted: Sequence[str], *, model: str = "", limit: int = 20, stale_after: float
) -> FleetReport:
    """The answers to the `wanted` questions (by name; with a `model`, to that about it alone).

    Files that are none, or of another version, are left out and told. Raises `HubfoldError`.
    """
    try:
        import duckdb
    except ImportError:
        raise missing("duckdb") from None
    warnings: list[Notice] = []
    with tempfile.TemporaryDirectory(prefix="hubfold-fleet-") as scratch:
        # Nothing is fetched, and what does not fit into memory goes nowhere else.
        safe: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": scratch,
        }
        with duckdb.connect(":memory:", config=safe) as database:
            found = [one for path in paths if (one := _looked_at(database, path, warnings, stale_after))]
            if not found:
                raise HubfoldError(
                    "none of the files can be read: "
                    + "; ".join(f"{one.path}: {one.message}" for one in warnings[:3]),
                    "export them anew: hubfold export DIR",
                )
            machines = {(one.host, one.machine) for one in found}
            namesakes = len({host for host, _ in machines}) < len(machines)
            database.execute(questions.view([one.path for one in found], namesakes=namesakes))
            asked = (
                {"model": questions.MODEL} if model else {name: questions.QUESTIONS[name] for name in wanted}
            )
            values: dict[str, Any] = {"model": model, "limit": limit}
            answers = tuple(_answer(database, name, one, values) for name, one in asked.items())
    return FleetReport(tuple(found), answers, tuple(warnings))


def explained(paths: Sequence[str], wanted: Sequence[str], *, model: str = "") -> str:
    """The SQL of these questions, as DuckDB takes it; each ``?`` is a value."""
    asked = [questions.MODEL] if model else [questions.QUESTIONS[name] for name in wanted]
    statements = [questions.view(list(paths)), *(f"-- {one.title}{one.sql}" for one in asked)]
    return ";\n\n".join(statements) + ";"


def _looked_at(
    database: duckdb.DuckDBPyConnection, path: str, warnings: list[Notice], stale_after: float
) -> ExportedFile | None:
    """An export of today's format; None for anything else, and why is told."""
    try:
        if _PATTERN.search(path):
            raise ValueError("its path has signs in it that stand for a pattern (* ? [ ] { })")
        kept = database.execute("SELECT key, value FROM parquet_kv_metadata(?)", [path]).fetchall()
        about = {bytes(key).decode("utf-8", "replace"): bytes(value) for key, value in kept}
        version = about.get(layout.KEY)
        if version is None:
            raise ValueError("it is no export of hubfold's")
        if version != str(layout.VERSION).encode():
            raise ValueError(
                f"it has format {display.shown(str(version[:20]))}, and this hubfold reads {layout.VERSION}"
            )
        columns = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
        if {name: kind for name, kind, *_ in columns} != _TYPES:
            raise ValueError("it has other columns than its format")
        host, machine, scanned, rows = (about[f"{layout.KEY}.{name}"].decode() for name in layout.ABOUT)
        age = max(0, round(time.time() - int(scanned)))
        return ExportedFile(path, host, machine, int(rows), age, stale=age > stale_after)
    except _errors(KeyError, ValueError, OSError) as error:
        text = (
            "it does not say what it is"
            if isinstance(error, KeyError)
            else str(error).partition("\n")[0][:200]
        )
        warnings.append(Notice(path, text))
        return None


_TYPES = {name: layout.TYPES[kind] for name, kind in layout.COLUMNS.items()}


def _errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    import duckdb

    return (duckdb.Error, *others)


def _answer(
    database: duckdb.DuckDBPyConnection, name: str, question: questions.Question, values: dict[str, Any]
) -> Answer:
    rows = _run(database, question.sql, [values[one] for one in question.takes])
    columns = tuple(column[0] for column in database.description or ())
    return Answer(name, question.title, columns, tuple(rows))


def _run(database: duckdb.DuckDBPyConnection, sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    try:
        return database.execute(sql, values).fetchall()
    except _errors(OSError) as error:
        raise HubfoldError(
            f"the exported files do not answer: {str(error).splitlines()[0][:300]}",
            "one of them may be damaged: ask about one at a time, and export that host anew",
        ) from error
