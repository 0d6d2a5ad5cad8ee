"""Variables in the values of a compose file. Pure.

As the Compose specification has it (interpolation): ``$NAME``, ``${NAME}``, ``${NAME:-default}`` where it is not set or
empty, ``${NAME-default}`` where it is not set, ``${NAME:?message}`` and ``${NAME?message}``, ``${NAME:+instead}`` and
``${NAME+instead}``; defaults may have variables in their turn. ``$$`` is a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hubfold.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOW = re.compile(r":?[-?+]")


def filled_in(text: str, environ: Mapping[str, str]) -> str:
    """`text` with its variables filled in; what is not set is empty. Raises `UsageError` as the text asks for."""
    found, end = _filled(text, 0, environ, until="")
    assert end == len(text)
    return found


def _filled(text: str, at: int, environ: Mapping[str, str], until: str) -> tuple[str, int]:
    """(the text from `at` on up to `until`, where that is)."""
    found = ""
    while at < len(text) and (not until or text[at] != until):
        if text[at] != "$":
            found, at = found + text[at], at + 1
        elif text.startswith("$$", at):
            found, at = found + "$", at + 2
        elif text.startswith("${", at):
            value, at = _braced(text, at + 2, environ)
            found += value
        elif name := _NAME.match(text, at + 1):
            found, at = found + environ.get(name[0], ""), name.end()
        else:
            raise UsageError(f"{text!r}: a dollar without a name", "write $$ for a dollar")
    return found, at


def _braced(text: str, at: int, environ: Mapping[str, str]) -> tuple[str, int]:
    name = _NAME.match(text, at)
    if name is None:
        raise UsageError(f"{text!r}: no name follows on ${{", "write $$ for a dollar")
    value = environ.get(name[0])
    how = _HOW.match(text, name.end())
    other, end = _filled(text, how.end() if how else name.end(), environ, until="}")
    if end >= len(text) or (not how and other):
        raise UsageError(f"{text!r}: ${{{name[0]} has no end", "close it with }")
    if how is None:
        return value or "", end + 1
    there = bool(value) if how[0].startswith(":") else value is not None
    if how[0].endswith("+"):
        return other if there else "", end + 1
    if not there and how[0].endswith("?"):
        raise UsageError(f"{name[0]} is not set: {other or 'the file asks for it'}", f"set {name[0]}")
    return (value or "") if there else other, end + 1
