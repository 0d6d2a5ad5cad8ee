"""Paths as text and as what they lead to, and the nearest that is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from hubfold.disk import open_flags
from hubfold.errors import UsageError


def canonical(path: str | os.PathLike[str]) -> str:
    """The one absolute path, free of symlinks, by which a root is known. Raises `UsageError` for an empty text."""
    return os.path.realpath(named(path))


def named(path: str | os.PathLike[str]) -> str:
    """The absolute path that somebody means: ``~`` is the home, as in Python's own `os.path.expanduser`.

    Unless there is something of that very name, as programs make a folder ``~`` that were given ``~/models``, and a
    shell's ``*`` names it: nobody who removes that means the home. Raises `UsageError` for an empty text.
    """
    text = os.fsdecode(path)
    if not text:
        raise UsageError("an empty text is no path", "is a variable of your script not set?")
    is_home = text.startswith("~") and not os.path.lexists(text)
    return os.path.abspath(os.path.expanduser(text) if is_home else text)


#: Symlinks in a row that the kernel follows (path_resolution(7)).
_MOST_HOPS = 40


class RealPaths:
    """`os.path.realpath` for many paths, each folder on the way asked once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The absolute `path` free of symlinks, whether there is anything or not."""
        return self._of(path, 0)

    def _of(self, path: str, hops: int) -> str:
        folder, name = os.path.split(path)
        if hops > _MOST_HOPS:
            return os.path.realpath(path)
        if folder == path:
            return path
        real = self._folder(folder, hops)
        if name in ("", os.curdir):
            return real
        if name == os.pardir:
            return os.path.dirname(real)
        here = os.path.join(real, name)
        try:
            text = os.readlink(here)
        except OSError:
            return here
        return self._of(os.path.join(real, text), hops + 1)

    def _folder(self, path: str, hops: int) -> str:
        found = self._folders.get(path)
        if found is None:
            found = self._folders[path] = self._of(path, hops)
        return found


def plain(path: str) -> str:
    """`path` with symlinks in its folders resolved, itself not followed."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def target_of(link: str) -> str | None:
    """What a symlink points at, one hop, as `plain` has it; None where there is none."""
    try:
        text = os.readlink(link)
    except OSError:
        return None
    return plain(os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(link)), text)))


def hops(link: str) -> Iterator[str]:
    """Everything that a symlink leads through, one hop after another, each as `target_of` has it; as many as the kernel
    follows."""
    here: str | None = link
    for _ in range(_MOST_HOPS):
        here = target_of(here) if here is not None else None
        if here is None:
            return
        yield here


def within(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it, by their text."""
    return path == root or path.startswith(root if root.endswith("/") else root + "/")


def upwards(path: str) -> Iterator[str]:
    """`path` and each folder above it by its text, up to ``/``, or to "" for a relative one."""
    yield path
    while (above := os.path.dirname(path)) != path:
        path = above
        yield path


def gone(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` at which there is nothing."""
    return tuple(path for path in paths if not os.path.lexists(path))


def why_not_a_folder(path: str) -> OSError | None:
    """Why nobody can tell what is in this folder; None where it can be listed.

    That this user may not look is no sign that it is not there: `FileNotFoundError` and `NotADirectoryError` are.
    """
    try:
        os.close(os.open(path, open_flags.DIRECTORY))
    except OSError as error:
        return error
    return None


def existing(path: str) -> str:
    """The nearest folder at or above `path` that is there."""
    return next((folder for folder in upwards(path) if os.path.isdir(folder)), path)


def free_bytes(folder: str) -> int | None:
    """Bytes that this user may still write where `folder` is, or would be; None where that cannot be told."""
    try:
        space = os.statvfs(existing(folder))
    except OSError:
        return None
    return space.f_bavail * space.f_frsize
