"""What a scan returns, apart from the other `reports`: every command that scans needs it, and no other of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubfold.content import DuplicateSet, Role
from hubfold.reports.outcomes import Json, Notice


@dataclass(frozen=True, slots=True)
class RootReport:
    """One root after a scan. `bytes` by length, `allocated_bytes` by blocks, each payload counted once."""

    path: str
    backend: str
    role: Role
    files: int
    bytes: int
    allocated_bytes: int
    error: str | None = None
    #: The error is a plugin's fault: nothing of the root is to be changed on its word.
    left_out: bool = False

    def as_json(self) -> Json:
        report: Json = {
            "path": self.path,
            "backend": self.backend,
            "role": str(self.role),
            "files": self.files,
            "bytes": self.bytes,
            "allocated_bytes": self.allocated_bytes,
        }
        if self.error is not None:
            report["error"] = self.error
        return report


@dataclass(frozen=True, slots=True)
class ScanReport:
    """A finished scan. `bytes_read` and `files_read` are about content, not about names and metadata."""

    roots: tuple[RootReport, ...]
    files: int
    bytes: int
    duplicate_sets: int
    reclaimable_bytes: int
    bytes_read: int
    files_read: int
    seconds: float
    warnings: tuple[Notice, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether some root or path could not be read."""
        unread = any(notice.kind == "unreadable" for notice in self.warnings)
        return unread or any(root.error for root in self.roots)

    def as_json(self) -> Json:
        return {
            "roots": [root.as_json() for root in self.roots],
            "files": self.files,
            "bytes": self.bytes,
            "duplicate_sets": self.duplicate_sets,
            "reclaimable_bytes": self.reclaimable_bytes,
            "bytes_read": self.bytes_read,
            "files_read": self.files_read,
            "seconds": round(self.seconds, 3),
            "warnings": [warning.as_json() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class DupesReport:
    """Duplicate sets with what folding each would free, in bytes by allocated blocks."""

    sets: tuple[tuple[DuplicateSet, int], ...]
    reclaimable_bytes: int

    def as_json(self) -> Json:
        return {
            "sets": [
                {
                    "size": duplicates.size,
                    "digests": dict(duplicates.digests),
                    "trust": str(duplicates.trust),
                    "reclaimable_bytes": reclaimable,
                    "replicas": [_replica_json(replica) for replica in duplicates.replicas],
                }
                for duplicates, reclaimable in self.sets
            ],
            "reclaimable_bytes": self.reclaimable_bytes,
        }


def _replica_json(replica: Any) -> Json:
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


@dataclass(frozen=True, slots=True)
class StatusRoot:
    """One known root for the status view."""

    path: str
    backend: str
    role: Role
    files: int
    bytes: int
    limit: int | None
    online: bool
    source: str = ""
