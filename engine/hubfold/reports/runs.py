"""What the engine's operations return: plain data, each with the JSON form that scripts rely on.

Path strings are as in `content`; `as_json` leaves surrogates in place, so that `json.dumps` writes them as ``\\udcXX``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hubfold.content import DuplicateSet, Role
from hubfold.reports.scans import Json as Json
from hubfold.reports.scans import Notice as Notice
from hubfold.reports.scans import RootReport as RootReport
from hubfold.reports.scans import ScanReport as ScanReport


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
class Done:
    """One action of a plan or a run, as it is told to the user."""

    path: str
    keeper: str
    target: str
    link: str
    reason: str
    bytes: int

    def as_json(self) -> Json:
        return {
            "path": self.path,
            "keeper": self.keeper,
            "target": self.target,
            "link": self.link,
            "reason": self.reason,
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class Left:
    """A path that was left alone on purpose."""

    path: str
    reason: str

    def as_json(self) -> Json:
        return {"path": self.path, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Failed:
    """A path that was left alone because something went wrong."""

    path: str
    error: str

    def as_json(self) -> Json:
        return {"path": self.path, "error": self.error}


@dataclass(frozen=True, slots=True)
class ConsolidateReport:
    """A plan shown (`run` is None) or applied."""

    run: str | None
    actions: tuple[Done, ...]
    skipped: tuple[Left, ...]
    failed: tuple[Failed, ...]
    reclaimed_bytes: int
    notes: tuple[str, ...] = ()
    #: Stopped by the user between two actions; what is done is done, the rest was not begun.
    interrupted: bool = False

    def as_json(self) -> Json:
        return {
            "run": self.run,
            "actions": [action.as_json() for action in self.actions],
            "skipped": [skip.as_json() for skip in self.skipped],
            "failed": [failure.as_json() for failure in self.failed],
            "reclaimed_bytes": self.reclaimed_bytes,
        }


@dataclass(frozen=True, slots=True)
class UndoReport:
    """A run taken back (or, as a preview, what would be). `bytes_needed` is the space that the copies take."""

    run: str
    restored: tuple[str, ...]
    left: tuple[Left, ...]
    failed: tuple[Failed, ...]
    bytes_needed: int = 0
    interrupted: bool = False
    #: Restored paths of which something stays as the user has it since: their mode.
    kept: tuple[Left, ...] = ()

    def as_json(self) -> Json:
        return {
            "run": self.run,
            "kept": [left.as_json() for left in self.kept],
            "restored": [{"path": path} for path in self.restored],
            "left": [left.as_json() for left in self.left],
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One past run. `state` is finished, interrupted (by the user), unfinished (a crash) or undone."""

    run: str
    command: str
    started: str
    state: str
    actions: int
    bytes: int

    def as_json(self) -> Json:
        return {
            "run": self.run,
            "command": self.command,
            "started": self.started,
            "state": self.state,
            "actions": self.actions,
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run action by action; `state` of each is done, undone, failed, rolled back or left."""

    summary: RunSummary
    actions: tuple[tuple[Done, str], ...]

    def as_json(self) -> Json:
        return {
            **self.summary.as_json(),
            "actions": [{**done.as_json(), "state": state} for done, state in self.actions],
        }


@dataclass(frozen=True, slots=True)
class RecoverReport:
    """What a crash had left, and what became of it."""

    runs: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
    #: Some of `left` is tried again by each command that changes something.
    waiting: bool = False

    def as_json(self) -> Json:
        return {
            "runs": list(self.runs),
            "finished": [{"path": path} for path in self.finished],
            "rolled_back": [{"path": path} for path in self.rolled_back],
            "left": [left.as_json() for left in self.left],
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found; `kind` is corrupt, edited, missing, unreadable or dangling."""

    path: str
    kind: str
    message: str

    def as_json(self) -> Json:
        return {"path": self.path, "kind": self.kind, "message": self.message}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Content re-read and compared with claims and index."""

    checked: int
    bytes_read: int
    problems: tuple[Problem, ...]
    #: Of those checked, the files that were read before an interruption, and not again.
    resumed: int = 0

    def as_json(self) -> Json:
        report: Json = {
            "checked": self.checked,
            "bytes_read": self.bytes_read,
            "problems": [problem.as_json() for problem in self.problems],
        }
        return {**report, "resumed": self.resumed} if self.resumed else report


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `doctor` found; `fix` says what mends it, `fixed` whether that was done."""

    kind: str
    path: str
    message: str
    fix: str
    fixed: bool = False
    #: Whether `doctor --fix` can mend it.
    mendable: bool = False

    def as_json(self) -> Json:
        return {
            "kind": self.kind,
            "path": self.path,
            "message": self.message,
            "fix": self.fix,
            "fixed": self.fixed,
        }


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What is not as it should be, and what was mended."""

    findings: tuple[Finding, ...]

    @property
    def unfixed(self) -> int:
        return sum(not finding.fixed for finding in self.findings)

    def as_json(self) -> Json:
        return {"findings": [finding.as_json() for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class GcReport:
    """Vault objects that no link needs; `bytes` is what removing them frees (0 while a cache still has the file)."""

    removed: tuple[str, ...]
    bytes: int
    kept: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "removed": [{"path": path} for path in self.removed],
            "reclaimed_bytes": self.bytes,
            "kept": [left.as_json() for left in self.kept],
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class Needed:
    """A path elsewhere that needs content which is to go, and what becomes of it."""

    path: str
    content: str
    becomes: str

    def as_json(self) -> Json:
        return {"path": self.path, "content": self.content, "becomes": self.becomes}


@dataclass(frozen=True, slots=True)
class Reused:
    """Content of the size `bytes` that `source` had already; `how` is reflink, hardlink or copy."""

    path: str
    source: str
    how: str
    bytes: int

    def as_json(self) -> Json:
        return {"path": self.path, "source": self.source, "how": self.how, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class DownloadedModel:
    """One model of a download: the snapshot folder (None in a preview), and its bytes by where they come from."""

    name: str
    path: str | None
    commit: str | None
    files: int
    bytes: int
    present_bytes: int
    fetch_bytes: int

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "path": self.path,
            "commit": self.commit,
            "files": self.files,
            "bytes": self.bytes,
            "present_bytes": self.present_bytes,
            "downloaded_bytes": self.fetch_bytes,
        }


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """Models downloaded into `cache` (or, as a preview, what would be). `links` are those of ``--to``."""

    cache: str
    run: str | None
    models: tuple[DownloadedModel, ...]
    reused: tuple[Reused, ...] = ()
    links: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "cache": self.cache,
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "reused": [reused.as_json() for reused in self.reused],
            "links": [{"path": path} for path in self.links],
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class BackedUpModel:
    """One revision in a backup, with its bytes by length."""

    name: str
    revision: str
    files: int
    bytes: int

    def as_json(self) -> Json:
        return {"name": self.name, "revision": self.revision, "files": self.files, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class BackupReport:
    """Models backed up (`run` None: a preview). `bytes` counts each content once, `written` what was not there yet."""

    target: str
    run: str | None
    models: tuple[BackedUpModel, ...]
    bytes: int
    written: int
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "target": self.target,
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "bytes": self.bytes,
            "written_bytes": self.written,
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """Models put into `root` from a backup (`run` None: a preview). `restored` are the paths that were made."""

    root: str
    run: str | None
    models: tuple[BackedUpModel, ...]
    restored: tuple[str, ...]
    written: int
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "root": self.root,
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "restored": [{"path": path} for path in self.restored],
            "written_bytes": self.written,
            "left": [left.as_json() for left in self.left],
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class RemovedModel:
    """A model, revision or leftover that goes (or would go). `kind` is model, revision, or what sort of leftover."""

    kind: str
    name: str
    root: str
    revisions: tuple[str, ...] = ()
    path: str = ""

    def as_json(self) -> Json:
        return {
            "kind": self.kind,
            "name": self.name,
            "root": self.root,
            "revisions": list(self.revisions),
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """Models or leftovers removed (`run` None: a preview). `bytes` is what the file systems get back."""

    run: str | None
    models: tuple[RemovedModel, ...]
    removed: tuple[str, ...]
    bytes: int
    needed: tuple[Needed, ...] = ()
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    interrupted: bool = False

    def as_json(self) -> Json:
        return {
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "removed": [{"path": path} for path in self.removed],
            "needed": [needed.as_json() for needed in self.needed],
            "left": [left.as_json() for left in self.left],
            "failed": [failure.as_json() for failure in self.failed],
            "reclaimed_bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class FarmReport:
    """A folder of links, built or refreshed (as a preview: what would be)."""

    path: str
    run: str | None
    added: tuple[str, ...] = ()
    kept: int = 0
    removed: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = field(default_factory=tuple)

    def as_json(self) -> Json:
        return {
            "path": self.path,
            "run": self.run,
            "added": [{"path": path} for path in self.added],
            "kept": self.kept,
            "removed": [{"path": path} for path in self.removed],
            "left": [left.as_json() for left in self.left],
            "failed": [failure.as_json() for failure in self.failed],
        }


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
