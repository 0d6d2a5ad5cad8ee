"""Runs that change something, with the plugins told before the first change and after the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hubfold.care import recovery
from hubfold.engine.workspace import Workspace
from hubfold.journal import journal
from hubfold.journal.journal import Journal


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
def changing(workspace: Workspace, command: str) -> Iterator[Journal]:
    """`alone`, with the journal of a new run; the caller says how the run ended."""
    with alone(workspace, command) as runs, recovery.begin(workspace.state, command) as book:
        runs.append(book.run)
        yield book
