"""The locks between hosts: which there are, whose heart still beats, and the stale ones broken."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from hubfold.disk.hosts import holders, lock, shares
from hubfold.disk.paths import canonical
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.reports.locks import FoundLock, Pulse, UnlockReport
from hubfold.vault.names import LOCK


class Unlocking:
    """Finds locks between hosts, watches their holders, and breaks those that are stale."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def patience(self) -> float:
        """See `Engine.lock_patience`."""
        return lock.STILL

    def locks(self, paths: Sequence[StrPath] = ()) -> UnlockReport:
        """See `Engine.locks`."""
        return UnlockReport(tuple(self._found(paths)))

    def _found(self, paths: Sequence[StrPath]) -> Iterator[FoundLock]:
        for of in dict.fromkeys(self._places(paths)):
            with suppress(OSError):
                holder = lock.holder_of(of)
                if holder is not None:
                    known = (holder.host, holder.pid, holder.command, holder.since)
                    yield FoundLock(of + lock.SUFFIX, _pulse(holder.token), *known, token=holder.token, of=of)

    def _places(self, paths: Sequence[StrPath]) -> Iterator[str]:
        """What may be locked: the state, vaults, and roots, those that are named too."""
        workspace = self._workspace
        yield workspace.state.lock
        for vault in workspace.vaults():
            yield os.path.join(vault, LOCK)
        for folder in (*map(canonical, paths), *(root.path for root in workspace.known_roots())):
            yield shares.lock_of(folder)
            yield os.path.join(folder, LOCK)

    def watch(self, found: UnlockReport) -> UnlockReport:
        """See `Engine.watch_locks`."""
        beats = {}
        for one in found.locks:
            if one.state is Pulse.UNKNOWN and (beat := lock.beat_of(one.of)) is not None:
                beats[one.of] = beat
        silent = set(lock.silent(beats, self._wait))
        locks = []
        for one in found.locks:
            if one.of in silent:
                locks.append(replace(one, state=Pulse.SILENT, beat=beats[one.of].mtime_ns))
            else:
                locks.append(replace(one, state=Pulse.ALIVE) if one.state is Pulse.UNKNOWN else one)
        return UnlockReport(tuple(locks), tuple(one.path for one in locks if one.stale))

    def _wait(self, seconds: float) -> None:
        self._workspace.stop.check()
        self._workspace.stop.wait(seconds)

    def unlock(self, watched: UnlockReport) -> UnlockReport:
        """See `Engine.unlock`."""
        broken = [
            one.path for one in watched.locks if _still_stale(one) and lock.break_lock(one.of, one.token)
        ]
        return replace(watched, broken=tuple(broken))


def _still_stale(one: FoundLock) -> bool:
    """Whether it may be broken now: the question may have waited for its answer, and a host may have woken up."""
    return one.state is Pulse.GONE or (
        one.state is Pulse.SILENT and lock.beat_of(one.of) == lock.Beat(one.token, one.beat)
    )


def _pulse(token: str) -> Pulse:
    if not holders.is_here(token):
        return Pulse.UNKNOWN
    return Pulse.GONE if holders.has_ended(token) else Pulse.ALIVE
