"""Indexes of hosts that were never there, exported as those of real ones are."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.content import IndexedReplica, Signature
from hubfold.disk.identity import Machine
from hubfold.fleet import export
from hubfold.reports.fleet import ExportReport

HUB = "/home/u/hub"
#: When the roots of these hosts were scanned, in seconds.
SCANNED = 1_795_000_000


def needed() -> None:
    """Skip where the extra is not installed."""
    for package in ("pyarrow", "duckdb"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'hubfold[fleet]'")


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def file(path: str, content: str = "", *, root: str = HUB, **told: object) -> IndexedReplica:
    """A replica with this content, of 4096 bytes; `told` are its fields, or ``inode``."""
    inode = told.pop("inode", None) or int.from_bytes(hashlib.md5(os.fsencode(path)).digest()[:6], "big")
    size = told.pop("size", 4096)
    fields = {
        "backend": "hub-cache",
        "allocated": 4096,
        "nlink": 1,
        "mode": 0o644,
        "uid": 1000,
        "gid": 1000,
        "claims": {"sha256": sha256(content)} if content else {},
        "computed": {},
    }
    signature = Signature(7, inode, size, 1, 1)  # type: ignore[arg-type]
    return IndexedReplica(path=path, root=root, signature=signature, **{**fields, **told})  # type: ignore[arg-type]


def host(
    folder: Path, name: str, *files: IndexedReplica, owner: int | None = None, machine: str = ""
) -> ExportReport:
    """The export of one host."""
    by_root: dict[str, list[IndexedReplica]] = defaultdict(list)
    for one in files:
        by_root[one.root].append(one)

    def replicas(root: str) -> Iterator[IndexedReplica]:
        return iter(by_root[root])

    known = machine or hashlib.md5(name.encode()).hexdigest()
    roots = dict.fromkeys(by_root or {HUB: []}, SCANNED)
    return export.export(str(folder), export.Source(roots, replicas, Machine(known, name), owner))
