"""Whose stdout it is: a command's own, and nobody else's once there are plugins of others.

What they write (`print`, descriptor 1, programs that they start) goes to stderr then, from before the first of them is
imported to the end of the process. Our data goes through a descriptor that nobody else knows.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import NamedTuple, TextIO


class _Kept(NamedTuple):
    """Our stdout, what `sys.stdout` was before, and its descriptor, None where it has none (it is captured)."""

    ours: TextIO
    before: TextIO
    descriptor: int | None


_kept: _Kept | None = None
_had_guests = False


def stdout() -> TextIO:
    """Where a command's data goes."""
    return sys.stdout if _kept is None else _kept.ours


def shut_out() -> None:
    """Keep stdout to ourselves: plugins of others are going to be imported."""
    global _kept, _had_guests
    before: TextIO | None = sys.stdout
    if _kept is not None or before is None:
        return
    with suppress(OSError, ValueError):
        before.flush()
    descriptor = _descriptor_of(before)
    ours = before
    if descriptor is not None:
        ours = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(os.dup(descriptor), "w")),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=before.isatty(),
        )
        _to_stderr(descriptor)
    _kept, _had_guests = _Kept(ours, before, descriptor), True
    sys.stdout = sys.stderr


def give_back() -> None:
    """Undo `shut_out`, for who goes on after a command (our own tests, an application that runs one)."""
    global _kept
    if _kept is None:
        return
    kept, _kept = _kept, None
    sys.stdout = kept.before
    if kept.descriptor is not None:
        with suppress(OSError, ValueError):
            kept.ours.flush()
        with suppress(OSError):
            os.dup2(kept.ours.fileno(), kept.descriptor)
        with suppress(OSError):
            kept.ours.close()


def end() -> None:
    """The process ends: what plugins still do at its exit is not for stdout either."""
    descriptor = _descriptor_of(sys.stdout) if _had_guests else None
    if descriptor is not None:
        _to_stderr(descriptor)
        sys.stdout = sys.stderr


def _descriptor_of(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _to_stderr(descriptor: int) -> None:
    try:
        os.dup2(2, descriptor)
    except OSError:  # stderr is closed
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
