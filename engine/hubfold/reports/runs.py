"""What the engine's operations return: plain data, each with the JSON form that scripts rely on.

Path strings are as in `content`; `as_json` leaves surrogates in place, so that `json.dumps` writes them as ``\\udcXX``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.outcomes import Json as Json
from hubfold.reports.outcomes import Notice as Notice
from hubfold.reports.scans import RootReport as RootReport
from hubfold.reports.scans import ScanReport as ScanReport


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
    #: Those of `left` that the same command restores once what is away is back.
    waiting: tuple[Left, ...] = ()

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
class GcReport:
    """Vault objects that no link needs; `bytes` is what removing them frees (0 while a cache still has the file)."""

    removed: tuple[str, ...]
    bytes: int
    kept: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    #: Those of `removed` whose content has no other name.
    last_copies: tuple[str, ...] = ()
    #: Links that count for nothing, since the machine that noted them is given up.
    forgotten: tuple[str, ...] = ()

    def as_json(self) -> Json:
        return {
            "removed": [{"path": path} for path in self.removed],
            "last_copies": [{"path": path} for path in self.last_copies],
            "forgotten": [{"path": path} for path in self.forgotten],
            "reclaimed_bytes": self.bytes,
            "kept": [left.as_json() for left in self.kept],
            "failed": [failure.as_json() for failure in self.failed],
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
