"""Mounts as data, and the way that a path takes through them, hop by hop. Pure: a `Look` is asked what lies at a path.

A container has a root of its own. Of the host's it has what is mounted, each folder at the path that it is mounted at.
A symlink keeps its text: an absolute one means the container's root, a relative one the folder that it is seen in.
Nested mounts lie as a runtime makes them, the outer one first (they sort volumes by the depth of their targets).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hubfold.errors import UsageError

#: What lies at a path of the host: the text of a symlink, else whether it is a folder; None where there is nothing.
Look = Callable[[str], str | bool | None]

#: Symlinks in a row that the kernel follows (path_resolution(7)).
_MOST_HOPS = 40
#: Options of a mount that say who may write (docker-run(1), mount(8)).
_READ_ONLY, _READ_WRITE = "ro", "rw"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host at a path of the container, both absolute and plain; a source of "" is no folder of the
    host's: a volume that the engine of the containers keeps."""

    source: str
    target: str
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.target}" + (":ro" if self.read_only else "")


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a path of the container leads."""

    #: The path in the container, as far as it goes, with what was left of it where nothing is.
    at: str
    #: The same on the host, None where no mount shows it.
    here: str | None
    there: bool
    #: It goes round in circles.
    loop: bool = False


def parse(text: str) -> tuple[str, str, bool]:
    """(folder of the host, path of the container, read-only) of ``HOST:CONTAINER[:OPTIONS]``.

    Raises `UsageError` where it is none.
    """
    host, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not host or not target.startswith("/"):
        raise UsageError(
            f"{text!r} is no mount", "give HOST:CONTAINER, as in ~/.cache/huggingface:/cache, or …:ro"
        )
    words = set(options.split(",")) if options else set()
    return host, plain(target), _READ_ONLY in words and _READ_WRITE not in words


def plain(path: str) -> str:
    """An absolute path without ``.``, ``..`` and slashes too many, by its text."""
    return posixpath.normpath("/" + path.lstrip("/"))


def below(path: str, folder: str) -> str | None:
    """What `path` is below `folder`, "" for the folder itself, None where it is not in it; by their text."""
    if path == folder:
        return ""
    start = folder.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) else None


class View:
    """What the container sees."""

    def __init__(self, mounts: Iterable[Mount], look: Look) -> None:
        # Of two at one path the later hides the other.
        self._by_target = {mount.target: mount for mount in mounts}
        self._look = look

    @property
    def mounts(self) -> Sequence[Mount]:
        return tuple(self._by_target.values())

    def adding(self, mount: Mount) -> View:
        return View((*self.mounts, mount), self._look)

    def over(self, path: str) -> Mount | None:
        """The mount that shows a path of the container, symlinks not followed."""
        while path not in self._by_target:
            if path == "/":
                return None
            path = posixpath.dirname(path)
        return self._by_target[path]

    def here(self, path: str) -> str | None:
        """A path of the container on the host, symlinks not followed; None where no mount shows it."""
        mount = self.over(path)
        if mount is None or not mount.source:
            return None
        return posixpath.join(mount.source, below(path, mount.target) or "").rstrip("/") or "/"

    def shown(self, here: str) -> Iterator[str]:
        """The paths of the container that show a path of the host, by mounts that nothing hides."""
        for mount in self.mounts:
            rest = below(here, mount.source) if mount.source else None
            if rest is not None:
                path = posixpath.join(mount.target, rest).rstrip("/") or "/"
                if self.over(path) is mount:
                    yield path

    def reach(self, path: str) -> Reached:
        """Where a path of the container leads, by every symlink on the way."""
        at, rest, hops = "/", _parts(path), 0
        folder: str | bool | None = True
        while rest:
            name = rest.pop()
            if name == "..":
                step, found = posixpath.dirname(at), folder
            else:
                step = posixpath.normpath(posixpath.join(at, name))
                found = (self._found(step) if name != "." else True) if folder else None
            if not folder or found is None:
                missing = plain(posixpath.join(step, *reversed(rest)))
                return Reached(missing, self.here(missing), there=False)
            if not isinstance(found, str):
                at, folder = step, found
                continue
            hops += 1
            if hops > _MOST_HOPS:
                return Reached(step, self.here(step), there=False, loop=True)
            at = "/" if found.startswith("/") else at
            rest += _parts(found)
        return Reached(at, self.here(at), there=True)

    def _found(self, path: str) -> str | bool | None:
        """As a `Look`, of a path of the container: what is mounted, and what it takes to get there, is a folder."""
        if path in self._by_target:
            return True
        here = self.here(path)
        found = self._look(here) if here is not None else None
        return found if found is not None else any(below(one, path) for one in self._by_target) or None


def _parts(path: str) -> list[str]:
    """The names of a path, the last first; of one with a slash at its end "." is the last: it has to be a folder."""
    names = [name for name in reversed(path.split("/")) if name]
    return [".", *names] if path.endswith("/") else names


def mending(view: View, path: str, hops: Sequence[str], units: Callable[[str], str]) -> list[Mount]:
    """The mounts that let `path`, which leads nowhere in the container, lead where it does on the host; [] if none do.

    `hops` are what it leads through on the host, one after another; `units` tells the folder that is mounted for one,
    a whole vault or root. Each mount is tried in the view before it is said.
    """
    found: list[Mount] = []
    goal = hops[-1] if hops else ""
    for _ in range(len(hops) + 1):
        reached = view.reach(path)
        if reached.there:
            return found if reached.here == goal else []
        mount = next(_candidates(view, reached.at, hops, units), None)
        if mount is None:
            return []
        found.append(mount)
        view = view.adding(mount)
    return []


def _candidates(view: View, sought: str, hops: Sequence[str], units: Callable[[str], str]) -> Iterator[Mount]:
    """Mounts that put a file of the host at the path that is sought: hops that are called so there."""
    for hop in hops:
        folder = units(hop)
        while rest := below(hop, folder):
            target = sought[: -len(rest) - 1]
            if (
                sought == f"{target}/{rest}"
                and target
                and all(mount.target != target for mount in view.mounts)
            ):
                yield Mount(folder, target)
            name, more, _ = rest.partition("/")
            if not more:
                break
            folder = posixpath.join(folder, name)
