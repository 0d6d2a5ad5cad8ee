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

#: Digest algorithms, in the order in which hubfold prefers to name a content by them.
ALGORITHMS = ("sha256", "git-sha1", "xxh3_128", "xet")


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
    """A directory tree that is scanned; one backend owns it."""

    path: str
    backend: str
    role: Role = Role.SECONDARY
    #: Bytes this root may hold, None for no limit.
    limit: int | None = None
    #: The symlink of another root's layout that leads here (`StorageBackend.reached`); "" for a root of its own.
    link: str = ""


@dataclass(slots=True)
class Replica:
    """One path with content, as a backend found it. Not frozen: scans make millions, and frozen costs threefold.

    `claims` maps an algorithm to a lower-case hex digest that the layout states without our reading the bytes.
    """

    path: str
    stat: os.stat_result
    claims: Mapping[str, str] = field(default_factory=dict)
    #: ``org/name`` and ``model``/``dataset``/``space``/``kernel`` where the layout knows them.
    repo_id: str | None = None
    repo_type: str | None = None
    #: The commit hash this copy belongs to, where it belongs to one.
    revision: str | None = None
    #: Link kinds that this one file tolerates in its place; None for all that the backend's capabilities allow.
    links: frozenset[LinkKind] | None = None
    #: A program counts on this very inode staying where it is: it may be a keeper, never a victim of a swap.
    pinned: bool = False
    #: The inode that this path reads must not have a later mtime than this, or its client stops believing its
    #: own bookkeeping. None for no such rule.
    latest_mtime_ns: int | None = None
    #: The layout says of this very file that it is content: where a backend does not vouch for all that it yields.
    vouched: bool = False


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


@dataclass(frozen=True, slots=True)
class DuplicateSet:
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
    """One file of a snapshot. `name` is its path in the repo, with ``/``; `path` is what a program opens."""

    name: str
    path: str
    #: Bytes by length, None where the link dangles or the file is gone.
    size: int | None
    #: The digests that the layout states for it, as `Replica.claims` has them.
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Partial:
    """A download that was begun and is not at its end: interrupted, or going on right now."""

    path: str
    #: Bytes that are there so far.
    size: int
    #: The file of the snapshot that it is to become, None where the layout does not tell.
    name: str | None = None
    #: Algorithm → hex of what it is to become, as the layout has it; empty where it does not tell.
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One revision of a model, dataset, space or kernel as a layout offers it to programs.

    A download that was stopped before its first file is one too, with no files.
    """

    #: Empty where the layout knows the commit only; whoever has the answers of all roots may fill it in.
    repo_id: str
    repo_type: str
    #: The commit hash, empty where the layout does not know it.
    revision: str
    #: Branches and tags that name this revision, sorted; empty for a detached one.
    refs: tuple[str, ...]
    #: The folder that programs are given.
    path: str
    files: tuple[SnapshotFile, ...]
    #: The folder of the model itself, with all its revisions; `path` where there is only one.
    home: str = ""
    #: What the layout's listing of this revision names: bytes by length of each file; None where there is no listing.
    expected: Mapping[str, int] | None = None
    incomplete: tuple[Partial, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether a file of it cannot be opened."""
        return any(file.size is None for file in self.files)
