"""How sizes, times and text from disk are typed and shown.

Names, metadata and repo ids are data (invariant 9): whatever they hold, a terminal must not obey it and a reader must
not be fooled by it. `shown` is applied by the output sink to every piece of text, so no caller can forget it.
"""

from __future__ import annotations

import re
from typing import Any

from hubfold.errors import UsageError

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?:(?P<unit>[kmgtp]?)(?P<binary>i?)b?)", re.IGNORECASE | re.ASCII
)

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def parse_size(text: str) -> int:
    """Bytes of a size as people type it: ``500M`` and ``10GB`` are decimal, ``1.5GiB`` is binary, ``4096`` is bytes.

    Raises `UsageError` for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match["binary"] and not match["unit"]):
        raise UsageError(f"{text!r} is not a size", "write it like 500M, 1.5GiB or 10GB")
    unit = match["unit"].lower()
    factor = _BINARY[unit] if match["binary"] else _DECIMAL[unit]
    whole, _, fraction = match["number"].partition(".")
    # In integers: a float would lose bytes above 2**53.
    return int(whole or 0) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "y": 365 * 86400}


def parse_duration(text: str) -> int:
    """Seconds of a time span as ``hf cache`` takes it: ``45s``, ``10m``, ``2h``, ``7d``, ``2w``, ``3mo``, ``1y``.

    A number alone is seconds. Raises `UsageError` for anything else.
    """
    match = re.fullmatch(r"(\d+) ?([a-z]*)", text.strip().lower(), re.ASCII)
    if match is None or (match[2] or "s") not in _SECONDS:
        raise UsageError(f"{text!r} is not a time span", "write it like 12h, 7d or 3mo")
    return int(match[1]) * _SECONDS[match[2] or "s"]


def time_span(seconds: float) -> str:
    """A time span as `parse_duration` takes it, in the largest unit from days down that divides it: ``7d``, ``36h``."""
    whole = round(seconds)
    unit = next((one for one in ("d", "h", "m") if whole and whole % _SECONDS[one] == 0), "s")
    return f"{whole // _SECONDS[unit]}{unit}"


def size(count: int) -> str:
    """`count` bytes in decimal units with one digit, as ``hf cache ls`` shows them: ``54.1G``; bytes as ``512B``."""
    sign, count = ("-", -count) if count < 0 else ("", count)
    if count < 1000:
        return f"{sign}{count}B"
    value = float(count)
    for unit in ("K", "M", "G", "T", "P", "E", "Z"):
        value /= 1000
        if round(value, 1) < 1000:
            return f"{sign}{value:.1f}{unit}"
    return f"{sign}{value / 1000:.1f}Y"


def duration(seconds: float) -> str:
    """A time span for reading: ``0.3 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 file``, ``1,234 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def from_home(text: str, home: str) -> str:
    """A path, or a sentence with paths in it, with ``~`` for the folder `home`."""
    home = home.rstrip("/")
    return re.sub(rf"(?<!\S){re.escape(home)}(?=/|$)", "~", text) if home else text


def shown(text: str) -> str:
    """`text` with everything that is not plainly visible escaped.

    Control characters become ``\\x1b`` and the like (``\\n``, ``\\r``, ``\\t`` by name), bytes not UTF-8 become
    ``\\xff``, direction marks, zero-width and other invisible characters ``\\u202e``. Where something was escaped,
    backslashes are doubled, so that the escape is unambiguous.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def as_json(value: Any, indent: int | None = 2) -> str:
    """`value` as JSON in ASCII only: names that are not UTF-8 are written with lone surrogates, as ``\\udcff``."""
    import json

    return json.dumps(value, ensure_ascii=True, indent=indent)


def ago(when: float | None, now: float) -> str:
    """How long ago, roughly, as people say it; times are seconds since the epoch."""
    if when is None:
        return ""
    seconds = max(now - when, 0)
    for unit, length in (("y", 365 * 86400), ("mo", 30 * 86400), ("w", 7 * 86400), ("d", 86400), ("h", 3600)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit} ago"
    return f"{seconds // 60:.0f}m ago" if seconds >= 120 else "just now"
