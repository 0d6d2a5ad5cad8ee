"""Hypothesis strategies for what somebody else wrote, or what a disk made of it: bytes, and documents."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

#: What a reader may trip over when it stands where something sensible was expected.
_ODD_TEXTS = (
    "",
    ".",
    "..",
    "../../escaped",
    "/",
    "a\0b",
    "a\nb",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\ud800",
    "\udcff\udcfe",
    "-rf",
    "~",
    "x" * 300,
    "0" * 64,
    "NaN",
    "1e999",
)
_ODD_NUMBERS = (0, -1, 1, 1 << 31, 1 << 63, 1 << 64, -(1 << 64), 10**40, 0.5, float("nan"), float("inf"))


def _nested(depth: int) -> Any:
    made: Any = []
    for _ in range(depth):
        made = [made]
    return made


values = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.sampled_from(_ODD_NUMBERS)
        | st.sampled_from(_ODD_TEXTS)
        | st.text(max_size=8)
        | st.just([])
        | st.just({})
        | st.just([[]])
        | st.sampled_from((5, 500)).map(_nested)
        | st.dictionaries(st.sampled_from(("path", "size", "sha256", "..", "x\ny")), st.none(), max_size=2)
    )
)

#: A change of bytes, made of numbers so that one strategy serves every text: (what, where, with).
_Cut = tuple[int, int, bytes]
_cuts = st.tuples(st.integers(0, 5), st.integers(0, 1 << 20), st.binary(max_size=12))


def _cut(data: bytes, what: int, where: int, with_: bytes) -> bytes:
    at = where % (len(data) + 1)
    if what == 0:
        return data[:at]
    if what == 1 and data:
        at %= len(data)
        return data[:at] + bytes([data[at] ^ (1 << where % 8)]) + data[at + 1 :]
    if what == 2:
        return data[:at] + with_ + data[at:]
    if what == 3:
        return data[:at] + with_ + data[at + len(with_) :]
    lines = data.split(b"\n")
    row = where % len(lines)
    if what == 4:
        return b"\n".join([*lines[:row], *lines[row + 1 :]])
    return b"\n".join([*lines[:row], lines[row], *lines[row:]])


def damages() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Functions that damage bytes: cut short, bits flipped, pieces put in, lines lost or doubled; or other bytes."""

    def damage(cuts: list[_Cut]) -> Callable[[bytes], bytes]:
        def damaged(data: bytes) -> bytes:
            for cut in cuts:
                data = _cut(data, *cut)
            return data

        return damaged

    other = st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode())
    return st.lists(_cuts, min_size=1, max_size=3).map(damage) | other.map(lambda data: lambda _: data)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def changes() -> st.SearchStrategy[Callable[[Any], Any]]:
    """Functions that change a JSON document: a value is another one, or is gone, or there is one more."""
    one = st.tuples(st.integers(0, 1 << 20), st.integers(0, 5), values)

    def change(steps: list[tuple[int, int, Any]]) -> Callable[[Any], Any]:
        def changed(document: Any) -> Any:
            document = copy.deepcopy(document)
            for where, what, given in steps:
                value = copy.deepcopy(given)  # or the same list would come to lie in itself
                places = _places(document)
                if not places:
                    return value
                container, key = places[where % len(places)]
                if what == 0:
                    del container[key]
                elif what == 1 and isinstance(container, dict):
                    container[value if isinstance(value, str) else "more"] = container.pop(key)
                else:
                    container[key] = value
            return document

        return changed

    return st.lists(one, min_size=1, max_size=3).map(change)
