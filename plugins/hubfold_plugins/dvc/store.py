"""`dvc`: the cache of a DVC repository with its work tree, and caches and remotes that lie alone.

Layout, as DVC writes it (3.67)::

    <repo>/.dvc/config, config.local                  settings; ``[cache] dir`` names another cache
    <repo>/.dvc/cache/files/md5/<aa>/<30 hex>         an object, mode 444: its md5 in its name
    <repo>/.dvc/cache/files/md5/<aa>/<30 hex>.dir     a list of such, JSON: no content
    <repo>/.dvc/cache/<aa>/<30 hex>                   of DVC 1 and 2: the md5 of a text, with other line ends
    <repo>/.dvc/tmp/lock                              held (flock) by every command that changes something
    <repo>/<name>.dvc, dvc.lock                       which files of the work tree are which objects
    <cache or local remote>/files/md5/…               the same, with no work tree around it

What DVC does with files was measured with 3.67:

- ``dvc add`` names an object by the bytes that it read. What it fetched it does not read, unless told to (``verify``):
  a name states what DVC takes the bytes for, and they are compared before anything is replaced.
- An object of mode 444 is trusted for good. Any other is hashed whenever it is looked at, and *deleted* where it is not
  its name, in remotes on a local path too.
- A symlink in place of an object is followed when the work tree is linked anew: that gets hard links to what it led to.
- ``dvc gc`` removes whatever it does not know from among the objects, under its lock: while that is held alone does
  something of hubfold's lie there.
- What stands in the work tree is the user's choice (``cache.type``): copies, which may be edited in place, or links to
  objects, which stay links to them. So a tracked file is left alone, but where it is the object itself under another
  name: then the two go together.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, StorageBackend, Walk
from hubfold.content import Replica, Root

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover

_DVC = ".dvc"
_HEX = frozenset("0123456789abcdef")


class DvcBackend(StorageBackend):
    """Objects by their names; what lies beside them in a work tree as any folder's files, but for what DVC tracks."""

    name = "dvc"
    capabilities = Capabilities(claims=frozenset({"md5"}), vouches=False)
    marks = frozenset({_DVC, "files"})

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` of a repository, or of a folder with objects."""
        if _DVC in names and peek.exists(os.path.join(path, _DVC, "config")):
            return path
        return path if "files" in names and _holds_objects(os.path.join(path, "files", "md5")) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """The one cache of all repositories, where the settings of the user, or of the machine, name one."""
        for folder in _settings(environ):
            text = peek.text(os.path.join(folder, "config")) or ""
            if "dir" in text:
                from hubfold_plugins.dvc import work_tree

                place = work_tree.cache_of(text)
                if place.startswith("/"):
                    yield place
                    return

    def reached(self, root: Root) -> Iterable[str]:
        """A cache that was moved to another drive, with a link left in its place."""
        link = os.path.join(root.path, _DVC, "cache")
        return [link] if peek.link_text(link) is not None and peek.is_folder(link) else []

    def notes(self, root: Root, walk: Walk) -> Iterable[str]:
        """Its settings, and the lock: each command writes its number there, and what is tracked changes by no other."""
        own = os.path.join(root.path, _DVC)
        tmp = os.path.join(own, "tmp")
        if peek.link_text(own) is None and peek.is_folder(own):
            yield from (os.path.join(own, name) for name in ("config", "config.local"))
            if peek.link_text(tmp) is None:
                yield os.path.join(tmp, "lock")

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins.dvc import work_tree

        return work_tree.replicas(root, walk)

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        """The lock of the repository that a path lies in."""
        # A cache may be a root of its own in a repository that belongs to another layout, too.
        above = os.path.dirname(root.path)
        last = above if os.path.basename(above) == _DVC else root.path
        folder = path
        while len(folder) > len(last):
            folder = os.path.dirname(folder)
            place = os.path.join(folder, "tmp" if os.path.basename(folder) == _DVC else f"{_DVC}/tmp")
            if peek.is_folder(place):
                return [os.path.join(place, "lock")] if peek.link_text(place) is None else []
        return []

    def vault_places(self, root: Root) -> Sequence[str]:
        return ()

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        """Objects that were not written to their end."""
        from hubfold_plugins.dvc import work_tree

        return work_tree.leftovers(root, walk)

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        """DVC never goes on with what it had begun to write."""
        from hubfold_plugins.dvc import work_tree

        return [path for path in paths if not work_tree.is_unfinished(path)]


def _settings(environ: Mapping[str, str]) -> Iterator[str]:
    """Folders with settings of DVC for more than one repository, those of the user first (platformdirs)."""
    home = environ.get("HOME", "")
    if environ.get("DVC_GLOBAL_CONFIG_DIR"):
        yield environ["DVC_GLOBAL_CONFIG_DIR"]
    elif home:
        yield os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "dvc")
        yield os.path.join(home, "Library", "Application Support", "dvc")
    yield environ.get("DVC_SYSTEM_CONFIG_DIR") or "/etc/xdg/dvc"


def _holds_objects(folder: str) -> bool:
    """Whether there is ``<aa>/<30 hex>``: many folders are called ``files``."""
    for shard in peek.names_in(folder):
        if len(shard) == 2 and _HEX.issuperset(shard):
            names = peek.names_in(os.path.join(folder, shard))
            if any(
                len(name.removesuffix(".dir")) == 30 and _HEX.issuperset(name.removesuffix(".dir"))
                for name in names
            ):
                return True
    return False
