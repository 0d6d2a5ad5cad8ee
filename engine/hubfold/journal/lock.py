"""One run at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import filelock

from hubfold.disk.hosts import lock as hosts
from hubfold.errors import HeldElsewhere, HubfoldError, Locked
from hubfold.state.home import StateHome


@contextmanager
def exclusive(state: StateHome, command: str) -> Iterator[None]:
    """Be the only command that changes something. Raises `Locked`, saying which one runs, without waiting.

    Of a state directory on a shared file system, on all hosts.
    """
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
    try:
        with hosts.held(state.lock, command), _noted(state.lock + ".json", command):
            yield
    except HeldElsewhere as error:
        raise held_elsewhere(error) from None
    finally:
        lock.release()


def held_elsewhere(error: HeldElsewhere) -> Locked:
    """What a user is told of a run that may be another host's."""
    return Locked(
        f"another hubfold run is at work: {error.holder}",
        "wait until it is through, then try again; if its host is gone for good: hubfold unlock",
    )


@contextmanager
def _noted(note: str, command: str) -> Iterator[None]:
    """Say who holds the lock, for as long as it is held."""
    # As runs are named and listed: UTC, so that a log of several machines can be read.
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with suppress(OSError), open(note, "w", encoding="ascii") as file:  # a courtesy; the lock is what counts
        json.dump({"pid": os.getpid(), "command": command, "started": started}, file)
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(note)


def _who(state: StateHome) -> str:
    try:
        with open(state.lock + ".json", encoding="ascii") as file:
            note = json.load(file)
        return f": {note['command']}, process {note['pid']:d}, since {note['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
