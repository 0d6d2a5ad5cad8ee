"""A scan: walk the roots, bring their rows up to date, read what the duplicates depend on.

Each root stands alone: a backend that fails, a drive that is away or a folder that cannot be read costs that place its
news, and nothing else its rows.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from hubfold.backend.contract import StorageBackend
from hubfold.content import VAULT_MARKER, DuplicateSet, IndexedReplica, Root
from hubfold.duplicates import sets as sizes
from hubfold.duplicates.digesting import Work, digest
from hubfold.errors import IndexDamaged, Interrupted, Locked, NoSpace
from hubfold.index.database import IndexUnusable
from hubfold.index.housekeeping import name_repositories, prune_digests, totals
from hubfold.index.index import VAULT, Index
from hubfold.index.tallies import Tally
from hubfold.progress import Progress, Silent, Stop
from hubfold.reading.pool import Readers
from hubfold.reports.scans import Notice, RootReport, ScanReport
from hubfold.scanning.recording import Recording
from hubfold.scanning.walk import TreeWalk

#: Tells payloads that share all their extents: equal keys (None for no answer) take space once.
SharedExtents = Callable[[IndexedReplica], object | None]

#: Whether files in a folder, or anywhere on its file system, can share extents; True where that cannot be told.
MayShare = Callable[[str], bool]

#: Not the fault of a backend, whoever was at work when it came up.
_FATAL = (Interrupted, IndexDamaged, IndexUnusable, Locked, NoSpace)


def scan(
    roots: Iterable[Root],
    backends: Mapping[str, StorageBackend],
    index: Index,
    *,
    min_size: int,
    executor: Readers,
    progress: Progress | None = None,
    stop: Stop | None = None,
    shared_extents: SharedExtents | None = None,
    may_share: MayShare | None = None,
) -> ScanReport:
    """Scan `roots` and what lies in them: caches that other backends recognise, and their vaults.

    Only files of `min_size` bytes or more are read; all regular files get rows. What is done is committed as it goes:
    after `Interrupted` the next scan goes on from there. Raises `Interrupted`, `IndexDamaged`, `Locked`, `NoSpace`.
    """
    begun = time.monotonic()
    progress = Silent() if progress is None else progress
    stop = Stop() if stop is None else stop
    walks = _Walks(list(roots), backends, index, progress, stop)
    with index.together():
        walked = walks.run()
    paths = [root.path for root, _ in walked]
    settled = Tally(index, f"settled {_key(paths, min_size)}")
    work = Work()
    if settled.stale:
        work = digest(index, paths, min_size, executor, progress, stop, settled.where("f.size"))
    with index.together():
        name_repositories(index, walks.commits)
        if settled.stale:
            # What could not be read is tried again at every scan.
            settled.put((), again=work.again)
        prune_digests(index)
        reports = [_report(index, root, error) for root, error in walked if root.backend != VAULT]
        cost = duplicate_cost(index, paths, min_size, shared_extents, may_share)
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
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What duplicates take: how many sets, and how many bytes (by allocated blocks) folding them would free."""

    sets: int
    bytes: int


def duplicate_cost(
    index: Index,
    roots: Iterable[str],
    min_size: int,
    shared_extents: SharedExtents | None = None,
    may_share: MayShare | None = None,
) -> Cost:
    """Add up the duplicate sets of these roots; only sizes that something changed of are worked out again."""
    paths = list(roots)
    key = f"duplicates {shared_extents is not None} {_key(paths, min_size)}"
    remembered = index.remembered(key)
    if remembered is not None:
        return Cost(*map(int, remembered.split()))
    tally = Tally(index, key)
    only = tally.where("f.size")
    sizes.want(index, only, min_size, paths)
    figures: list[tuple[int, int, int, int]] = []
    # What shares its extents changes without any change of a file: that has to be asked again each time.
    again: set[int] = set()
    if shared_extents is None or not _may_share(index, may_share):
        figures += [(size, sets, freed, 0) for size, sets, freed in sizes.plain_costs(index, paths)]
        only = "f.size IN (SELECT size FROM wanted WHERE NOT plain)"
    for size, same in groupby(index.duplicate_sets(paths, min_size, only), attrgetter("size")):
        sets, freed = 0, 0
        for duplicates in same:
            index.file.settle()
            shares = _shares(duplicates, shared_extents)
            if any(kind == "extents" for kind, _ in shares):
                again.add(size)
            if len(shares) > 1:
                sets += 1
                freed += _freed(list(shares.values()))
        if sets:
            figures.append((size, sets, freed, 0))
    if not tally.put(figures, again):
        return duplicate_cost(index, paths, min_size, shared_extents, may_share)
    sets, freed, _ = tally.sums()
    index.remember(key, f"{sets} {freed}")
    return Cost(sets, freed)


def _may_share(index: Index, may_share: MayShare | None) -> bool:
    """Whether some file of a plain size lies where extents can be shared, as far as can be told."""
    return may_share is None or any(
        may_share(os.fsdecode(folder)) for _, folder in sizes.plain_devices(index)
    )


def _key(roots: Iterable[str], min_size: int) -> str:
    paths = hashlib.sha256(b"\0".join(sorted(map(os.fsencode, roots)))).hexdigest()
    return f"{min_size} {paths}"


def reclaimable(duplicates: DuplicateSet, shared_extents: SharedExtents | None = None) -> int:
    """Bytes, by allocated blocks, that folding a set frees: all payloads but the keeper.

    A payload with names outside of the set frees nothing, nor does one that must stay or that tolerates no link;
    payloads that share their extents are folded already.
    """
    return _freed(list(_shares(duplicates, shared_extents).values()))


def _shares(
    duplicates: DuplicateSet, shared_extents: SharedExtents | None
) -> dict[tuple[str, object], list[list[IndexedReplica]]]:
    """The payloads, those together that share their extents."""
    shares: dict[tuple[str, object], list[list[IndexedReplica]]] = {}
    for payload, replicas in duplicates.payloads.items():
        extents = None if shared_extents is None else shared_extents(replicas[0])
        shares.setdefault(("payload", payload) if extents is None else ("extents", extents), []).append(
            replicas
        )
    return shares


def _freed(shares: list[list[list[IndexedReplica]]]) -> int:
    free, stay = [], 0
    for payloads in shares:
        if all(_may_go(replicas) for replicas in payloads):
            free.append(max(replica.allocated for replicas in payloads for replica in replicas))
        else:
            stay += 1
    return sum(free) if stay else sum(free) - max(free, default=0)


def _may_go(replicas: list[IndexedReplica]) -> bool:
    return max(replica.nlink for replica in replicas) <= len(replicas) and not any(
        replica.pinned or replica.links == frozenset() for replica in replicas
    )


class _Walks:
    """The walks of one scan, one root after the other; roots that are found on the way join the end."""

    def __init__(
        self,
        roots: list[Root],
        backends: Mapping[str, StorageBackend],
        index: Index,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.warnings: list[Notice] = []
        self._backends = backends
        self._index = index
        self._progress = progress
        self._stop = stop
        self.commits: dict[str, tuple[str, str]] = {}
        self._queue = list(roots)
        self._known = {root.path: root for root in index.roots(vaults=True)}
        self._queued = {root.path for root in roots}

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
        recording = Recording(self._index, root)
        walk = TreeWalk(
            root,
            self._backends,
            boundaries=self._known.keys() | self._queued,
            memory=recording,
            found=self._found,
            commits=self.commits,
            advance=self._progress.advance,
            stop=self._stop,
        )
        try:
            for replica in self._backends[root.backend].replicas(root, walk):
                recording.put(replica)
        except _FATAL as error:
            if isinstance(error, Interrupted):
                recording.abandon()
            raise
        except Exception as error:  # noqa: BLE001 - a fault in one backend stops nothing else
            recording.abandon()
            return f"the backend {root.backend} failed: {type(error).__name__}: {error}"
        finally:
            self.warnings += walk.warnings
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

    def _found(self, backend: str, path: str) -> None:
        if path not in self._queued:
            self._queued.add(path)
            self._queue.append(self._known.get(path) or Root(path, backend))

    def _queue_vaults(self, root: Root) -> None:
        if root.backend == VAULT or not {VAULT, root.backend} <= self._backends.keys():
            return
        try:
            places = list(self._backends[root.backend].vault_places(root))
        except Exception as error:  # noqa: BLE001 - a fault in one backend stops nothing else
            self.warnings.append(Notice(root.path, f"the backend {root.backend} failed: {error}"))
            return
        for place in places:
            if os.path.isdir(os.path.join(place, "objects")) and os.path.lexists(
                os.path.join(place, VAULT_MARKER)
            ):
                self._found(VAULT, place)


def _report(index: Index, root: Root, error: str | None) -> RootReport:
    found = totals(index, root)
    return RootReport(root.path, root.backend, root.role, found.files, found.bytes, found.allocated, error)
