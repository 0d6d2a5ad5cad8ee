"""Cleans up: what clients and hubfold left behind, and nothing that somebody may still be at.

Age is a courtesy (a download that was touched today may be gone on with); what protects one that is running is the lock
that its client holds, which `remover` takes before it removes anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from hubfold import display
from hubfold.backend.changes import Leftover, LeftoverKind, Removal
from hubfold.content import LinkKind, Root
from hubfold.disk.paths import within
from hubfold.errors import HubfoldError
from hubfold.journal.presence import check_there
from hubfold.journal.run_log import RunLog
from hubfold.library.inventory import Holdings
from hubfold.removal.needs import Names
from hubfold.removal.plan import RemovePlan, hold_against_needs
from hubfold.reports.outcomes import Left
from hubfold.vault import objects
from hubfold.vault.names import of_object


def plan(
    holdings: Holdings,
    logs: Iterable[RunLog],
    *,
    older_than: float,
    old_revisions: bool,
    only: Collection[str],
    names: Names,
) -> RemovePlan:
    """What was left behind in the roots `only` (default: all), and not touched for `older_than` seconds."""
    before_ns = time.time_ns() - int(older_than * 10**9)
    removals: list[Removal] = []
    young: list[Left] = []
    for root in holdings.usable:
        found: Sequence[Leftover] = ()
        if not only or root.path in only:
            with holdings.leaving_out(root):
                found = holdings.leftovers(root)
        for leftover in found:
            if leftover.kind is LeftoverKind.DETACHED and not old_revisions:
                continue
            if leftover.mtime_ns is None or leftover.mtime_ns < before_ns:
                removals.append(replace(leftover.removal, kind=str(leftover.kind)))
            elif leftover.kind in (LeftoverKind.INTERRUPTED, LeftoverKind.UNUSED):
                young.append(Left(leftover.path, _too_young(older_than)))
    if not only:
        removals += _dangling(logs)
    young += _unseen(holdings, only)
    return hold_against_needs(holdings, removals, young, with_links=False, names=names, only=only)


def _unseen(holdings: Holdings, only: Collection[str]) -> Iterator[Left]:
    """Where nobody could look, so that more may lie there: roots that are away, folders that are closed."""
    away, closed = {root.path for root in holdings.away}, set(holdings.unreadable)
    for path in sorted(away):
        if not only or any(within(path, root) for root in only):
            yield Left(path, "it is not there (is its drive connected?): more may be there")
    for notice in holdings.warnings:
        if notice.path in closed - away and (not only or any(within(notice.path, root) for root in only)):
            yield Left(notice.path, f"{notice.message}: more may be there")


def _too_young(older_than: float) -> str:
    """Why what somebody may be at stays, and what removes it all the same."""
    return f"it was touched less than {display.time_span(older_than)} ago; `hubfold clean --older-than 0` takes it too"


def plan_all(holdings: Holdings, cache: Root, names: Names) -> RemovePlan:
    """Everything that clients put into `cache`. Raises `HubfoldError` where its layout, or its plugin, cannot tell."""
    removals: list[Removal] = []
    for name in sorted({held.name for held in holdings.held() if held.root.path == cache.path}):
        found = holdings.removals(cache, name)
        if not found:
            raise HubfoldError(f"the layout {cache.backend} does not say how to empty {cache.path}")
        removals += found
    gone = {removal.path for removal in removals}
    for leftover in holdings.leftovers(cache):
        if leftover.removal.path not in gone or not leftover.removal.path:
            removals.append(replace(leftover.removal, kind=str(leftover.kind)))
    return hold_against_needs(holdings, removals, (), with_links=False, names=names, only=[cache.path])


def _dangling(logs: Iterable[RunLog]) -> Iterator[Removal]:
    """Links that hubfold made and whose vault object is gone, one removal each."""
    found: dict[str, tuple[str, str]] = {}
    for log in logs:
        for number, intent in log.intents.items():
            ours = intent.link is LinkKind.SYMLINK and log.states[number] == "done"
            if ours and _leads_nowhere(log, intent.path, intent.root, intent.text, intent.target):
                found[intent.path] = (intent.root, intent.backend)
        if not log.undone:
            for link in log.farm_links:
                if _leads_nowhere(log, link.path, link.root, link.text, link.target):
                    found[link.path] = (link.root, "")
    for path, (root, backend) in sorted(found.items()):
        yield Removal(root, backend, "", "", kind=str(LeftoverKind.DANGLING), links=(path,))


def _leads_nowhere(log: RunLog, path: str, root: str, text: str, target: str) -> bool:
    """Whether `path` is the link that was made, and its object was seen to be gone: by looking into its own vault."""
    vault = of_object(target)
    with suppress(OSError):
        if os.readlink(path) != text or os.path.lexists(os.path.join(os.path.dirname(path), text)):
            return False
        check_there(log.places, root)
        known = log.places.get(vault)
        same = known is None or not known.vault or objects.id_of(vault) == known.vault
        return same and objects.is_vault(vault) and not os.path.lexists(target)
    return False
