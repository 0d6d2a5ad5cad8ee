"""What folding duplicates and taking that back return, and the runs that were: plain data, with its JSON form.

Path strings are as in `content`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import PATHS, SPREAD, UNTOLD, JsonForm, told
from hubfold.reports.outcomes import Failed, Left


@dataclass(frozen=True, slots=True)
class Done(JsonForm):
    """One action of a plan or a run, as it is told to the user."""

    path: str
    keeper: str
    target: str
    link: str
    reason: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ConsolidateReport(JsonForm):
    """A plan shown (`run` is None) or applied."""

    run: str | None
    actions: tuple[Done, ...]
    skipped: tuple[Left, ...]
    failed: tuple[Failed, ...]
    reclaimed_bytes: int
    notes: tuple[str, ...] = field(default=(), metadata=UNTOLD)
    #: Stopped by the user between two actions; what is done is done, the rest was not begun.
    interrupted: bool = field(default=False, metadata=UNTOLD)


@dataclass(frozen=True, slots=True)
class UndoReport(JsonForm):
    """A run taken back (or, as a preview, what would be). `bytes_needed` is the space that the copies take."""

    run: str
    #: Restored paths of which something stays as the user has it since: their mode.
    kept: tuple[Left, ...] = field(default=(), kw_only=True)
    restored: tuple[str, ...] = field(metadata=PATHS)
    left: tuple[Left, ...]
    failed: tuple[Failed, ...]
    bytes_needed: int = field(default=0, metadata=UNTOLD)
    interrupted: bool = field(default=False, metadata=UNTOLD)
    #: Those of `left` that the same command restores once what is away is back.
    waiting: tuple[Left, ...] = field(default=(), metadata=UNTOLD)
    #: Those of `restored` at which there is nothing then, since the run had made them; and what goes with them.
    removed: tuple[str, ...] = field(default=(), metadata=PATHS)
    folders: tuple[str, ...] = field(default=(), metadata=PATHS)
    #: Of a preview: the run stands before older ones until it is taken back, be there something to restore or not.
    open: bool = field(default=False, metadata=UNTOLD)


@dataclass(frozen=True, slots=True)
class RunSummary(JsonForm):
    """One past run. `state` is finished, interrupted (by the user), unfinished (a crash) or undone."""

    run: str
    command: str
    started: str
    state: str
    actions: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RunDetail(JsonForm):
    """One run action by action; `state` of each is done, undone, failed, rolled back or left."""

    summary: RunSummary = field(metadata=SPREAD)
    actions: tuple[tuple[Done, str], ...] = field(
        metadata=told(value=lambda actions: [{**done.as_json(), "state": state} for done, state in actions])
    )


@dataclass(frozen=True, slots=True)
class RecoverReport(JsonForm):
    """What a crash had left, and what became of it."""

    runs: tuple[str, ...] = ()
    finished: tuple[str, ...] = field(default=(), metadata=PATHS)
    rolled_back: tuple[str, ...] = field(default=(), metadata=PATHS)
    left: tuple[Left, ...] = ()
    #: Some of `left` is tried again by each command that changes something.
    waiting: bool = field(default=False, metadata=UNTOLD)


@dataclass(frozen=True, slots=True)
class GcReport(JsonForm):
    """Vault objects that no link needs; `bytes` is what removing them frees (0 while a cache still has the file)."""

    removed: tuple[str, ...] = field(metadata=PATHS)
    bytes: int = field(metadata=told("reclaimed_bytes"))
    kept: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    #: Those of `removed` whose content has no other name.
    last_copies: tuple[str, ...] = field(default=(), metadata=PATHS)
    #: Links that count for nothing, since the machine that noted them is given up.
    forgotten: tuple[str, ...] = field(default=(), metadata=PATHS)
    #: What else goes of the vaults: lists of links, and of one that is empty then the folders, marker and lock.
    folders: tuple[str, ...] = field(default=(), metadata=PATHS)
    vault_files: tuple[str, ...] = field(default=(), metadata=PATHS)


@dataclass(frozen=True, slots=True)
class FarmReport(JsonForm):
    """A folder of links, built or refreshed (as a preview: what would be)."""

    path: str
    run: str | None
    added: tuple[str, ...] = field(default=(), metadata=PATHS)
    kept: int = 0
    removed: tuple[str, ...] = field(default=(), metadata=PATHS)
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
