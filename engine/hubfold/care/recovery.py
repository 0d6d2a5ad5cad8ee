"""Settles what a crash left: every replacement that was announced and not finished is rolled back or found done.

It needs the journal and the disk, not the index. Rolling back is preferred to finishing: it needs no trust in a keeper
that may have changed since it was compared. Whatever a user did in the meantime wins, and is told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hubfold import errors
from hubfold.backend import distributions
from hubfold.care import repoint
from hubfold.care.settle import settle_repairs
from hubfold.disk.hosts import shares
from hubfold.errors import HeldElsewhere, LeftAlone
from hubfold.farm.settle import settle_links
from hubfold.folding.settle import restored_inode, settle_number
from hubfold.journal import journal, lock
from hubfold.journal.journal import Journal
from hubfold.journal.keepers import restore_keepers
from hubfold.journal.others import ALONE, Others, as_they_lie_now
from hubfold.journal.records import PUTTING
from hubfold.journal.run_log import RunLog
from hubfold.removal.settle import settle_removal
from hubfold.reports.outcomes import Left, Settled
from hubfold.reports.runs import RecoverReport
from hubfold.state.home import StateHome
from hubfold.vault import objects
from hubfold.vault.names import of_object


@contextmanager
def alone(state: StateHome, command: str) -> Iterator[None]:
    """Be the only command that changes something, with what crashes left tidied up.

    Raises `Locked` at once where another one runs, `JournalDamaged`, `OSError`.
    """
    with lock.exclusive(state, command):
        recover(state)
        yield


def begin(state: StateHome, command: str) -> Journal:
    """The journal of a new run; call it within `alone`."""
    return Journal.create(state.runs, command, distributions.version_of("hubfold"))


def unsettled(state: StateHome) -> list[str]:
    """The runs that a crash may have left something of, oldest first; reads the last line of each journal."""
    return [
        run
        for run in journal.run_names(state.runs)
        if not _settled(os.path.join(state.runs, run + journal.SUFFIX))
    ]


def recover(state: StateHome, *, forget: bool = False) -> RecoverReport:
    """Finish or roll back what crashes left; call it within `exclusive`.

    With `forget`, what cannot be looked at is given up, and not tried again. Raises `Locked` where another host is at
    work on the same share, `JournalDamaged`, `OSError`.
    """
    runs = unsettled(state)
    if not runs:
        return RecoverReport()
    logs = {log.run: log for log in as_they_lie_now(journal.logs(state.runs))}
    told: list[str] = []
    settled = Settled()
    for run in runs:
        log = logs[run]
        if not log.needs_recovery:
            continue
        told.append(run)
        with _on_shares(log), Journal.reopen(log) as book:
            found = settle(log, book, Others.of(logs.values(), log), forget=forget)
        settled.finished += found.finished
        settled.rolled_back += found.rolled_back
        settled.left += found.left
        settled.waiting |= found.waiting
    return RecoverReport(
        runs=tuple(told),
        finished=tuple(settled.finished),
        rolled_back=tuple(settled.rolled_back),
        left=tuple(settled.left),
        waiting=settled.waiting,
    )


@contextmanager
def _on_shares(log: RunLog) -> Iterator[None]:
    """Be the one host at work where this run was, if hosts share that. Raises `Locked`."""
    with ExitStack() as held:
        try:
            held.enter_context(shares.alone(*log.changes_at, "recover", lambda: None))
            for vault in {of_object(path) for path in log.objects}:
                objects.clear_ended(vault)
        except HeldElsewhere as error:
            raise lock.held_elsewhere(error) from None
        yield


def settle(log: RunLog, journal: Journal, others: Others = ALONE, *, forget: bool = False) -> Settled:
    """Settle every open number of `log` and write down how, in `journal` (its own, reopened).

    A path that cannot be looked at now (its drive is away) stays open for the next time; with `forget` it is given up.
    """
    settled = Settled()
    for number in log.open_numbers:
        intent = log.intents[number]
        try:
            state, reason = settle_number(log, number, intent)
        except (OSError, LeftAlone) as error:
            if not forget:
                settled.left.append(Left(intent.path, f"cannot be looked at now: {errors.describe(error)}"))
                settled.waiting = True
                continue
            # Whatever is there keeps its content: as long as nobody can look, it counts as the link.
            state, reason = "kept", f"given up, it cannot be looked at: {errors.describe(error)}"
        told: dict[str, object] = {"reason": reason} if reason else {}
        if state == "restored":
            told |= restored_inode(intent)
        journal.append(state, number=number, **told)
        log.states[number] = state
        if reason and state in ("kept", "dropped"):
            settled.left.append(Left(intent.path, reason))
        elif state in ("done", "restored"):
            settled.finished.append(intent.path)
        else:
            settled.rolled_back.append(intent.path)
    settle_links(log)
    emptied = settle_removal(log, forget=forget)
    settled.left += emptied.left
    mends = settle_repairs(log, journal, forget=forget)
    pointed = repoint.settle_links(log, forget=forget)
    mends.waiting |= pointed.waiting
    settled.left += (*mends.left, *pointed.left)
    puts = log.command in PUTTING and not log.farm_links
    if log.intents or puts or not (log.farm_links or log.made):
        for failure in restore_keepers(log, others):
            settled.waiting |= not forget
            settled.left.append(
                Left(failure.path, f"its mode and time cannot be put back now: {failure.error}")
            )
    settled.waiting |= emptied.waiting or mends.waiting
    if log.undone_but_for_the_end and not settled.waiting:
        journal.append("undone")
        log.undone = True
    elif (
        not log.open_numbers
        and (log.ended is None or log.repointed or log.renews)
        and not (mends.waiting or emptied.waiting)
    ):
        journal.append("recovered")
    journal.sync()
    return settled


def _settled(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 512))
        tail = file.read()
    if not tail.endswith(b"\n"):
        return False
    try:
        return json.loads(tail[:-1].rpartition(b"\n")[2])["record"] in journal.CLOSING
    except (ValueError, KeyError, TypeError):
        return False
