"""What one root of git-lfs holds: the objects of its stores, and the files of its work trees by git's index.

A root is a work tree with the repository in it (`.git`), with clones and submodules below it; a work tree whose
repository lies elsewhere, of which nothing but the files is known; or a store alone.
"""

from __future__ import annotations

import os
import re
import stat as modes
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hubfold.backend.changes import Leftover, LeftoverKind, Removal
from hubfold.content import Partial, Replica, Root, Snapshot, SnapshotFile
from hubfold_plugins.git_lfs import git_files
from hubfold_plugins.git_lfs.git_files import Entry, Pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hubfold.backend.contract import Folder, Walk

_GIT = ".git"
#: The sha1 that git knows an empty file by.
_OF_NOTHING = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
#: The largest file that the Hub takes as git's own, in bytes.
_LARGEST_OF_GIT = 10 << 20
_TWO = re.compile(r"[0-9a-f]{2}")
_OID = re.compile(r"[0-9a-f]{64}")
#: ``<store>/incomplete/<oid>.part`` and ``<store>/tmp/<anything>``.
_ON_ITS_WAY = re.compile(r".*/(?:incomplete/[0-9a-f]{64}\.part|tmp/[^/]+)")


def replicas(root: Root, walk: Walk) -> Iterator[Replica]:
    """Every object, then every file of the work trees but pointers."""
    if not _is_work_tree(root.path, walk):
        yield from _objects(Store(root.path), None, walk)
        return
    found: dict[str, Store] = {}
    for folder, clone in _work_tree(root, walk):
        for store in clone.stores if clone is not None and clone.top == folder.path else ():
            if store.path not in found:
                found[store.path] = store
                yield from _objects(store, clone, walk)
        yield from _files(folder, clone, walk)


def snapshots(root: Root, walk: Walk) -> Iterator[Snapshot]:
    """What is checked out in each clone, in the order of their folders."""
    if not _is_work_tree(root.path, walk):
        return
    seen = set()
    for folder, clone in _work_tree(root, walk):
        if clone is not None and clone.top == folder.path and clone.top not in seen:
            seen.add(clone.top)
            found = clone.snapshot()
            if found is not None:
                yield found


def leftovers(root: Root, walk: Walk) -> Iterator[Leftover]:
    """Every file that git-lfs had not finished writing."""
    if not _is_work_tree(root.path, walk):
        yield from _unfinished(root, Store(root.path), walk)
        return
    seen = set()
    for folder, clone in _work_tree(root, walk):
        for store in clone.stores if clone is not None and clone.top == folder.path else ():
            if store.path not in seen:
                seen.add(store.path)
                yield from _unfinished(root, store, walk)


def is_on_its_way(path: str) -> bool:
    """Whether a path is that of a file which git-lfs has not finished."""
    return _ON_ITS_WAY.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class Store:
    """A folder that git-lfs keeps its files in, or the folder of the objects alone, to which a link led."""

    path: str

    def objects(self, walk: Walk) -> str:
        names = walk.listing(self.path)
        return os.path.join(self.path, "objects") if "objects" in names else self.path

    def pointers(self, walk: Walk) -> Iterator[Pointer]:
        """The pointer of every object."""
        objects = self.objects(walk)
        for first in filter(_TWO.fullmatch, walk.listing(objects)):
            for second in filter(_TWO.fullmatch, walk.listing(os.path.join(objects, first))):
                folder = os.path.join(objects, first, second)
                for name in walk.listing(folder):
                    st = walk.stat(os.path.join(folder, name)) if _is_object(name, first + second) else None
                    if st is not None and modes.S_ISREG(st.st_mode):
                        yield Pointer(name, st.st_size)


@dataclass
class Clone:
    """One work tree with its repository, as far as that lies in the root; what is read of it is read once."""

    top: str
    walk: Walk
    #: The git folder of this work tree, and the one that it shares with others; "" where they lie elsewhere.
    git: str = ""
    common: str = ""
    stores: list[Store] = field(default_factory=list)
    #: A store that a link leads to: what lies in it is told by a root of its own, its names are read here.
    behind: list[Store] = field(default_factory=list)

    @cached_property
    def head(self) -> tuple[str, str]:
        """(commit, branch)"""
        return git_files.head(self.git, self.common, self.walk) if self.git else ("", "")

    @cached_property
    def repository(self) -> tuple[str, str]:
        """(repo_type, repo_id); an empty id for a clone of another host than the Hub."""
        return git_files.repository(git_files.remote(self._config)) if self.common else ("model", "")

    @cached_property
    def _config(self) -> str:
        return self.walk.read_text(os.path.join(self.common, "config")) or ""

    @cached_property
    def _index(self) -> tuple[list[Entry], bool]:
        path = os.path.join(self.git, "index")
        data = self.walk.read_bytes(path, git_files.INDEX_LIMIT) if self.git else None
        return ([], False) if data is None else git_files.read_index(data)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """What git's index knows, by path."""
        return {entry.name: entry for entry in self._index[0]}

    @cached_property
    def _written_ns(self) -> int:
        """When git's index was written."""
        st = self.walk.stat(os.path.join(self.git, "index"))
        return 0 if st is None else st.st_mtime_ns

    @cached_property
    def pointers(self) -> dict[str, Pointer]:
        """What git has for each object of the stores, by its sha1."""
        found = (pointer for store in (*self.stores, *self.behind) for pointer in store.pointers(self.walk))
        return {pointer.git_object: pointer for pointer in found}

    def pointer(self, entry: Entry) -> Pointer | None:
        """The object that a file is to be; None for a file of git's own, and where the store has no such object."""
        return self.pointers.get(entry.sha1)

    def believes(self, entry: Entry, stat: os.stat_result) -> bool:
        """Whether git takes a file for what its index has."""
        return entry.is_of(stat, self._written_ns)

    def name_of(self, path: str) -> str:
        return path[len(self.top) :].lstrip("/")

    def snapshot(self) -> Snapshot | None:
        """What is checked out; a file that was not fetched, or was deleted, is missing. None without a commit."""
        commit, branch = self.head
        if not commit or not self.entries:
            return None
        files = []
        sizes: dict[str, int | None] = {}
        for name in sorted(self.entries):
            file, sizes[name] = self._file(self.entries[name])
            if file is not None:
                files.append(file)
        repo_type, repo_id = self.repository
        return Snapshot(
            repo_id=repo_id,
            repo_type=repo_type,
            revision=commit,
            refs=(branch,) if branch else (),
            path=self.top,
            files=tuple(files),
            home=self.top,
            expected=self._listing(files, sizes),
            incomplete=tuple(self._partials()),
        )

    def _listing(
        self, files: Iterable[SnapshotFile], sizes: Mapping[str, int | None]
    ) -> Mapping[str, int] | None:
        """The listing of the commit, which holds wherever that lies: none where anything of it is not sure.

        Nor where a file was edited: what is there is the user's work, and nothing that was damaged.
        """
        known = {name: size for name, size in sizes.items() if size is not None}
        sure = self._index[1] and len(known) == len(sizes)
        return known if sure and all(file.size == known[file.name] for file in files) else None

    def _file(self, entry: Entry) -> tuple[SnapshotFile | None, int | None]:
        """A file of the index as it lies in the work tree, and its bytes in the commit, if that is known."""
        path = os.path.join(self.top, *entry.name.split("/"))
        size = self.walk.size(path)
        st = self.walk.stat(path)
        unchanged = st is not None and self.believes(entry, st)
        known = self.pointer(entry)
        # Of all files of a clone: the pointer of an extension, which may be longer, is not looked for.
        short = size is not None and size <= git_files.LONGEST_PLAIN_POINTER
        waits = git_files.pointer_at(path, size, self.walk) if size is not None and short else None
        if known is None and waits is not None and waits.git_object == entry.sha1:
            known = waits
        length = known.size if known is not None else _length(entry, size if unchanged else None)
        if size is None or waits is not None:
            return None, length
        claims = {"sha256": known.oid} if known is not None and unchanged else {}
        return SnapshotFile(entry.name, path, size, claims), length

    def _partials(self) -> Iterator[Partial]:
        names = {
            pointer.oid: name for name, entry in self.entries.items() if (pointer := self.pointer(entry))
        }
        for store in self.stores:
            folder = os.path.join(store.path, "incomplete")
            for name in self.walk.listing(folder):
                path = os.path.join(folder, name)
                st = self.walk.stat(path) if is_on_its_way(path) else None
                if st is not None:
                    yield Partial(path, st.st_size, names.get(name.partition(".")[0]))


def _length(entry: Entry, unchanged: int | None) -> int | None:
    """The bytes of a file of git's own, by the index, or where it is `unchanged` by its length; None where it may be
    one of git-lfs, of whose pointer the index has the length, or where git wrote none down."""
    if unchanged is not None:
        return unchanged
    is_told = entry.size > 0 or entry.sha1 == _OF_NOTHING
    may_be_pointer = git_files.SHORTEST_POINTER <= entry.size <= git_files.LONGEST_POINTER
    return entry.size if is_told and not may_be_pointer and entry.size <= _LARGEST_OF_GIT else None


# finding them


def _is_work_tree(path: str, walk: Walk) -> bool:
    return _GIT in walk.listing(path)


def _work_tree(root: Root, walk: Walk) -> Iterator[tuple[Folder, Clone | None]]:
    """Every folder of the root but git's own, with the clone that its files belong to."""
    clones: dict[str, Clone | None] = {}
    for folder in walk.folders(root.path):
        if folder.path not in clones:
            around = clones.get(os.path.dirname(folder.path)) if folder.path != root.path else None
            clones[folder.path] = _clone(folder.path, root, walk) if _GIT in folder.names else around
        folder.folders[:] = [name for name in folder.folders if name != _GIT]
        yield folder, clones[folder.path]


def _clone(top: str, root: Root, walk: Walk) -> Clone:
    git = os.path.join(top, _GIT)
    st = walk.stat(git)
    if st is not None and modes.S_ISREG(st.st_mode):
        git = git_files.folder_of(top, walk.read_text(git, 4096) or "")
    if not _is_inside(git, root, walk):
        return Clone(top, walk)
    note = os.path.join(git, "commondir")
    common = git_files.common_of(git, walk.read_text(note, 4096))
    if not _is_inside(common, root, walk):
        return Clone(top, walk)
    clone = Clone(top, walk, git, common)
    clone.stores = list(_stores(clone, root, walk))
    lfs = os.path.join(common, "lfs")
    if not _is_inside(os.path.join(lfs, "objects"), root, walk):
        clone.behind = [Store(lfs)]
    return clone


def _stores(clone: Clone, root: Root, walk: Walk) -> Iterator[Store]:
    """The stores of a clone and of its submodules, as far as they lie in the root."""
    config = walk.read_text(os.path.join(clone.common, "config")) or ""
    place = git_files.storage_of(clone.common, config)
    if _is_inside(os.path.join(place, "objects"), root, walk) and "objects" in walk.listing(place):
        yield Store(place)
    yield from _of_submodules(os.path.join(clone.common, "modules"), walk, git_files.DEEP)


def _of_submodules(folder: str, walk: Walk, depth: int) -> Iterator[Store]:
    for name in walk.listing(folder) if depth else ():
        path = os.path.join(folder, name)
        if not _is_plain_folder(path, walk):
            continue
        names = walk.listing(path)
        place = os.path.join(path, "lfs")
        if "lfs" in names and _is_plain_folder(place, walk) and "objects" in walk.listing(place):
            yield Store(place)
        yield from _of_submodules(os.path.join(path, "modules") if "HEAD" in names else path, walk, depth - 1)


def _is_plain_folder(path: str, walk: Walk) -> bool:
    st = walk.stat(path)
    return st is not None and modes.S_ISDIR(st.st_mode)


def _is_inside(path: str, root: Root, walk: Walk) -> bool:
    """Whether a folder lies in the root, by its name and on the disk: behind no symlink, and none itself."""
    if path != root.path and not path.startswith(f"{root.path}/"):
        return False
    inside = os.path.join(path, "x")
    return walk.real(inside) == walk.real(os.path.join(root.path, "x"))[:-2] + path[len(root.path) :] + "/x"


# what is in them


def _objects(store: Store, clone: Clone | None, walk: Walk) -> Iterator[Replica]:
    top = store.objects(walk)
    repo_type, repo_id = clone.repository if clone is not None else ("model", "")
    for folder in walk.folders(top):
        begins = folder.path[len(top) :].replace("/", "")
        if len(begins) < 4:
            folder.folders[:] = [name for name in folder.folders if _TWO.fullmatch(name)]
            continue
        folder.folders.clear()
        for name, stat in folder.files:
            if _is_object(name, begins):
                yield Replica(
                    os.path.join(folder.path, name),
                    stat,
                    {"sha256": name},
                    repo_id=repo_id or None,
                    repo_type=repo_type if repo_id else None,
                    vouched=True,
                )


def _is_object(name: str, begins: str) -> bool:
    return name.startswith(begins) and _OID.fullmatch(name) is not None


def _files(folder: Folder, clone: Clone | None, walk: Walk) -> Iterator[Replica]:
    for name, stat in folder.files:
        path = os.path.join(folder.path, name)
        if (name == _GIT and stat.st_size < git_files.LONGEST_POINTER) or git_files.pointer_at(
            path, stat.st_size, walk
        ):
            continue
        replica = Replica(path, stat)
        if clone is not None:
            _describe(replica, clone)
        yield replica


def _describe(replica: Replica, clone: Clone) -> None:
    """Put on a file of a work tree what git's index says of it."""
    entry = clone.entries.get(clone.name_of(replica.path))
    pointer = None if entry is None else clone.pointer(entry)
    if entry is None or pointer is None:
        return
    replica.vouched = True
    if clone.believes(entry, replica.stat):
        repo_type, repo_id = clone.repository
        replica.claims = {"sha256": pointer.oid}
        replica.revision = clone.head[0] or None
        replica.repo_id, replica.repo_type = (repo_id, repo_type) if repo_id else (None, None)
    # What a fold put there is no later than git knew the file: see `Replica.latest_mtime_ns`.
    replica.edited = replica.stat.st_size != pointer.size or replica.stat.st_mtime_ns > entry.latest_ns
    if not replica.edited:
        replica.latest_mtime_ns = entry.latest_ns


def _unfinished(root: Root, store: Store, walk: Walk) -> Iterator[Leftover]:
    for folder in ("incomplete", "tmp"):
        place = os.path.join(store.path, folder)
        for name in walk.listing(place) if _is_plain_folder(place, walk) else ():
            path = os.path.join(place, name)
            st = walk.stat(path)
            if st is not None and modes.S_ISREG(st.st_mode) and is_on_its_way(path):
                removal = Removal(root.path, "git-lfs", "", "", content=(path,))
                yield Leftover(LeftoverKind.INTERRUPTED, path, removal, st.st_mtime_ns)
