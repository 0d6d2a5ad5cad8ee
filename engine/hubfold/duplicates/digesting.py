"""Which files have to be read to know the duplicates, and no more.

Of each size that several payloads share: payloads joined by equal claims are one content, unread. What is left is
told apart by one algorithm that as many as possible have already, so that the claimed side is not read and the fewest
bytes are; but where all of them are in memory anyway, the fastest algorithm over both sides takes less time than the
claim's over one. Where nobody claims anything, samples separate first, and only payloads with equal samples are read
whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from hubfold.content import Signature
from hubfold.duplicates import pending
from hubfold.duplicates.evidence import evidence
from hubfold.duplicates.grouping import ContentGroup, groups
from hubfold.index.index import Index
from hubfold.index.rows import (
    CTIME,
    DEVICE,
    INODE,
    ROOT,
    SIZE,
    Row,
    joined,
    loaded_signature,
    path_of,
    sample_of,
    signature_of,
)
from hubfold.reading import page_cache
from hubfold.reading.digests import SAMPLE, SMALL, Job, Reading, available
from hubfold.reading.pool import Readers, in_order
from hubfold.reports.outcomes import Notice

#: What is read in full where nobody claims anything: the fastest that is good enough to group by.
FAST = "xxh3_128"
_FAST_ONLY = (FAST,)
#: From this many bytes on it is asked whether a file is in memory.
_WORTH_ASKING = 4 << 20
#: So many bytes from memory are read by `FAST` in the time that one takes by sha256 (6 to 10), with room for error.
_FASTER = 4
_NO_NAMES = (b"", b".", b"..")
#: Digests are written when there are this many, or after so many seconds: an interrupted scan goes on from there.
SAVE_COUNT = 20_000
SAVE_SECONDS = 5.0


@dataclass(slots=True)
class Payload:
    """One inode among others of its size."""

    path: str
    signature: Signature
    #: What counts for grouping (`evidence.Evidence.digests`).
    digests: dict[str, str]
    sample: str | None
    #: Some name of it lies in a root of this scan.
    scanned: bool

    @property
    def key(self) -> tuple[int, int]:
        return self.signature.device, self.signature.inode

    def job(self, algorithm: str) -> Job:
        return Job(self.path, self.signature, (algorithm,))


@dataclass(slots=True)
class Work:
    """What was read, and what could not be."""

    bytes_read: int = 0
    files_read: int = 0
    warnings: list[Notice] = field(default_factory=list)
    #: The sizes of what `warnings` tells of: the next scan tries them again.
    again: set[int] = field(default_factory=set)


def digest(
    index: Index,
    roots: Collection[str],
    min_size: int,
    readers: Readers,
    only: str = "1",
) -> Work:
    """Read what the duplicates among files of `min_size` bytes or more depend on, and record the digests.

    Only sizes that some payload in `roots` has are looked at, and of these the ones that `only`, SQL about ``f.size``,
    leaves over; payloads of other roots are read where they are needed to compare with. What could not be read has no
    digest, so it is equal to nothing.
    """
    reader = _Reader(index, readers)
    scanned = {os.fsencode(root) for root in roots}
    pending.want(index, only, min_size, roots)
    for page in pending.unsettled_sizes(index, SMALL):
        readers.stop.check()
        with index.trusting():
            classes = [_payloads(rows, scanned) for _, rows in groupby(page, itemgetter(SIZE))]
        classes = [payloads for payloads in classes if any(payload.scanned for payload in payloads)]
        # Samples first: they decide what is read whole.
        found = reader.run(classes, samples, "sampling")
        for payloads in classes:
            for payload in payloads:
                payload.sample = found.get(payload.key, payload.sample)
        reader.run(classes, whole, "reading")
        reader.page_done()
    for size in pending.huge_sizes(index, SMALL):
        for page in pending.payloads_of(index, size):
            reader.run([_payloads(page, scanned)], samples, "reading")
            reader.page_done()
        for page in pending.payloads_of(index, size, same_sample=True):
            reader.run([_payloads(page, scanned)], unread, "reading")
            reader.page_done()
    here = {number for number, path in index.rows("SELECT id, path FROM roots") if path in scanned}
    for page in pending.plain_unread(index, SMALL):
        readers.stop.check()
        reader.read(*_jobs(index, page, here), "reading")
        reader.page_done()
    return reader.work


def _jobs(index: Index, page: Iterable[Row], here: set[int]) -> tuple[list[Job], set[str]]:
    """What has to be read of files of which nothing is known: one job a payload. And the paths in the roots `here`."""
    jobs: dict[tuple[int, int], Job] = {}
    scanned: set[str] = set()
    last, prefix = b"", ""
    with index.trusting():
        for folder, name, root, *numbers in page:
            if folder != last:
                last, prefix = folder, joined(folder, b"x")[:-1]
            if b"/" in name or name in _NO_NAMES:
                raise ValueError(f"the name {name!r}")
            key = numbers[0], numbers[1]
            signature = loaded_signature(numbers)
            other = jobs.get(key)
            if other is not None and (root not in here or other.signature.ctime_ns >= signature.ctime_ns):
                continue
            path = prefix + os.fsdecode(name)
            if root in here:
                scanned.add(path)
            jobs[key] = Job(path, signature, _FAST_ONLY)
    return list(jobs.values()), scanned


def samples(payloads: Sequence[Payload]) -> list[Job]:
    """The blocks to read where nothing is claimed: of files that are worth it and have no sample yet."""
    if payloads[0].signature.size <= SMALL or _comparable(payloads):
        return []
    return [payload.job(SAMPLE) for payload in payloads if payload.sample is None]


def whole(payloads: Sequence[Payload]) -> list[Job]:
    """The payloads of one size that have to be read in full, each with the algorithm that settles it."""
    if not _comparable(payloads):
        if payloads[0].signature.size <= SMALL:
            return unread(payloads)
        alike: dict[str | None, list[Payload]] = {}
        for payload in payloads:
            alike.setdefault(payload.sample, []).append(payload)
        # A file that could not be sampled is not compared with anything.
        alike.pop(None, None)
        return [job for same in alike.values() if len(same) > 1 for job in unread(same)]
    contents = groups([payload.digests for payload in payloads])
    if len(contents) < 2:
        return []
    algorithm = _common_algorithm([content.digests for content in contents])
    lacking = _speakers(payloads, contents, algorithm)
    size = payloads[0].signature.size
    if algorithm != FAST and lacking and size >= _WORTH_ASKING:
        both = _speakers(payloads, contents, FAST)
        if len(both) <= _FASTER * len(lacking) and all(page_cache.in_cache(one.path, size) for one in both):
            return [one.job(FAST) for one in both]
    return [one.job(algorithm) for one in lacking]


def _speakers(payloads: Sequence[Payload], contents: Iterable[ContentGroup], algorithm: str) -> list[Payload]:
    """A payload for each content without such a digest; rather one of this scan, whose root is known to be there."""
    return [
        min((payloads[member] for member in content.members), key=lambda payload: not payload.scanned)
        for content in contents
        if algorithm not in content.digests
    ]


def unread(payloads: Sequence[Payload]) -> list[Job]:
    """Payloads that nobody claims anything of, to be read in full."""
    return [payload.job(FAST) for payload in payloads if FAST not in payload.digests]


def _comparable(payloads: Iterable[Payload]) -> bool:
    """Whether some payload has a digest that another would have to be compared with, unread."""
    return any(payload.digests.keys() - {FAST} for payload in payloads)


def _common_algorithm(contents: Sequence[Collection[str]]) -> str:
    """The algorithm that the most contents have already, of those that this machine can compute."""
    candidates = [name for name in ("sha256", "git-sha1", "xet", "md5", FAST) if available(name)]
    return max(
        candidates, key=lambda name: (sum(name in digests for digests in contents), -candidates.index(name))
    )


class _Reader:
    """Runs jobs, records what they find, and keeps count."""

    def __init__(self, index: Index, readers: Readers) -> None:
        self.work = Work()
        self._index = index
        self._readers = readers
        self._files: set[tuple[int, int]] = set()

    def run(
        self,
        classes: Sequence[Sequence[Payload]],
        choose: Callable[[Sequence[Payload]], list[Job]],
        task: str,
    ) -> dict[tuple[int, int], str]:
        """Read what `choose` names of each size; the samples found, by payload."""
        jobs: list[Job] = []
        scanned: set[str] = set()
        for payloads in classes:
            jobs += choose(payloads)
            scanned.update(payload.path for payload in payloads if payload.scanned)
        return self.read(jobs, scanned, task)

    def read(self, jobs: Sequence[Job], scanned: Collection[str], task: str) -> dict[tuple[int, int], str]:
        """Read these; paths that are not `scanned` are no business of this scan. The samples found, by payload."""
        if not jobs:
            return {}
        found: dict[tuple[int, int], str] = {}
        total = sum(job.signature.size for job in jobs) if task == "reading" else None
        self._readers.progress.start(task, total, "bytes")
        unsaved: list[Reading] = []
        saved = time.monotonic()
        try:
            for reading in self._readers.read(in_order(jobs)):
                unsaved.append(reading)
                self._count(reading, scanned)
                if SAMPLE in reading.digests:
                    key = reading.job.signature.device, reading.job.signature.inode
                    found[key] = reading.digests[SAMPLE]
                if len(unsaved) >= SAVE_COUNT or time.monotonic() - saved > SAVE_SECONDS:
                    self._save(unsaved)
                    saved = time.monotonic()
        finally:
            self._save(unsaved)
            self._readers.progress.finish()
        return found

    def page_done(self) -> None:
        self.work.files_read += len(self._files)
        self._files.clear()

    def _count(self, reading: Reading, scanned: Collection[str]) -> None:
        self.work.bytes_read += reading.bytes_read
        if reading.bytes_read:
            self._files.add((reading.job.signature.device, reading.job.signature.inode))
        if not (reading.changed or reading.unreadable) or reading.job.path not in scanned:
            return
        kind = "notice"
        if reading.changed:
            message = "changed while it was scanned: the next scan looks at it again"
        elif reading.unreadable is not None:
            message = f"cannot be read, so it is taken for equal to nothing: {reading.unreadable}"
            kind = "unreadable"
        else:
            return
        self.work.again.add(reading.job.signature.size)
        self.work.warnings.append(Notice(reading.job.path, message, kind))

    def _save(self, unsaved: list[Reading]) -> None:
        digested = [(reading.job.signature, reading.digests) for reading in unsaved if reading.digests]
        if digested:
            self._index.record_all(digested)
        unsaved.clear()


def _payloads(rows: Iterable[Row], scanned: set[bytes]) -> list[Payload]:
    names: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        names.setdefault((row[DEVICE], row[INODE]), []).append(row)
    return [_payload(same, scanned) for same in names.values()]


def _payload(names: list[Row], scanned: set[bytes]) -> Payload:
    here = [row for row in names if row[ROOT] in scanned]
    # The newest signature is the payload's; of two names with it, rather one in a root of this scan.
    row = max(here or names, key=itemgetter(CTIME))
    return Payload(path_of(row), signature_of(row), evidence(names).digests, sample_of(row), bool(here))
