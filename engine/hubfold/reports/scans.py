"""What looking for content returns: a scan, the duplicates, the known roots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hubfold.content import DuplicateSet, IndexedReplica, Role
from hubfold.json_form import NULLABLE, UNTOLD, Json, JsonForm, told
from hubfold.reports.outcomes import Notice


@dataclass(frozen=True, slots=True)
class Space(JsonForm):
    """What files with content take, in bytes by allocated blocks: each once, however many names it has.

    One with a name in a cache counts there, else in the local copies; what only a vault has still is `vault_bytes`.
    """

    cache_bytes: int
    copy_bytes: int
    vault_bytes: int = field(metadata=told(after=("total_bytes",)))
    #: What folds have freed that were not taken back; None where that cannot be told.
    saved_bytes: int | None = 0
    #: What hubfold itself takes: its index, its runs, what it remembers.
    state_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.cache_bytes + self.copy_bytes + self.vault_bytes


@dataclass(frozen=True, slots=True)
class Unreferenced(JsonForm):
    """What takes space and no model refers to. `bytes` by blocks: what the file system gets back for it.

    `command` frees it; None where hubfold has none, `path` is the folder then.
    """

    what: str
    files: int
    bytes: int
    command: str | None
    path: str | None = field(default=None, metadata=told(optional=True))


@dataclass(frozen=True, slots=True)
class RootReport(JsonForm):
    """One root after a scan. `bytes` by length, `allocated_bytes` by blocks, each payload counted once."""

    path: str
    backend: str
    role: Role
    files: int
    bytes: int
    allocated_bytes: int
    error: str | None = field(default=None, metadata=told(optional=True))
    #: The error is a plugin's fault: nothing of the root is to be changed on its word.
    left_out: bool = field(default=False, metadata=UNTOLD)


@dataclass(frozen=True, slots=True)
class ScanReport(JsonForm):
    """A finished scan. `bytes_read` and `files_read` are about content, not about names and metadata."""

    roots: tuple[RootReport, ...]
    files: int
    bytes: int
    duplicate_sets: int
    reclaimable_bytes: int
    bytes_read: int
    files_read: int
    seconds: float = field(metadata=told(value=lambda seconds: round(seconds, 3)))
    warnings: tuple[Notice, ...] = ()
    #: How many folders were left out as no place for models, by what they are (`.git`, package caches …).
    left_out: Mapping[str, int] | None = field(default=None, metadata=told(optional=True))
    #: `reclaimable_bytes` is what the sizes come to: there are so many sets that no plan was made.
    estimated: bool = field(default=False, metadata=told(optional=True))
    #: What the roots of `roots` take together.
    space: Space | None = field(default=None, metadata=told(optional=True))
    #: What of that, and beside it, no model refers to.
    unreferenced: tuple[Unreferenced, ...] = field(default=(), metadata=told(optional=True))

    @property
    def failed(self) -> bool:
        """Whether some root or path could not be read."""
        unread = any(notice.kind == "unreadable" for notice in self.warnings)
        return unread or any(root.error for root in self.roots)


@dataclass(frozen=True, slots=True)
class DupesReport(JsonForm):
    """Duplicate sets with what folding each would free, in bytes by allocated blocks."""

    sets: tuple[tuple[DuplicateSet, int], ...] = field(
        metadata=told(value=lambda sets: [_set(*one) for one in sets])
    )
    reclaimable_bytes: int


@dataclass(frozen=True, slots=True)
class StatusRoot(JsonForm):
    """One known root for the status view."""

    path: str
    backend: str
    role: Role
    files: int
    bytes: int
    limit: int | None
    online: bool
    source: str = ""
    #: What it is called as a place for models; "" where it has no name.
    name: str = field(default="", metadata=NULLABLE)
    #: What it takes by allocated blocks, as `du` counts; None where it has no limit that this is held against.
    used_bytes: int | None = None
    #: Its drive is not there, or another one is mounted in its place.
    away: bool = False
    #: It is named, and nobody has put anything there yet.
    to_be_made: bool = field(default=False, metadata=told(optional=True))
    #: The source of each setting that has one: `path`, `name`, `role`, `limit`.
    sources: Mapping[str, str] = field(default_factory=dict)
    #: Why this user cannot look into it, where that is it and not that it is away.
    error: str = field(default="", metadata=told(optional=True))


@dataclass(frozen=True, slots=True)
class RememberedModel:
    """What the last scan saw of a model in a root. `bytes` by length, each file once however many names it has."""

    root: str
    name: str
    files: int
    bytes: int
    physical_bytes: int


@dataclass(frozen=True, slots=True)
class RememberedRoot:
    """What the last scan saw in a root, whether it is there now or not; `scanned_at` in seconds, None for never."""

    path: str
    backend: str
    files: int
    bytes: int
    physical_bytes: int
    scanned_at: int | None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the index has: the roots, and the models in each. What is no model's file counts for its root alone."""

    roots: tuple[RememberedRoot, ...] = ()
    models: tuple[RememberedModel, ...] = ()


def _set(duplicates: DuplicateSet, reclaimable: int) -> Json:
    return {
        "size": duplicates.size,
        "digests": duplicates.digests,
        "trust": duplicates.trust,
        "reclaimable_bytes": reclaimable,
        "replicas": [_replica(replica) for replica in duplicates.replicas],
    }


def _replica(replica: IndexedReplica) -> Json:
    report: Json = {
        "path": replica.path,
        "root": replica.root,
        "backend": replica.backend,
        "device": replica.signature.device,
        "inode": replica.signature.inode,
    }
    if replica.repo_id is not None:
        report["repo_id"] = replica.repo_id
    if replica.revision is not None:
        report["revision"] = replica.revision
    return report
