"""How a tree is read: one `scandir` a folder, one `lstat` a file, no symlink followed.

What the last scan remembers (`Memory`) decides which files a backend gets to see: a folder whose fingerprint
is unchanged costs its `stat` calls and nothing else, so that a rescan runs at the speed of ``find``.
"""

from __future__ import annotations

import errno
import json
import marshal
import os
import sqlite3
import stat
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import xxhash

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import Capabilities, Folder
from hubfold.content import OWN_PREFIX, VAULT_MARKER, Root, Signature, signature_tuple
from hubfold.disk import open_flags
from hubfold.disk.paths import plain, within
from hubfold.progress import Stop
from hubfold.reports.outcomes import Notice
from hubfold.scanning.databases import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.scanning.choice import Chosen

T = TypeVar("T")

#: A folder of more changed files is handed over in parts, so that memory stays bounded in flat trees.
PART = 8192

#: What the kernel shows as files there has sizes that mean nothing, and does things when it is read.
_NOT_ON_A_DISK = frozenset({"/dev", "/proc", "/sys"})

_DIRECTORY_FLAGS = open_flags.DIRECTORY | open_flags.NOFOLLOW
_FILE_FLAGS = open_flags.READ | open_flags.NOFOLLOW | open_flags.NONBLOCK
#: Errors that mean that a name is not there (any more), and nothing else.
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})


class Memory(Protocol):
    """What the last scan knows of one root."""

    #: Differs where other things may be said of the same files.
    told_by: bytes

    def fingerprint(self, folder: str) -> bytes | None:
        """The fingerprint that was recorded when the folder was last listed whole."""
        ...

    def signatures(self, folder: str) -> Mapping[str, Signature]:
        """Name → signature of every file of the folder that has a row."""
        ...

    def listed(self, folder: Listed) -> None:
        """A folder was listed from beginning to end."""
        ...


class Listed(NamedTuple):
    """The outcome of listing one folder, for the memory."""

    path: str
    device: int
    fingerprint: bytes
    #: The fingerprint is as it was: nothing below is filled in.
    same: bool
    #: Names with a row whose file is changed, or is gone, or is no regular file any more.
    stale: Collection[str] = ()
    #: Regular files in the folder.
    files: int = 0
    #: Former device numbers of files that are as their row says in all else: the file system was renumbered.
    renumbered: frozenset[int] = frozenset()


class Seen(Protocol):
    """A directory entry, as `os.DirEntry` is one."""

    @property
    def name(self) -> str: ...

    def is_file(self, *, follow_symlinks: bool = True) -> bool: ...

    def is_symlink(self) -> bool: ...

    def is_dir(self, *, follow_symlinks: bool = True) -> bool: ...

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result: ...


class Lister(Protocol):
    """Who lists folders ahead of a walk (`workers/folders`)."""

    def begin(self, root: str) -> bool:
        """Whether it can list what is below a root."""
        ...

    def expect(self, paths: Iterable[str]) -> None:
        """These are asked for soon, the last of them first."""
        ...

    def take(self, path: str) -> tuple[int, int, Sequence[Seen]] | None:
        """(device, inode, entries) of a folder as it is now; None where the walk has to list it itself."""
        ...


@dataclass(slots=True)
class _Content:
    """What `scandir` and `lstat` said of one folder."""

    device: int
    names: set[str] = field(default_factory=set)
    #: Names of the regular files, and what `lstat` said of each where the walk has a memory to compare it with.
    regular: list[str] = field(default_factory=list)
    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    fingerprint: bytes = b""


class _Unlooked(Folder):
    """A folder whose files are looked at when somebody asks for them: for names alone, nobody does."""

    __slots__ = ("_look",)

    def __init__(
        self,
        content: _Content,
        path: str,
        folders: list[str],
        look: Callable[[], list[tuple[str, os.stat_result]]],
    ) -> None:
        self.path = path
        self.names = content.names
        self.links = content.links
        self.folders = folders
        self._look = look

    def __getattr__(self, name: str) -> list[tuple[str, os.stat_result]]:
        if name != "files":
            raise AttributeError(name)
        self.files = self._look()
        return self.files


@dataclass(frozen=True, slots=True)
class Shared:
    """What all walks of one look at several roots have in common."""

    #: Called with (backend name, path) of each sub-tree that another backend recognises; the walk stays out of it.
    found: Callable[[str, str], None] | None = None
    #: (repo id, repo type) by commit hash, as caches tell them on the way.
    commits: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Symlinks of layouts with the folders that they lead to (`reached`): entered, but by a walk with a memory, whose
    #: rows are those of one root.
    linked: dict[str, str] = field(default_factory=dict)
    #: Told how many files were met.
    advance: Callable[[int], object] | None = None
    stop: Stop = field(default_factory=Stop)
    #: Who lists folders for walks with a memory; without one, each lists its own.
    lister: Lister | None = None


class TreeWalk:
    """The `Walk` of one root. One use: its warnings and failures are those of one scan.

    Without a `memory` every file is new, and is looked at when a backend asks for it. `boundaries` are roots of their
    own that lie below this one. `chosen` says what of the root is content; without it, all is shown to the backend.
    """

    def __init__(
        self,
        root: Root,
        backends: Mapping[str, GuardedBackend],
        shared: Shared | None = None,
        *,
        boundaries: Iterable[str] = (),
        memory: Memory | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        self.root = root
        self.warnings: list[Notice] = []
        #: Paths that could not be read: nothing is known of what is at or below them (invariant 5).
        self.failed: set[str] = set()
        #: Files whose row is as it was, which no backend was asked about.
        self.unchanged = 0
        alone = root.backend in backends and backends[root.backend].exclusive
        self._others = [] if alone else [one for name, one in backends.items() if name != root.backend]
        self._boundaries = set(boundaries) - {root.path}
        self._memory = memory
        self.shared = Shared() if shared is None else shared
        self._chosen = chosen
        told_by = b"" if memory is None else memory.told_by
        token = told_by + (chosen.token if chosen is not None else b"")
        #: What a fingerprint ends in where rows depend on what was chosen, and on who says what of them.
        self._token = xxhash.xxh3_64_digest(token) if token else b""
        #: Whether a file that has no row may say something of others in its folder.
        self._has_notes = root.backend in backends and _has_notes(backends[root.backend].capabilities)
        lister = self.shared.lister if memory is not None else None
        self._lister = lister if lister is not None and lister.begin(root.path) else None
        self._visited: set[tuple[int, int]] = set()
        self._worked_out: dict[str, Any] = {}
        self._prefix = root.path if root.path.endswith("/") else root.path + "/"

    # the contract of `contract.Walk`

    def folders(self, path: str) -> Iterator[Folder]:
        """See `contract.Walk.folders`; a folder with very many changed files comes in several parts."""
        # Without a memory a backend may come to a folder again.
        visited = set() if self._memory is None else self._visited
        pending = [path]
        if self._lister is not None:
            self._lister.expect(pending)
        while pending:
            self.shared.stop.check()
            current = pending.pop()
            if current != path and (current in self._boundaries or current in _NOT_ON_A_DISK):
                continue
            content = self._read(current, visited)
            if content is None or (current != path and not self._enters(current, content.names)):
                continue
            content.folders.sort(reverse=True)
            below = content.folders
            for folder in self._parts(current, content):
                yield folder
                below = folder.folders
            prefix = current if current.endswith("/") else current + "/"
            further = [prefix + name for name in below]
            pending += further
            if self._lister is not None and further:
                self._lister.expect(further)

    def listing(self, path: str) -> list[str]:
        if not self._inside(path):
            return []
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            self._failed(path, error)
            return []

    def read_text(self, path: str, limit: int = 1 << 20) -> str | None:
        data = self.read_bytes(path, limit)
        try:
            return None if data is None else data.decode("utf-8")
        except UnicodeDecodeError:
            self.warn(path, "is left out: not UTF-8, as a metadata file would be")
            return None

    def read_bytes(self, path: str, limit: int = 1 << 20) -> bytes | None:
        if not self._inside(path):
            return None
        try:
            fd = os.open(path, _FILE_FLAGS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                self._failed(path, error)
            return None
        try:
            # O_NONBLOCK and this check: a FIFO planted as metadata must not hang the scan.
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            with open(fd, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        except OSError as error:
            self._failed(path, error)
            return None
        finally:
            os.close(fd)
        if len(data) > limit:
            self.warn(path, f"is left out: longer than {limit} bytes, which is no metadata file")
            return None
        return data

    def read_json(self, path: str, limit: int = 1 << 20) -> object:
        text = self.read_text(path, limit)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self.warn(path, f"is left out: no JSON ({error})", kind="damaged")
            return None

    def query(
        self, path: str, sql: str, parameters: Sequence[object] = (), limit: int = 1 << 28
    ) -> list[tuple[object, ...]]:
        data = self.read_bytes(path, limit)
        try:
            return [] if data is None else rows_of(data, sql, parameters)
        except sqlite3.Error as error:
            self.warn(path, f"is left out: it cannot be asked as a database ({error})", kind="damaged")
            return []

    def stat(self, path: str) -> os.stat_result | None:
        if not self._inside(path):
            return None
        try:
            return os.lstat(path)
        except OSError as error:
            self._failed(path, error)
            return None

    def readlink(self, path: str) -> str | None:
        if not self._inside(path):
            return None
        try:
            return os.readlink(path)
        except OSError as error:
            if error.errno != errno.EINVAL:
                self._failed(path, error)
            return None

    def leads_to(self, path: str) -> str | None:
        return self.shared.linked.get(path)

    def real(self, path: str) -> str:
        return plain(path)

    def dangles(self, path: str) -> bool:
        if not self._inside(path):
            return False
        try:
            os.stat(path)
        except OSError as error:
            if error.errno in _MISSING or error.errno == errno.ELOOP:
                return True
            self._failed(path, error)
        return False

    def size(self, path: str) -> int | None:
        if not self._inside(path):
            return None
        try:
            return os.stat(path).st_size
        except OSError as error:
            if error.errno != errno.ELOOP:
                self._failed(path, error)
            return None

    def warn(self, path: str, message: str, *, kind: str = "notice") -> None:
        self.warnings.append(Notice(path, message, kind))

    def once(self, what: str, make: Callable[[], T]) -> T:
        if what not in self._worked_out:
            self._worked_out[what] = make()
        found: T = self._worked_out[what]
        return found

    def commit_repo(self, revision: str) -> tuple[str, str] | None:
        return self.shared.commits.get(revision)

    def note_commit(self, revision: str, repo_id: str, repo_type: str) -> None:
        self.shared.commits[revision] = (repo_id, repo_type)

    # reading

    def _read(self, path: str, visited: set[tuple[int, int]]) -> _Content | None:
        there = self.shared.linked.get(path, path)
        if there != path and self._memory is not None:
            return None
        listed = self._lister.take(path) if self._lister is not None else None
        if listed is not None:
            device, inode, entries = listed
            return self._filled(path, (device, inode), entries, visited)
        try:
            fd = os.open(there, _DIRECTORY_FLAGS)
        except OSError as error:
            self._failed(path, error)
            return None
        try:
            st = os.fstat(fd)
            with os.scandir(fd) as listing:
                found = list(listing)
            return self._filled(path, (st.st_dev, st.st_ino), found, visited)
        except OSError as error:
            self._failed(path, error)
            return None
        finally:
            os.close(fd)

    def _filled(
        self, path: str, folder: tuple[int, int], entries: Sequence[Seen], visited: set[tuple[int, int]]
    ) -> _Content | None:
        # A bind mount shows a folder twice; its files are the same payloads, once is enough. What a link of the
        # layout shows is a model under a name of its own.
        if folder in visited and not any(within(path, link) for link in self.shared.linked):
            return None
        visited.add(folder)
        content = _Content(folder[0])
        self._fill(path, entries, content)
        return content

    def _fill(self, path: str, entries: Sequence[Seen], content: _Content) -> None:
        content.names = {entry.name for entry in entries}
        files = content.files
        look = self._memory is not None
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                if not look:
                    content.regular.append(entry.name)
                    continue
                try:
                    files.append((entry.name, entry.stat(follow_symlinks=False)))
                except OSError as error:
                    self._failed(os.path.join(path, entry.name), error)
            elif entry.is_symlink():
                content.links.append(entry.name)
            elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith(OWN_PREFIX):
                content.folders.append(entry.name)
        # One search through all names at once: it is asked of every folder and hardly ever true.
        if f"\0{OWN_PREFIX}" in "\0" + "\0".join(content.names):
            files[:] = [(name, st) for name, st in files if not name.startswith(OWN_PREFIX)]
            content.regular = [name for name in content.regular if not name.startswith(OWN_PREFIX)]
        if self._chosen is not None and self._chosen.narrows(path, content.names, self.read_text):
            out = self._chosen.leaves_out
            files[:] = [(name, st) for name, st in files if not out(path, name)]
            content.regular = [name for name in content.regular if not out(path, name)]
            content.folders = [name for name in content.folders if not out(path, name, is_folder=True)]
        if look:
            hashed = [(name, signature_tuple(st)) for name, st in files]
            # marshal is the fastest way to bytes; it is only ever written here, never loaded.
            content.fingerprint = xxhash.xxh3_128_digest(marshal.dumps(hashed, 2)) + self._token

    def _parts(self, path: str, content: _Content) -> Iterator[Folder]:
        """The folder with those of its files that are new or changed, in parts of at most `PART` files."""
        if self._memory is None:
            yield from self._unlooked(path, content)
            return
        changed: list[tuple[str, os.stat_result]] = []
        count = len(content.files)
        stored = self._memory.fingerprint(path)
        if stored == content.fingerprint:
            listed = Listed(path, content.device, content.fingerprint, same=True, files=count)
        else:
            known = self._memory.signatures(path)
            changed = content.files
            if self._chose_so_before(stored) and not self._has_notes:
                changed = [(name, st) for name, st in changed if known.get(name) != signature_tuple(st)]
            renumbered = frozenset(
                known[name].device
                for name, st in changed
                if name in known
                and known[name][1:] == signature_tuple(st)[1:]
                and known[name].device != st.st_dev
            )
            stale = set(known).difference(name for name, _ in content.files) if known else set()
            stale.update(name for name, _ in changed if name in known)
            listed = Listed(
                path,
                content.device,
                content.fingerprint,
                same=False,
                stale=stale,
                files=count,
                renumbered=renumbered,
            )
        self.unchanged += count - len(changed)
        self._memory.listed(listed)
        self._tick(count)
        content.files = []
        folders = content.folders
        for start in range(0, len(changed) or 1, PART):
            part = Folder(path, content.names, changed[start : start + PART], content.links, folders)
            yield part
            folders = part.folders

    def _unlooked(self, path: str, content: _Content) -> Iterator[Folder]:
        self._tick(len(content.regular))
        folders = content.folders
        for start in range(0, len(content.regular) or 1, PART):
            names = content.regular[start : start + PART]
            part = _Unlooked(content, path, folders, partial(self._looked_at, path, names))
            yield part
            folders = part.folders

    def _looked_at(self, path: str, names: Iterable[str]) -> list[tuple[str, os.stat_result]]:
        """What `lstat` says of those that are regular files."""
        files = []
        for name in names:
            try:
                st = os.lstat(os.path.join(path, name))
            except OSError as error:
                self._failed(os.path.join(path, name), error)
                continue
            if stat.S_ISREG(st.st_mode):
                files.append((name, st))
        return files

    def _tick(self, count: int) -> None:
        if self.shared.advance is not None and count:
            self.shared.advance(count)

    def _chose_so_before(self, stored: bytes | None) -> bool:
        """Whether the rows of a folder are of the files that are chosen now: else each is asked about again."""
        if not self._token:
            return True
        return stored is not None and stored[-len(self._token) :] == self._token

    def _enters(self, path: str, names: Collection[str]) -> bool:
        if self._belongs_to_another(path, names):
            return False
        return self._chosen is None or self._chosen.enters(path, names)

    def _belongs_to_another(self, path: str, names: Collection[str]) -> bool:
        if VAULT_MARKER in names and "objects" in names:
            return True  # told by `StorageBackend.vault_places`
        for backend in self._others:
            # Asked here too: of every folder, for each backend.
            if backend.marks and backend.marks.isdisjoint(names):
                continue
            recognised = backend.recognise(path, names, met=True)
            if recognised is None:
                continue
            self._boundaries.add(recognised)
            if self.shared.found is not None:
                self.shared.found(backend.name, recognised)
            if recognised == path:
                return True
        return False

    # errors

    def _inside(self, path: str) -> bool:
        # Most paths are the root's own with names after it; only dots need a closer look.
        if path.startswith(self._prefix) and "/." not in path[len(self._prefix) - 1 :]:
            return True
        if within(os.path.normpath(path), os.path.normpath(self.root.path)):
            return True
        self.warn(path, f"is left out: outside of the root {self.root.path}")
        return False

    def _failed(self, path: str, error: OSError) -> None:
        if error.errno in _MISSING:
            return
        self.failed.add(path)
        self.warn(path, f"cannot be read: {error.strerror}", kind="unreadable")


def _has_notes(allowed: Capabilities) -> bool:
    """Of a store with claims. In other folders anything may lie: there a layout says what its notes are."""
    return allowed.vouches and bool(allowed.claims)
