"""Content re-read and compared with what is claimed of it and what was computed before.

Two things look alike, other bytes than expected: an edit by the user and a fault of the drive or of a program that
wrote where it must not. A file whose size or mtime moved since it was recorded was *edited*; one that changed without
either, or whose own name states another digest than its bytes have, is *corrupt*.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from hubfold.content import VAULT, IndexedReplica, Signature
from hubfold.index.index import Index
from hubfold.reading.digests import Job, Reading, available
from hubfold.reading.pool import Readers, in_order
from hubfold.reports.health import Problem, VerifyReport
from hubfold.state.verified import Verified
from hubfold.vault import objects
from hubfold.vault.names import claims_of

#: What is computed where nothing is known to compare with: the next time there is.
_FIRST_DIGEST = "xxh3_128"
#: Replicas that are looked at together; of names of one payload in it, one is read.
_PAGE = 20_000


@dataclass(slots=True)
class _Target:
    """One payload as it is now, with the replicas that read it."""

    #: A name of it that is no symlink.
    path: str
    signature: Signature
    replicas: list[IndexedReplica] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What is read and compared: these bytes, and the names that may contradict them."""
        paths = "\0".join(sorted(replica.path for replica in self.replicas))
        names = hashlib.blake2b(os.fsencode(paths), digest_size=8).hexdigest()
        return " ".join([*map(str, self.signature), names])

    def job(self) -> Job:
        wanted = {name for replica in self.replicas for name in replica.digests if available(name)}
        return Job(self.path, self.signature, tuple(sorted(wanted)) or (_FIRST_DIGEST,))


def verify(
    replicas: Iterable[IndexedReplica],
    index: Index,
    readers: Readers,
    *,
    links: Iterable[str] = (),
    verified: Verified | None = None,
) -> VerifyReport:
    """Read every replica and compare; `links` are symlinks of which only is asked whether they lead anywhere.

    What `verified` has of a round that was cut short is not read again; it is told what is found good now.

    What was computed is recorded in the index, except where it contradicts what was computed before without any sign
    of an edit: then the drive is not to be believed. Raises `Interrupted`.
    """
    problems = [problem for path in links if (problem := _of_link(path)) is not None]
    checked, bytes_read, resumed = 0, 0, 0
    before = verified.load() if verified is not None else frozenset()
    covered: set[str] = set()
    remaining = iter(replicas)
    while page := list(islice(remaining, _PAGE)):
        checked += len(page)
        targets = _targets(page, problems)
        covered |= {target.key for target in targets.values()} if verified is not None else set()
        resumed += sum(len(target.replicas) for target in targets.values() if target.key in before)
        jobs = in_order(target.job() for target in targets.values() if target.key not in before)
        readers.progress.start("verifying", sum(job.signature.size for job in jobs), "bytes")
        try:
            for reading in readers.read(jobs):
                bytes_read += reading.bytes_read
                found = list(_judge(targets[reading.job.path], reading))
                if found and (again := readers.confirmed(reading)) is not reading:
                    reading, found = again, list(_judge(targets[reading.job.path], again))
                problems += found
                if reading.digests and not _rotten(targets[reading.job.path], reading, found):
                    index.record_digests(reading.job.signature, reading.digests)
                if verified is not None and not found:
                    verified.note(targets[reading.job.path].key)
        finally:
            readers.progress.finish()
    if verified is not None:
        verified.finish(covered)
    found_all = tuple(sorted(problems, key=lambda problem: problem.path))
    return VerifyReport(checked, bytes_read, found_all, resumed)


def unscanned_objects(vaults: Iterable[str], replicas: Collection[IndexedReplica]) -> list[IndexedReplica]:
    """Vault objects of which none of `replicas` is a name (any more): no scan has met them since they were made.

    Their content may be nowhere else: a client may have deleted what was kept.
    """
    unscanned: dict[tuple[int, int], IndexedReplica] = {}
    for place in vaults:
        for path in objects.objects(place):
            with suppress(OSError):
                st = os.lstat(path)
                found = IndexedReplica(
                    path=path,
                    root=place,
                    backend=VAULT,
                    signature=Signature.of(st),
                    allocated=st.st_blocks * 512,
                    nlink=st.st_nlink,
                    mode=stat.S_IMODE(st.st_mode),
                    uid=st.st_uid,
                    gid=st.st_gid,
                    claims=claims_of(os.path.basename(path)),
                    computed={},
                )
                unscanned.setdefault(found.payload, found)
    for replica in replicas:
        if replica.payload in unscanned:
            with suppress(OSError):
                st = os.lstat(replica.path)
                if (st.st_dev, st.st_ino) == replica.payload:
                    del unscanned[replica.payload]
    return list(unscanned.values())


def _targets(replicas: list[IndexedReplica], problems: list[Problem]) -> dict[str, _Target]:
    """What there is to read, by the path to read it by; what there is not goes to `problems`."""
    targets: dict[tuple[int, int], _Target] = {}
    for replica in replicas:
        path = replica.path
        try:
            st = os.lstat(path)
            if stat.S_ISLNK(st.st_mode):
                # Folded since the index knew it as a file: what it reads now is what counts.
                path = os.path.realpath(path, strict=True)
                st = os.lstat(path)
        except OSError as error:
            problems.append(_of_error(replica, error))
            continue
        if not stat.S_ISREG(st.st_mode):
            problems.append(Problem(replica.path, "edited", "is no file any more"))
            continue
        key = st.st_dev, st.st_ino
        targets.setdefault(key, _Target(path, Signature.of(st))).replicas.append(replica)
    return {target.path: target for target in targets.values()}


def _of_link(path: str) -> Problem | None:
    try:
        os.stat(path)
    except FileNotFoundError:
        return Problem(path, "dangling", "leads to a file that is not there")
    except OSError as error:
        return Problem(path, "unreadable", f"cannot be followed: {error.strerror}")
    return None


def _of_error(replica: IndexedReplica, error: OSError) -> Problem:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return Problem(replica.path, "unreadable", f"cannot be read: {error.strerror}")
    if os.path.islink(replica.path):
        return Problem(replica.path, "dangling", "leads to a file that is not there")
    if not os.path.isdir(replica.root):
        return Problem(
            replica.path, "unreadable", f"its root {replica.root} is not there (is its drive connected?)"
        )
    return Problem(replica.path, "missing", "is not there any more")


def _judge(target: _Target, reading: Reading) -> Iterator[Problem]:
    for replica in target.replicas:
        if reading.missing:
            yield Problem(replica.path, "missing", "is not there any more")
        elif reading.unreadable is not None:
            yield Problem(replica.path, "unreadable", f"cannot be read: {reading.unreadable}")
        elif reading.changed:
            yield Problem(replica.path, "edited", "changed while it was being read")
        else:
            problem = _compare(replica, target.signature, reading)
            if problem is not None:
                yield problem


def _compare(replica: IndexedReplica, now: Signature, reading: Reading) -> Problem | None:
    was = replica.signature
    touched = (now.size, now.mtime_ns) != (was.size, was.mtime_ns)
    lies = [name for name, value in replica.claims.items() if reading.digests.get(name, value) != value]
    if any(replica.claims[name] in os.path.basename(replica.path) for name in lies):
        since = "; it was written to since it was scanned" if touched else ""
        return Problem(replica.path, "corrupt", f"its bytes are not the {lies[0]} that its name says{since}")
    if lies:
        disbelieved = replica.latest_mtime_ns is not None and now.mtime_ns > replica.latest_mtime_ns
        if touched or disbelieved or replica.edited:
            return Problem(replica.path, "edited", "was changed since it was downloaded")
        return Problem(
            replica.path,
            "corrupt",
            f"its bytes are not the {lies[0]} of the download, and nothing says it was edited",
        )
    if any(reading.digests.get(name, value) != value for name, value in replica.computed.items()):
        if touched:
            return Problem(replica.path, "edited", "was changed since it was scanned")
        return Problem(replica.path, "corrupt", "its bytes changed, its size and times did not")
    return None


def _rotten(target: _Target, reading: Reading, found: list[Problem]) -> bool:
    """Whether the bytes are not what was once computed, unedited: they must not become what is expected of them.

    Where a claim says what to expect, they can be recorded: then `doctor` knows that the claim and the bytes disagree.
    """
    if not any(problem.kind == "corrupt" for problem in found):
        return False
    computed = [replica.computed for replica in target.replicas]
    claimed = [replica.claims for replica in target.replicas]
    return any(
        any(known.get(name, value) != value for known in computed)
        and not any(known.get(name, value) != value for known in claimed)
        for name, value in reading.digests.items()
    )
