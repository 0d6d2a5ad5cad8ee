"""The links that objects are kept for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from hubfold.disk.paths import plain
from hubfold.vault.names import OBJECTS, claims_of


def links_below(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(link, what it points at, one hop, as `plain` has it) of every symlink below the roots."""
    known: dict[str, str] = {}
    real: dict[str, str] = {}
    for path, text in texts_below(roots):
        folder = os.path.dirname(path)
        if folder not in real:
            real = {folder: os.path.realpath(folder)}  # links of a folder come one after the other
        top, last = os.path.split(os.path.normpath(os.path.join(real[folder], text)))
        if top not in known:
            known[top] = os.path.realpath(top)
        yield path, os.path.join(known[top], last)


def texts_below(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(link, its text) of every symlink below the roots."""
    for root in roots:
        for folder, folders, files in os.walk(root):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                with suppress(OSError):
                    yield path, os.readlink(path)


def object_named(text: str) -> str:
    """The name of the vault object that the text of a symlink leads to, in whichever vault; "" if to none."""
    top, _, name = text.rpartition("/")
    return name if top.endswith(f"{OBJECTS}/{name[:2]}") and claims_of(name) else ""


def leads_to(text: str, object_: str) -> bool:
    """Whether the text of a symlink names this object in some vault: this one, or where this one was before."""
    return object_named(text) == os.path.basename(object_)


def points_at(link: str, object_: str) -> bool:
    """Whether the symlink `link` names `object_`, whether or not that exists."""
    try:
        text = os.readlink(link)
    except OSError:
        return False
    return plain(os.path.join(os.path.realpath(os.path.dirname(link)), text)) == plain(object_)
