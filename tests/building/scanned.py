"""One index, real trees and real scans, for the tests of everything between a walk and a duplicate set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import StorageBackend
from hubfold.backend.registry import load
from hubfold.care.verify import verify
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, Replica, Root
from hubfold.duplicates.cost import SharedExtents, Sharing
from hubfold.duplicates.sets import duplicate_sets
from hubfold.faults import Origin
from hubfold.index.index import Index
from hubfold.progress import Stop
from hubfold.reading.digests import Job, Reading
from hubfold.reading.pool import Readers
from hubfold.reports.health import VerifyReport
from hubfold.reports.scans import ScanReport
from hubfold.scanning.discover import discover
from hubfold.scanning.recording import Recording
from hubfold.scanning.scan import Aim, scan
from hubfold.vault.backend import VaultBackend


class Place:
    """A folder with trees in it, and the index that scans of them fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "index.db"
        registry = load({})
        self.backends: dict[str, GuardedBackend] = {VAULT: GuardedBackend(VaultBackend())}
        self.backends |= {name: registry.named(name) for name in registry}
        self.index = Index(self.database)

    def load(self, backend: StorageBackend) -> None:
        """One more backend, as if it came with a plugin."""
        self.backends[backend.name] = GuardedBackend(
            backend, Origin(f"p-{backend.name}", "some-plugins", "1.0")
        )

    def file(self, path: str, content: bytes) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def scan(
        self,
        *paths: str | Path,
        min_size: int = 0,
        executor: Executor | None = None,
        stop: Stop | None = None,
        shared_extents: SharedExtents | None = None,
    ) -> ScanReport:
        given = [self.folder / path for path in paths]
        roots = discover(given, self.backends, known=self.index.roots(), environ={"HOME": str(self.folder)})
        with ThreadPoolExecutor(2) as threads:
            return scan(
                roots,
                self.backends,
                self.index,
                Readers(executor or threads, stop=Stop() if stop is None else stop),
                Aim(min_size, sharing=Sharing(shared_extents)),
            )

    def verify(
        self, replicas: Iterable[IndexedReplica] | None = None, links: Iterable[str] = ()
    ) -> VerifyReport:
        chosen = self.index.below("/") if replicas is None else replicas
        with ThreadPoolExecutor(2) as threads:
            return verify(chosen, self.index, Readers(threads), links=links)

    def sets(self) -> list[list[str]]:
        """The duplicate sets, as paths from the folder."""
        return sorted([self.name(replica) for replica in one.replicas] for one in self.duplicates())

    def duplicates(self) -> list[DuplicateSet]:
        return list(duplicate_sets(self.index))

    def names(self, root: str | Path = "") -> list[str]:
        """Every path with a row, from the folder."""
        return sorted(self.name(replica) for replica in self.index.below(str(self.folder / root)))

    def name(self, replica: IndexedReplica) -> str:
        return os.path.relpath(replica.path, self.folder)


def read_nothing(job: Job, *_: object) -> Reading:
    raise AssertionError(f"{job.path} was read")


def noise(seed: str, size: int = 1 << 20) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def blob(place: Place, cache: str, content: bytes, repo: str = "models--org--base", name: str = "") -> Path:
    """A file of a hub cache, named by its sha256, with the snapshot link to it."""
    digest = name or hashlib.sha256(content).hexdigest()
    commit = "c" * 40
    path = place.file(f"{cache}/{repo}/blobs/{digest}", content)
    place.file(f"{cache}/{repo}/refs/main", commit.encode())
    link = place.folder / cache / repo / "snapshots" / commit / f"{digest[:6]}.safetensors"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../../blobs/{digest}")
    return path


def git_blob(place: Place, cache: str, content: bytes, repo: str = "models--org--base") -> Path:
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return blob(place, cache, content, repo, digest)


def record(index: Index, root: str, *replicas: Replica, backend: str = "hub-cache") -> None:
    recording = Recording(index, Root(root, backend))
    for replica in replicas:
        assert recording.put(replica)
    recording.abandon()


def made_up(path: str, inode: int, size: int = 100, device: int = 1, **fields: Any) -> Replica:
    """A replica with a stat of our choosing."""
    numbers = {"st_blocks": -(-size // 512), "st_mtime_ns": 10, "st_ctime_ns": 20}
    result = os.stat_result((0o100644, inode, device, 1, 0, 0, size, 0, 0, 0), numbers)
    return Replica(path, result, **fields)
