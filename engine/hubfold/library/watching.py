"""One look at models, downloads and space, and what has changed since the look before."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from hubfold.disk.filesystem import FileSystems
from hubfold.library.gather import Library
from hubfold.reports.models import Disk, Download, Look


def look(library: Library, before: Look | None = None, at: float | None = None) -> Look:
    """What is there now. Rates are since `before`; `at` is the time of this look (`time.monotonic`, seconds)."""
    moment = time.monotonic() if at is None else at
    seconds = max(moment - before.at, 1e-3) if before is not None else None
    return Look(
        at=moment,
        models=library.models,
        downloads=tuple(_downloads(library, before, seconds)),
        disks=tuple(_disks(library, before, seconds)),
        physical_bytes=library.physical_bytes,
        rate=None if before is None else _rate(library.physical_bytes, before.physical_bytes, seconds),
        warnings=library.warnings,
    )


def _rate(now: int, before: int, seconds: float | None) -> float | None:
    return None if seconds is None else (now - before) / seconds


def _downloads(library: Library, before: Look | None, seconds: float | None) -> Iterator[Download]:
    known = {download.path: download.bytes for download in before.downloads} if before is not None else {}
    seen = set()
    for model in library.models:
        for revision in model.revisions:
            sizes = {missing.name: missing.bytes for missing in revision.missing}
            for partial in revision.partials:
                if partial.path in seen:
                    continue
                seen.add(partial.path)
                yield Download(
                    path=partial.path,
                    model=model.id,
                    name=partial.name,
                    bytes=partial.size,
                    expected_bytes=sizes.get(partial.name) if partial.name is not None else None,
                    rate=_rate(partial.size, known.get(partial.path, 0), seconds),
                )


def _disks(library: Library, before: Look | None, seconds: float | None) -> Iterator[Disk]:
    known = {disk.mount: disk.free_bytes for disk in before.disks} if before is not None else {}
    filesystems = FileSystems()
    roots: dict[str, list[str]] = {}
    for root in library.roots:
        try:
            roots.setdefault(filesystems.of(root.path).mount, []).append(root.path)
        except OSError:
            continue
    for mount, paths in sorted(roots.items()):
        try:
            space = os.statvfs(paths[0])
        except OSError:
            continue
        free = space.f_bavail * space.f_frsize
        yield Disk(
            mount=mount,
            total_bytes=space.f_blocks * space.f_frsize,
            free_bytes=free,
            rate=_rate(free, known[mount], seconds) if mount in known else None,
            roots=tuple(paths),
        )
