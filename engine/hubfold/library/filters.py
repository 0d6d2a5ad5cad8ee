"""Which models `ls` shows and in which order: filters, sorting and limits as ``hf cache ls`` of huggingface_hub 2.4.0,
and more of them.

A filter is ``KEY OP VALUE``: ``size>1GB``, ``accessed>7d`` (not used for more than 7 days), ``modified<2w``,
``type=model``, ``refs=main``; of our own, each column that `ls` shows: ``model=org/*``, ``on-disk>1GB``, ``frees>1GB``,
``state=broken``, ``places>1``, ``where=/mnt/usb``. All filters have to hold. A sort key is one of these too, with
``:asc`` or ``:desc``; without, texts go up and figures and times go down. The client calls the key of names ``name``.
"""

from __future__ import annotations

import operator
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hubfold.display import parse_duration, parse_size
from hubfold.errors import UsageError
from hubfold.reports.models import Model, Revision, Wholeness

Row = tuple[Model, Revision | None]
Test = Callable[[Row], bool]

_FILTER = re.compile(r"(?P<key>[a-zA-Z][a-zA-Z _-]*?)\s*(?P<op>!=|>=|<=|>|<|=)\s*(?P<value>.+)")
_SORT = re.compile(r"(?P<key>[a-z][a-z _-]*)(?::(?P<order>asc|desc))?")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_ALIASES = {"name": "model", "disk": "on-disk", "freed": "frees"}


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
        key, descending = _order(sort)
        value = _SORTED_BY[key]
        chosen.sort(key=value, reverse=descending)
    if limit is not None and limit < 0:
        raise UsageError(f"a limit of {limit} makes no sense", "give a number from 0 on")
    return chosen[:limit]


def keys(filters: Sequence[str] = (), sort: str | None = None) -> frozenset[str]:
    """What is filtered and sorted by. Raises `UsageError`."""
    return frozenset([*(_parts(one)[0] for one in filters), *([_order(sort)[0]] if sort is not None else [])])


# -- what a row is held against


def _size(row: Row) -> int:
    model, revision = row
    return model.bytes if revision is None else revision.bytes


def _accessed(row: Row) -> float | None:
    return row[0].last_accessed


def _modified(row: Row) -> float | None:
    model, revision = row
    return model.last_modified if revision is None else revision.last_modified


def _state(row: Row) -> Wholeness:
    model, revision = row
    return model.state if revision is None else revision.state


def _refs(row: Row) -> Sequence[str]:
    model, revision = row
    return model.refs if revision is None else revision.refs


def _where(row: Row) -> Sequence[str]:
    model, revision = row
    return [place.path for place in model.places] if revision is None else [revision.path]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"{text!r} is not a number", "write it like 2")
    return int(text)


#: Figures, by what a user calls them: what they are of a row, and how they are typed.
_FIGURES: Mapping[str, tuple[Callable[[Row], int], Callable[[str], int]]] = {
    "size": (_size, parse_size),
    "on-disk": (lambda row: row[0].physical_bytes, parse_size),
    "frees": (lambda row: row[0].freed_bytes or 0, parse_size),
    "places": (lambda row: len(row[0].places), _number),
}
_TIMES: Mapping[str, Callable[[Row], float | None]] = {"accessed": _accessed, "modified": _modified}
_TEXTS: Mapping[str, Callable[[Row], Sequence[str]]] = {
    "model": lambda row: [row[0].id],
    "refs": _refs,
    "state": lambda row: [_state(row)],
    "type": lambda row: [row[0].repo_type],
    "where": _where,
}
KEYS = (*_FIGURES, *_TIMES, *_TEXTS)
_SORTED_BY: Mapping[str, Callable[[Row], Any]] = {
    **{key: value for key, (value, _) in _FIGURES.items()},
    "accessed": lambda row: _accessed(row) or 0.0,
    "modified": lambda row: _modified(row) or 0.0,
    **_TEXTS,
    # As the client: datasets before models.
    "model": lambda row: (row[0].repo_type, row[0].id.lower()),
}


def _known(key: str, what: str) -> str:
    plain = re.sub(r"[ _-]+", "-", key.strip().lower())
    name = _ALIASES.get(plain, plain)
    if name not in KEYS:
        raise UsageError(f"{key!r} is not what can be {what} by", f"choose one of {', '.join(sorted(KEYS))}")
    return name


def _parts(expression: str) -> tuple[str, str, str]:
    """Key, operator and value of a filter. Raises `UsageError`."""
    match = _FILTER.fullmatch(expression.strip())
    if match is None:
        raise UsageError(
            f"{expression!r} is not a filter", 'write it like "size>1GB", "accessed>7d" or "type=model"'
        )
    return _known(match["key"], "filtered"), match["op"], match["value"].strip()


def _test(expression: str, now: float) -> Test:
    key, symbol, value = _parts(expression)
    compare = _COMPARE[symbol]
    if key in _FIGURES:
        figure, parse = _FIGURES[key]
        wanted = parse(value)
        return lambda row: compare(figure(row), wanted)
    if key in _TIMES:
        seconds = parse_duration(value)

        def by_age(row: Row) -> bool:
            when = _TIMES[key](row)
            return when is not None and compare(now - when, seconds)

        return by_age
    if symbol not in ("=", "!="):
        raise UsageError(f"{expression!r}: {key} knows only = and !=", f"write {key}={value}")
    if key == "state" and value.lower() not in set(Wholeness):
        raise UsageError(f"{value!r} is not a state", f"choose one of {', '.join(Wholeness)}")
    fits = _is_at(value) if key == "where" else _is_called(value)
    return lambda row: any(map(fits, _TEXTS[key](row))) == (symbol == "=")


def _is_called(pattern: str) -> Callable[[str], bool]:
    wanted = pattern.lower()
    return lambda text: fnmatchcase(text.lower(), wanted)


def _is_at(place: str) -> Callable[[str], bool]:
    """Whether a path is this folder, lies below it, or is like it."""
    wanted = os.path.normpath(os.path.expanduser(place))
    below = os.path.join(wanted, "")
    return lambda path: path == wanted or path.startswith(below) or fnmatchcase(path, wanted)


def _order(expression: str) -> tuple[str, bool]:
    """What is sorted by, and whether it goes down. Raises `UsageError`."""
    match = _SORT.fullmatch(expression.strip().lower())
    if match is None:
        raise UsageError(
            f"{expression!r} is not what can be sorted by",
            f"choose one of {', '.join(sorted(KEYS))}, with :asc or :desc",
        )
    key = _known(match["key"], "sorted")
    return key, (match["order"] or ("asc" if key in _TEXTS else "desc")) == "desc"
