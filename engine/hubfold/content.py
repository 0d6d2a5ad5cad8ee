"""The words of hubfold as data: root, replica, payload, claim, content, duplicate set.

Paths are `str` in the form of `os.fsdecode` (undecodable bytes are surrogates), absolute, and not normalised through
symlinks. Sizes are bytes, times nanoseconds since the epoch.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

#: The backend name of a root that is a vault of hubfold's own.
VAULT = "vault"

#: Files and folders whose name begins so are hubfold's own, half made or its vault's: never content.
OWN_PREFIX = ".hubfold"
#: What a file is called while it is being made next to the name it will get.
TEMPORARY_PREFIX = ".hubfold-"
#: The file that tells a vault from a folder of the user's that happens to have the same name.
VAULT_MARKER = ".hubfold-vault"
#: The file that makes a folder a farm which hubfold builds and refreshes.
FARM_MARKER = ".hubfold-farm"

#: Seconds. What was touched since may be gone on with, and is left alone by `hubfold clean`.
LEFTOVER_AGE = 24 * 3600
#: Seconds. `hubfold fleet` calls what a host exported stale where its scan is older than that.
STALE_AFTER = 7 * 24 * 3600


class LeftoverKind(enum.StrEnum):
    """What a layout's programs leave behind."""

    INTERRUPTED = "interrupted download"
    LOCK = "stale lock"
    UNUSED = "content that no revision uses"
    DETACHED = "detached revision"
    EMPTY = "empty repository"
    DANGLING = "dangling link of hubfold"


#: Digest algorithms, in the order in which hubfold prefers to name a content by them.
ALGORITHMS = ("sha256", "git-sha1", "xxh3_128", "xet", "md5")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files a command is about: what it says by its flags, beside the paths."""

    #: The paths alone: copies in known roots do not count.
    only: bool = False
    #: Of plain folders only files that match one of these, and those whatever they are; patterns as in .gitignore.
    include: tuple[str, ...] = ()
    #: What is left out everywhere.
    exclude: tuple[str, ...] = ()
    #: Of plain folders everything, not just model files.
    all_files: bool = False
    #: Only duplicate sets that these models have a file in, by whatever names they have for users.
    models: tuple[str, ...] = ()
    #: The folder that no link which is made may lead out of; "" for anywhere.
    within: str = ""


#: What hubfold looks at by itself.
USUAL = Scope()


@dataclass(frozen=True, slots=True)
class Marks:
    """What a user chose of what he was shown, to be folded, removed or moved together.

    places: models where they lie, each by the folder that a model has there (`ModelPlace.path`).
    files: single files of models: that folder, and the name in it.
    sets: a path out of each duplicate set.
    stays: roots in which nothing is removed or replaced.
    """

    places: frozenset[str] = frozenset()
    files: frozenset[tuple[str, str]] = frozenset()
    sets: frozenset[str] = frozenset()
    stays: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.places or self.files or self.sets)


class LinkKind(enum.StrEnum):
    """What can stand in the place of a replica that was folded."""

    REFLINK = "reflink"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"


class Role(enum.StrEnum):
    """What a root is to the user; keepers are sought in the primary root first."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class Signature(NamedTuple):
    """What `stat` said when a file was read; it is acted on only while this stays the same (invariant 4)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, st: os.stat_result) -> Signature:
        return cls(st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


#: `Signature.of` as a plain tuple, which equals it: for what is done with every file of a tree.
signature_tuple = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


@dataclass(frozen=True, slots=True)
class Root:
    """A directory tree that is scanned; one backend owns it.

    path: absolute; its folder may be away.
    backend: the name of the backend whose layout it is.
    role: what it is to the user: where copies are kept first.
    limit: bytes this root may hold, None for no limit.
    link: the symlink of another root's layout that leads here (`StorageBackend.reached`); "" for a root of its own.
    """

    path: str
    backend: str
    role: Role = Role.SECONDARY
    limit: int | None = None
    link: str = ""


@dataclass(slots=True)
class Replica:
    """One path with content, as a backend found it. Not frozen: scans make millions, and frozen costs threefold.

    `claims` maps an algorithm to a lower-case hex digest that the layout states without our reading the bytes.

    path: absolute and normalised, below the root; a regular file.
    stat: what `lstat` said of it: as the walk hands it out (`Folder.files`).
    claims: algorithm → lower-case hex digest, stated by the layout where its program has checked the bytes.
    repo_id: ``org/name`` and ``model``/``dataset``/``space``/``kernel`` where the layout knows them.
    repo_type: ``model``, ``dataset``, ``space`` or ``kernel``.
    revision: the commit hash this copy belongs to, where it belongs to one.
    links: link kinds that this one file tolerates in its place; None for all that the backend's capabilities allow.
    pinned: a program counts on this very inode staying where it is: it may be a keeper, never a victim of a swap.
    latest_mtime_ns: the inode that this path reads must not have a later mtime than this, or its client stops
        believing its own bookkeeping. None for no such rule.
    vouched: the layout says of this very file that it is content: where a backend does not vouch for all that it
        yields.
    keeps: whether this file may be a keeper; None where that is as the backend's capabilities have it.
    edited: the layout knows that somebody changed the file since it came: what it was to be says nothing against
        its bytes.
    """

    path: str
    stat: os.stat_result
    claims: Mapping[str, str] = field(default_factory=dict)
    repo_id: str | None = None
    repo_type: str | None = None
    revision: str | None = None
    links: frozenset[LinkKind] | None = None
    pinned: bool = False
    latest_mtime_ns: int | None = None
    vouched: bool = False
    keeps: bool | None = None
    edited: bool = False


class IndexedReplica(NamedTuple):
    """One path as the index remembers it: what the planner works on.

    A tuple, since plans are made of tens of thousands: a frozen dataclass takes five times as long to make.
    """

    path: str
    root: str
    backend: str
    signature: Signature
    #: Bytes by allocated blocks (`st_blocks` * 512), not by length.
    allocated: int
    nlink: int
    mode: int
    uid: int
    gid: int
    #: Stated by the layout, not read.
    claims: Mapping[str, str]
    #: Read from the bytes under this very signature.
    computed: Mapping[str, str]
    repo_id: str | None = None
    repo_type: str | None = None
    revision: str | None = None
    links: frozenset[LinkKind] | None = None
    pinned: bool = False
    latest_mtime_ns: int | None = None
    keeps: bool | None = None
    edited: bool = False

    @property
    def payload(self) -> tuple[int, int]:
        """Device and inode: replicas with the same pair share one payload."""
        return self.signature[:2]

    @property
    def folder(self) -> str:
        """The directory that the path lies in, as `os.path.dirname` has it: asked several times of every replica."""
        return self.path.rpartition("/")[0] or "/"

    @property
    def digests(self) -> dict[str, str]:
        """All digests; what was computed wins over what is claimed."""
        return {**self.claims, **self.computed}

    @property
    def claim_is_a_lie(self) -> bool:
        """Whether the bytes were read and are not what the layout says they are."""
        if not self.claims or not self.computed:
            return False
        return any(self.computed.get(name, value) != value for name, value in self.claims.items())


class Trust(enum.StrEnum):
    """How a duplicate set came to be believed. Neither is enough to swap on (invariant 1)."""

    CLAIMED = "claimed"
    COMPUTED = "computed"


class DuplicateSet(NamedTuple):
    """Replicas of one content on two payloads or more."""

    size: int
    digests: Mapping[str, str]
    trust: Trust
    replicas: tuple[IndexedReplica, ...]

    @property
    def payloads(self) -> dict[tuple[int, int], list[IndexedReplica]]:
        """The replicas by payload, in the order of `replicas`."""
        grouped: dict[tuple[int, int], list[IndexedReplica]] = {}
        for replica in self.replicas:
            grouped.setdefault(replica.payload, []).append(replica)
        return grouped


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One file of a snapshot. `name` is its path in the repo, with ``/``; `path` is what a program opens.

    name: its path in the repository, with ``/``.
    path: what a program opens: absolute, below `Snapshot.path`; a symlink may stand there.
    size: bytes by length, None where the link dangles or the file is gone.
    claims: the digests that the layout states for it, as `Replica.claims` has them.
    """

    name: str
    path: str
    size: int | None
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Partial:
    """A download that was begun and is not at its end: interrupted, or going on right now.

    path: absolute, below the root.
    size: bytes that are there so far.
    name: the file of the snapshot that it is to become, None where the layout does not tell.
    digests: algorithm → hex of what it is to become, as the layout has it; empty where it does not tell.
    """

    path: str
    size: int
    name: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One revision of a model, dataset, space or kernel as a layout offers it to programs.

    A download that was stopped before its first file is one too, with no files.

    repo_id: empty where the layout knows the commit only; whoever has the answers of all roots may fill it in.
    repo_type: ``model``, ``dataset``, ``space`` or ``kernel``.
    revision: the commit hash, empty where the layout does not know it.
    refs: branches and tags that name this revision, sorted; empty for a detached one.
    path: the folder that programs are given.
    files: those that are there, each name once.
    home: the folder of the model itself, with all its revisions; `path` where there is only one.
    expected: what the layout's listing of this revision names: bytes by length of each file; None where there is no
        listing.
    incomplete: downloads of it that are not at their end.
    """

    repo_id: str
    repo_type: str
    revision: str
    refs: tuple[str, ...]
    path: str
    files: tuple[SnapshotFile, ...]
    home: str = ""
    expected: Mapping[str, int] | None = None
    incomplete: tuple[Partial, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether a file of it cannot be opened."""
        return any(file.size is None for file in self.files)
