"""Repositories of DVC as DVC leaves them, written by hand."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from tests.building.tree import write


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def stored(cache: Path, data: bytes, suffix: str = "") -> Path:
    """An object of a cache, or of a remote."""
    name = md5(data) + suffix
    path = cache / "files/md5" / name[:2] / name[2:]
    write(str(path), data, mode=0o444)
    return path


def repository(
    folder: Path,
    files: Mapping[str, bytes],
    folders: Mapping[str, Mapping[str, bytes]] | None = None,
    *,
    cache: Path | None = None,
    linked: bool = False,
) -> Path:
    """A repository that tracks `files` and `folders`, copies of its objects, or hard links to them (`cache.type`)."""
    own = folder / ".dvc"
    settings = "" if cache is None else f"[cache]\n    dir = {cache}\n"
    for name, text in {".dvc/config": settings, ".dvc/tmp/lock": " 12345\n", ".dvc/tmp/rwlock": "{}"}.items():
        write(str(folder / name), text.encode())
    place = own / "cache" if cache is None else cache
    place.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        _put(folder / name, stored(place, data), linked=linked)
        noted(folder / name, md5(data))
    for name, inside in (folders or {}).items():
        listed = [{"md5": md5(data), "relpath": path} for path, data in sorted(inside.items())]
        for path, data in inside.items():
            _put(folder / name / path, stored(place, data), linked=linked)
        note = json.dumps(listed).encode()
        stored(place, note, ".dir")
        noted(folder / name, md5(note) + ".dir")
    return folder


def _put(path: Path, object_: Path, *, linked: bool) -> None:
    if linked:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(object_, path)
    else:
        write(str(path), object_.read_bytes())


def noted(path: Path, name: str) -> None:
    """The note by which the file or folder at `path` is tracked."""
    text = f"outs:\n- md5: {name}\n  size: 1\n  hash: md5\n  path: {path.name}\n"
    write(f"{path}.dvc", text.encode())
