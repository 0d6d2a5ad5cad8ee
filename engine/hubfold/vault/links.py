"""The links that objects are kept for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from hubfold.disk.paths import RealPaths, plain
from hubfold.vault.names import OBJECTS, claims_of


def links_below(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(link, what it points at, one hop, as `plain` has it) of every symlink below the roots.

    Of a folder that lies in two of them each link comes once. What cannot be read is passed over.
    """
    resolved = RealPaths()
    for path, text in texts_below(roots):
        real = resolved.of(os.path.dirname(path))
        top, last = os.path.split(os.path.normpath(os.path.join(real, text)))
        yield path, os.path.join(resolved.of(top), last)


def texts_below(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(link, its text) of every symlink below the roots, each once. What cannot be read is passed over."""
    seen: set[str] = set()
    for root in roots:
        pending = [root]
        while pending:
            folder = pending.pop()
            if folder in seen:
                continue
            seen.add(folder)
            names, below = _listed(folder)
            pending += below
            for name in names:
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


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """(names of the symlinks in a folder, paths of the folders in it)."""
    links: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_symlink():
                        links.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(os.path.join(folder, entry.name))
                except OSError:
                    continue
    except OSError:
        return links, folders
    return links, folders


def points_at(link: str, object_: str) -> bool:
    """Whether the symlink `link` names `object_`, whether or not that exists."""
    try:
        text = os.readlink(link)
    except OSError:
        return False
    return plain(os.path.join(os.path.realpath(os.path.dirname(link)), text)) == plain(object_)
