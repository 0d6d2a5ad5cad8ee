"""Runs of one user: one at a time, each with its journal, and tidied up after a crash before the next begins."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import filelock

from hubfold.care import recovery
from hubfold.errors import HubfoldError, Locked, RunNotFound
from hubfold.journal import history, journal
from hubfold.journal.journal import Journal
from hubfold.journal.run_log import RunLog
from hubfold.reports.runs import RecoverReport
from hubfold.state.home import State


@contextmanager
def exclusive(state: State, command: str) -> Iterator[None]:
    """Be the only command that changes something. Raises `Locked`, saying which one runs, without waiting."""
    state.create()
    lock = filelock.FileLock(state.lock)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Locked(
            f"another hubfold run is at work{_who(state)}",
            "wait until it is through, then try again; nothing was changed",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise HubfoldError(
            f"the lock {state.lock} cannot be taken: {error}", "give another state directory by HUBFOLD_HOME"
        ) from None
    note = state.lock + ".json"
    with suppress(OSError), open(note, "w", encoding="ascii") as file:  # a courtesy; the lock is what counts
        json.dump({"pid": os.getpid(), "command": command, "started": time.strftime("%H:%M:%S")}, file)
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(note)
        lock.release()


def _who(state: State) -> str:
    try:
        with open(state.lock + ".json", encoding="ascii") as file:
            note = json.load(file)
        return f": {note['command']}, process {note['pid']:d}, since {note['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def unsettled(state: State) -> list[str]:
    """The runs that a crash may have left something of, oldest first; reads the last line of each journal."""
    return [
        run
        for run in journal.run_names(state.runs)
        if not _settled(os.path.join(state.runs, run + journal.SUFFIX))
    ]


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


def recover(state: State, *, forget: bool = False) -> RecoverReport:
    """Finish or roll back what crashes left; call it within `exclusive`. Raises `JournalDamaged`, `OSError`.

    With `forget`, what cannot be looked at is given up, and not tried again.
    """
    runs = unsettled(state)
    if not runs:
        return RecoverReport()
    logs = {log.run: log for log in history.as_they_lie_now(journal.logs(state.runs))}
    told: list[str] = []
    settled = recovery.Settled()
    for run in runs:
        log = logs[run]
        if not log.needs_recovery:
            continue
        told.append(run)
        used = history.keepers_in_use(logs.values(), but=run)
        with Journal.reopen(log) as book:
            changes = history.keeper_changes(logs.values())
            found = recovery.settle(log, book, used, changes, forget=forget)
        settled.finished += found.finished
        settled.rolled_back += found.rolled_back
        settled.left += found.left
        settled.waiting |= found.waiting
    return RecoverReport(
        tuple(told),
        tuple(settled.finished),
        tuple(settled.rolled_back),
        tuple(settled.left),
        settled.waiting,
    )


def find(state: State, run: str | None) -> tuple[RunLog, list[RunLog]]:
    """(the run called `run`, or the last one that can be taken back; all runs). Raises `RunNotFound`."""
    logs = history.as_they_lie_now(journal.logs(state.runs))
    if run is not None:
        chosen = next((log for log in logs if log.run == run), None)
        if chosen is None:
            raise RunNotFound(f"there is no run {run!r}", "see `hubfold runs`")
        return chosen, logs
    for log in reversed(logs):
        if history.undoable(log):
            return log, logs
    raise RunNotFound("there is no run to take back", "see `hubfold runs`")
