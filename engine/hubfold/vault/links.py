"""The links that objects are kept for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from hubfold.disk.paths import plain


def links_below(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(link, what it points at, one hop, as `plain` has it) of every symlink below the roots."""
    known: dict[str, str] = {}
    for root in roots:
        for folder, folders, files in os.walk(root):
            real = None
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                with suppress(OSError):
                    text = os.readlink(path)
                    real = real or os.path.realpath(folder)
                    top, last = os.path.split(os.path.normpath(os.path.join(real, text)))
                    if top not in known:
                        known[top] = os.path.realpath(top)
                    yield path, os.path.join(known[top], last)


def points_at(link: str, object_: str) -> bool:
    """Whether the symlink `link` names `object_`, whether or not that exists."""
    try:
        text = os.readlink(link)
    except OSError:
        return False
    return plain(os.path.join(os.path.realpath(os.path.dirname(link)), text)) == plain(object_)
