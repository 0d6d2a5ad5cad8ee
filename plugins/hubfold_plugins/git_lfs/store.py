"""`git-lfs`: a clone whose large files git-lfs keeps, its object store and its work tree as one root; and bare stores.

Layout, as git-lfs writes it (3.3.0)::

    <clone>/<path>                                  the files; a small pointer where one was not fetched
    <clone>/.git/lfs/objects/<aa>/<bb>/<sha256>     the same bytes once more: checked when they came
    <clone>/.git/lfs/incomplete/<sha256>.part, tmp/ what is on its way; bad/ what `git lfs fsck` took out
    <clone>/.git/modules/<name>/lfs/…               those of a submodule
    <bare>/lfs/objects/…, <lfs.storage>/objects/…   the same, with no work tree around it

What git does with links was measured with git 2.39 and git-lfs 3.3:

- A symlink in the work tree is a change to git, and one among the objects is hard-linked into other repositories by
  pushes to local paths and by ``git clone --shared``: there are hard links and shared extents, nothing else. For the
  same reason objects have more names than one root shows.
- The index has inode and times of each file. After a fold they differ: the next ``git status`` reads the file once,
  finds it as it was, and notes the new ones. Until then plumbing that refreshes nothing (``git diff-index``) calls the
  file changed. git writes no file in place: a checkout makes a new one.
- ``git clean`` takes whatever git does not know, so there is no vault in a clone.

A file of the work tree is stated to be an object only where git itself would take it for that without reading it: by
what its index noted (`hubfold_plugins/git_lfs/git_files`). No object of git's is read for that: the sha1 of
a pointer follows from the name and the size of the object. What was written later than git knew it is an edit; so that
one shows after a fold too, a fold leaves no file with a later time than that (`Replica.latest_mtime_ns`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root, Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, Offer

_GIT = ".git"
_HEX = frozenset("0123456789abcdef")


class GitLfsBackend(StorageBackend):
    """The objects of a clone by their names, and every file of its work tree as any folder's."""

    name = "git-lfs"
    capabilities = Capabilities(
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset(),
        claims=frozenset({"sha256"}),
        vouches=False,
    )
    marks = frozenset({_GIT, "objects"})

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` of a work tree with a store of git-lfs, or of such a store; that of a bare repository below it."""
        if _GIT in names:
            return path if _has_store(path) else None
        if "HEAD" in names:
            store = os.path.join(path, "lfs")
            found = "lfs" in names and peek.link_text(store) is None
            return store if found and _holds_objects(store) else None
        return path if _holds_objects(path) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """The one store of all clones, where the user's own settings of git name it by ``lfs.storage``."""
        home = environ.get("HOME", "")
        settings = [os.path.join(home, ".gitconfig")] if home else []
        config = environ.get("XDG_CONFIG_HOME") or (os.path.join(home, ".config") if home else "")
        for path in (*settings, *([os.path.join(config, "git", "config")] if config else [])):
            text = peek.text(path) or ""
            if "storage" in text.lower():
                from hubfold_plugins.git_lfs import git_files

                place = git_files.storage_of("/", text)
                if place not in ("", "/lfs"):
                    yield place
                    return

    def reached(self, root: Root) -> Iterable[str]:
        """A store that was moved to another drive, with a link left where git-lfs looks for it."""
        lfs = os.path.join(root.path, _GIT, "lfs")
        for link in (lfs, os.path.join(lfs, "objects")):
            if peek.link_text(link) is not None and peek.is_folder(link):
                yield link

    def notes(self, root: Root, walk: Walk) -> Iterable[str]:
        """git's index: a file that lay there before may be one of git-lfs since."""
        git = os.path.join(root.path, _GIT)
        return [os.path.join(git, "index")] if peek.is_folder(git) and peek.link_text(git) is None else []

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins.git_lfs import clone

        return clone.replicas(root, walk)

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        """What is checked out in each clone of the root."""
        from hubfold_plugins.git_lfs import clone

        return clone.snapshots(root, walk)

    def offers(self, root: Root, walk: Walk) -> Iterator[Offer]:
        """The clone, as any clone."""
        from hubfold_plugins.huggingface import local_offers

        return local_offers.each(root.path, walk)

    def vault_places(self, root: Root) -> Sequence[str]:
        return ()

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        """Downloads that were interrupted, and what a git-lfs that was killed did not tidy up."""
        from hubfold_plugins.git_lfs import clone

        return clone.leftovers(root, walk)

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        """git-lfs begins anew where what it left is gone."""
        from hubfold_plugins.git_lfs import clone

        return [path for path in paths if not clone.is_on_its_way(path)]


def _has_store(top: str) -> bool:
    """Whether git-lfs keeps something for the work tree `top`, or for a submodule of it."""
    git = os.path.join(top, _GIT)
    if peek.is_folder(git):
        return _keeps_objects(git) or _submodules_do(os.path.join(git, "modules"))
    text = peek.text(git)
    if not text:
        return False
    from hubfold_plugins.git_lfs import git_files

    folder = git_files.folder_of(top, text)
    return bool(folder) and _keeps_objects(
        git_files.common_of(folder, peek.text(os.path.join(folder, "commondir")))
    )


def _submodules_do(folder: str, depth: int = 0) -> bool:
    """Whether the repository of a submodule has a store; its name may have slashes."""
    from hubfold_plugins.git_lfs import git_files

    for name in peek.names_in(folder) if depth < git_files.DEEP else ():
        path = os.path.join(folder, name)
        names = peek.names_in(path)
        if "HEAD" in names and "objects" in names:
            if peek.is_folder(os.path.join(path, "lfs", "objects")):
                return True
            path = os.path.join(path, "modules")
        if _submodules_do(path, depth + 1):
            return True
    return False


def _keeps_objects(git: str) -> bool:
    if peek.is_folder(os.path.join(git, "lfs", "objects")):
        return True
    config = peek.text(os.path.join(git, "config"), 1 << 20) or ""
    if "storage" not in config.lower():
        return False
    from hubfold_plugins.git_lfs import git_files

    place = git_files.storage_of(git, config)
    return bool(place) and peek.is_folder(os.path.join(place, "objects"))


def _holds_objects(store: str) -> bool:
    """Whether a folder has ``objects/<aa>/<bb>/<sha256>``: many layouts have a folder of that name."""
    objects = os.path.join(store, "objects")
    for first in peek.names_in(objects):
        if len(first) != 2 or not _HEX.issuperset(first):
            continue
        for second in peek.names_in(os.path.join(objects, first)):
            begins = first + second
            if len(second) == 2:
                names = peek.names_in(os.path.join(objects, first, second))
                return any(len(n) == 64 and n.startswith(begins) and _HEX.issuperset(n) for n in names)
    return False
