"""Runs that change something, with the plugins told before the first change and after the end."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from hubfold.care import recovery
from hubfold.disk.hosts import shares
from hubfold.engine.workspace import Workspace
from hubfold.errors import HeldElsewhere
from hubfold.journal import journal
from hubfold.journal.journal import Journal
from hubfold.journal.lock import held_elsewhere


@contextmanager
def alone(workspace: Workspace, command: str) -> Iterator[list[str]]:
    """`recovery.alone`. The caller puts the names of its runs into what it is handed."""
    runs: list[str] = []
    try:
        with recovery.alone(workspace.state, command):
            workspace.policies.before_run(command)
            yield runs
    finally:
        # Without the lock, so that a plugin may call hubfold in its turn.
        if runs and workspace.policies.has("hubfold_after_run"):
            for run in runs:
                paths = journal.read(workspace.state.runs, run).changed_paths
                workspace.policies.after_run(command, run, paths)


@contextmanager
def changing(
    workspace: Workspace, command: str, roots: Collection[str] = (), folders: Collection[str] = ()
) -> Iterator[Journal]:
    """`alone`, also `on_shares`, with the journal of a new run; the caller says how the run ended."""
    with (
        alone(workspace, command) as runs,
        on_shares(workspace, command, roots, folders),
        recovery.begin(workspace.state, command) as book,
    ):
        runs.append(book.run)
        yield book


@contextmanager
def on_shares(
    workspace: Workspace, command: str, roots: Collection[str], folders: Collection[str] = ()
) -> Iterator[None]:
    """Be the one host at work on those of `roots` that several hosts share; `folders` are those that are changed.

    Nothing is locked of others. Raises `Locked`, saying which run is at work there. Where somebody breaks a lock
    meanwhile the run is asked to stop.
    """
    broken = partial(workspace.stop.set, "another host has taken over the lock of this run")
    with ExitStack() as held:
        try:
            gone = held.enter_context(shares.alone(roots, folders, command, broken))
        except HeldElsewhere as error:
            raise held_elsewhere(error) from None
        workspace.notices += [f"took over the lock of a run that was killed: {one.line}" for one in gone]
        yield
