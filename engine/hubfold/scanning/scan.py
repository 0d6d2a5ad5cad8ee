"""A scan: walk the roots, bring their rows up to date, read what the duplicates depend on.

Each root stands alone: a backend that fails, a drive that is away or a folder that cannot be read costs that place its
news, and nothing else its rows.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import VAULT, VAULT_MARKER, Replica, Root, Scope, signature_tuple
from hubfold.duplicates.cost import UNASKED, Sharing, cost_key, duplicate_cost
from hubfold.duplicates.digesting import Work, digest
from hubfold.errors import Interrupted
from hubfold.faults import BackendFault
from hubfold.index.housekeeping import name_repositories, prune_digests, totals
from hubfold.index.index import Index
from hubfold.index.tallies import Tally
from hubfold.reading.pool import Readers
from hubfold.reports.outcomes import Notice
from hubfold.reports.scans import RootReport, ScanReport
from hubfold.scanning.choice import Chosen
from hubfold.scanning.reached import links, reached_from, with_reached
from hubfold.scanning.recording import Recording
from hubfold.scanning.walk import Lister, Shared, TreeWalk

#: What is told of a root whose drive is away, be there a folder at its path or not.
AWAY = "is away: its drive is not there; what was known of it is kept"


class Aim(NamedTuple):
    """What is looked at how closely."""

    #: Only files of so many bytes or more are read; smaller ones get rows too.
    min_size: int
    #: Which files of plain folders are content; None: all that backends yield.
    scope: Scope | None = None
    sharing: Sharing = UNASKED
    #: Who lists folders; None for the walk itself.
    lister: Lister | None = None
    #: Whether the drive of a root is away though there is a folder at its path.
    away: Callable[[str], bool] = lambda path: False


def scan(
    roots: Iterable[Root],
    backends: Mapping[str, GuardedBackend],
    index: Index,
    readers: Readers,
    aim: Aim,
) -> ScanReport:
    """Scan `roots` and what lies in them: caches that other backends recognise, and their vaults.

    What is done is committed as it goes: after `Interrupted` the next scan goes on from there. Raises
    `Interrupted`, `IndexDamaged`, `Locked`, `NoSpace`, `UsageError` (a text of `aim.scope` that is no pattern).
    """
    begun = time.monotonic()
    asked = list(roots)
    away = [root for root in asked if aim.away(root.path)]
    there = [root for root in asked if root not in away]
    walks = _Walks(there, backends, index, readers, aim)
    with index.together():
        walked = walks.run() + [(root, AWAY) for root in away]
    paths = [root.path for root, _ in walked]
    settled = Tally(index, f"settled {cost_key(paths, aim.min_size)}")
    work = Work()
    if settled.stale:
        work = digest(index, paths, aim.min_size, readers, settled.where("f.size"))
    with index.together():
        name_repositories(index, walks.commits)
        if settled.stale:
            # What could not be read is tried again at every scan.
            settled.put((), again=work.again)
        prune_digests(index)
        reports = [
            _report(index, root, error, left_out=root.path in walks.left_out)
            for root, error in walked
            if root.backend != VAULT
        ]
        # What is away frees nothing now, and a plan leaves it out.
        looked_at = [path for path in paths if os.path.isdir(path) and not aim.away(path)]
        cost = duplicate_cost(index, looked_at, aim.min_size, aim.sharing)
    return ScanReport(
        roots=tuple(reports),
        files=sum(report.files for report in reports),
        bytes=sum(report.bytes for report in reports),
        duplicate_sets=cost.sets,
        reclaimable_bytes=cost.bytes,
        bytes_read=work.bytes_read,
        files_read=work.files_read,
        seconds=time.monotonic() - begun,
        warnings=(*walks.warnings, *work.warnings),
        left_out=dict(sorted(walks.unchosen.items())) or None,
    )


class _Walks:
    """The walks of one scan, one root after the other; roots that are found on the way join the end."""

    def __init__(
        self,
        roots: list[Root],
        backends: Mapping[str, GuardedBackend],
        index: Index,
        readers: Readers,
        aim: Aim,
    ) -> None:
        self.warnings: list[Notice] = []
        #: Roots of which a plugin could not tell all.
        self.left_out: set[str] = set()
        #: How many files were no content, by why.
        self.unchosen: Counter[str] = Counter()
        self._scope = aim.scope
        self._backends = backends
        self._index = index
        self._progress = readers.progress
        self.commits: dict[str, tuple[str, str]] = {}
        self._shared = Shared(
            self._found,
            self.commits,
            advance=readers.progress.advance,
            stop=readers.stop,
            lister=aim.lister,
        )
        self._reached = reached_from(roots, backends)
        self._shared.linked.update(links(self._reached))
        self._queue = with_reached(roots, self._reached)
        self._known = {root.path: root for root in index.roots(vaults=True)}
        self._queued = {root.path for root in self._queue}

    def run(self) -> list[tuple[Root, str | None]]:
        """Every root with what went wrong in it."""
        walked = []
        while self._queue:
            root = self._queue.pop(0)
            self._progress.start("walking", None, "files")
            try:
                walked.append((root, self._walk(root)))
            finally:
                self._progress.finish()
            self._queue_vaults(root)
        return walked

    def _walk(self, root: Root) -> str | None:
        if root.backend not in self._backends:
            return f"its backend {root.backend!r} is not loaded; what was known of it is kept"
        try:
            device = os.stat(root.path).st_dev
            os.scandir(root.path).close()
        except FileNotFoundError:
            return "is not there (is its drive connected?); what was known of it is kept"
        except OSError as error:
            return f"cannot be read: {error.strerror}; what was known of it is kept"
        backend = self._backends[root.backend]
        chosen = None if self._scope is None else Chosen(self._scope, root, backend)
        try:
            told_by = self._told_by(root, backend)
        except BackendFault as fault:
            self.left_out.add(root.path)
            return str(fault.fault)
        recording = Recording(self._index, root, told_by)
        walk = TreeWalk(
            root,
            self._backends,
            self._shared,
            boundaries=self._queued,
            memory=recording,
            chosen=chosen,
        )
        try:
            self._backends[root.backend].replicas(root, walk, _taking(recording, chosen))
        except Interrupted:
            recording.abandon()
            raise
        except BackendFault as fault:
            recording.abandon()
            self.left_out.add(root.path)
            return str(fault.fault)
        finally:
            self.warnings += walk.warnings
            if chosen is not None:
                self.unchosen += chosen.left_out
            self.warnings += [Notice(path, message) for path, message in recording.rejected]
        finished = recording.finish(device, walk.failed)
        if root.path in walk.failed:
            return "cannot be read; what was known of it is kept"
        if finished.replaced:
            return (
                f"another file system is mounted here than at the last scan; the {finished.away} files known "
                "from there are kept (`hubfold roots rm` forgets them)"
            )
        if finished.away:
            self.warnings.append(
                Notice(
                    root.path,
                    f"{finished.away} files of a file system that is not mounted now are kept as known",
                )
            )
        return None

    def _told_by(self, root: Root, backend: GuardedBackend) -> bytes:
        """Who says what of the files of a root: the version of the plugin, and its layout's notes as they are now."""
        walk = TreeWalk(root, self._backends, Shared(stop=self._shared.stop), boundaries=self._queued)
        notes = []
        for path in backend.notes(root, walk):
            with suppress(OSError):
                notes.append((path, signature_tuple(os.lstat(path))))
        return repr((backend.origin, sorted(notes))).encode("utf-8", "backslashreplace")

    def _found(self, backend: str, path: str) -> None:
        path = os.path.realpath(path)
        if path not in self._queued:
            self._queued.add(path)
            root = self._known.get(path) or Root(path, backend)
            self._queue.append(root)
            self._reached += reached_from([root], self._backends)
            self._shared.linked.update(links(self._reached))
            self._queue = with_reached(self._queue, self._reached)
            self._queued |= {root.path for root in self._queue}

    def _queue_vaults(self, root: Root) -> None:
        if root.backend == VAULT or not {VAULT, root.backend} <= self._backends.keys():
            return
        for place in self._backends[root.backend].vault_places(root):
            if os.path.isdir(os.path.join(place, "objects")) and os.path.lexists(
                os.path.join(place, VAULT_MARKER)
            ):
                self._found(VAULT, place)


def _taking(recording: Recording, chosen: Chosen | None) -> Callable[[Replica], object]:
    """What each replica of a root is handed to: only what is content gets a row."""
    if chosen is None:
        return recording.put
    return lambda replica: chosen.takes(replica) and recording.put(replica)


def _report(index: Index, root: Root, error: str | None, *, left_out: bool) -> RootReport:
    found = totals(index, root)
    return RootReport(
        path=root.path,
        backend=root.backend,
        role=root.role,
        files=found.files,
        bytes=found.bytes,
        allocated_bytes=found.allocated,
        error=error,
        left_out=left_out,
    )
