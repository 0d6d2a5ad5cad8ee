"""Which models `ls` shows and in which order: filters, sorting and limits as ``hf cache ls`` of huggingface_hub 2.4.0.

A filter is ``KEY OP VALUE``: ``size>1GB``, ``accessed>7d`` (not used for more than 7 days), ``modified<2w``,
``type=model``, ``refs=main``, and of our own ``state=broken``. All filters have to hold. A sort key is accessed,
modified, name or size, with ``:asc`` or ``:desc``; without, names go up and all else goes down.
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from hubfold.display import parse_duration, parse_size
from hubfold.errors import UsageError
from hubfold.reports.models import Model, Revision, Wholeness

Row = tuple[Model, Revision | None]
Test = Callable[[Row], bool]

FILTER_KEYS = ("accessed", "modified", "refs", "size", "state", "type")
SORT_KEYS = ("accessed", "modified", "name", "size")

_FILTER = re.compile(r"(?P<key>[a-zA-Z_]+)\s*(?P<op>!=|>=|<=|>|<|=)\s*(?P<value>.+)")
_SORT = re.compile(r"(?P<key>[a-z_]+)(?::(?P<order>asc|desc))?")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def rows(models: Sequence[Model], *, revisions: bool = False) -> list[Row]:
    """A row for each model, or one for each of its revisions."""
    if not revisions:
        return [(model, None) for model in models]
    return [
        (model, one)
        for model in models
        for one in sorted(model.revisions, key=lambda revision: revision.revision)
    ]


def select(
    found: Sequence[Row],
    filters: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
    now: float | None = None,
) -> list[Row]:
    """The rows that pass all `filters`, sorted, the first `limit` of them. Raises `UsageError`."""
    moment = time.time() if now is None else now
    tests = [_test(expression, moment) for expression in filters]
    chosen = [row for row in found if all(test(row) for test in tests)]
    if sort is not None:
        key, reverse = _order(sort)
        chosen.sort(key=key, reverse=reverse)
    if limit is not None and limit < 0:
        raise UsageError(f"a limit of {limit} makes no sense", "give a number from 0 on")
    return chosen[:limit]


def _size(row: Row) -> int:
    model, revision = row
    return model.bytes if revision is None else revision.bytes


def _modified(row: Row) -> float | None:
    model, revision = row
    return model.last_modified if revision is None else revision.last_modified


def _test(expression: str, now: float) -> Test:
    match = _FILTER.fullmatch(expression.strip())
    if match is None:
        raise UsageError(
            f"{expression!r} is not a filter", 'write it like "size>1GB", "accessed>7d" or "type=model"'
        )
    key, symbol, value = match["key"].lower(), match["op"], match["value"].strip()
    compare = _COMPARE[symbol]
    if key == "size":
        size = parse_size(value)
        return lambda row: compare(_size(row), size)
    if key in ("accessed", "modified"):
        seconds = parse_duration(value)

        def by_age(row: Row) -> bool:
            when = row[0].last_accessed if key == "accessed" else _modified(row)
            return when is not None and compare(now - when, seconds)

        return by_age
    if key not in FILTER_KEYS:
        raise UsageError(f"{key!r} is not what can be filtered by", f"choose one of {', '.join(FILTER_KEYS)}")
    if symbol != "=":
        raise UsageError(f"{expression!r}: {key} knows only =", f"write {key}={value}")
    wanted = value.lower()
    if key == "type":
        return lambda row: row[0].repo_type == wanted
    if key == "state":
        if wanted not in set(Wholeness):
            raise UsageError(f"{value!r} is not a state", f"choose one of {', '.join(Wholeness)}")
        return lambda row: (row[0] if row[1] is None else row[1]).state == wanted
    return lambda row: wanted in [ref.lower() for ref in (row[0] if row[1] is None else row[1]).refs]


def _order(expression: str) -> tuple[Callable[[Row], Any], bool]:
    match = _SORT.fullmatch(expression.strip().lower())
    if match is None or match["key"] not in SORT_KEYS:
        raise UsageError(
            f"{expression!r} is not what can be sorted by",
            f"choose one of {', '.join(SORT_KEYS)}, with :asc or :desc",
        )
    keys: dict[str, Callable[[Row], Any]] = {
        "name": lambda row: (row[0].repo_type, row[0].id.lower()),
        "size": _size,
        "accessed": lambda row: row[0].last_accessed or 0.0,
        "modified": lambda row: _modified(row) or 0.0,
    }
    key = match["key"]
    return keys[key], (match["order"] or ("asc" if key == "name" else "desc")) == "desc"
