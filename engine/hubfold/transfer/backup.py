"""Backs models up: their parts as their layout tells them, each content once, each checked while it is read."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from hubfold import display
from hubfold.backend.changes import ModelPart
from hubfold.content import IndexedReplica, Signature
from hubfold.disk.paths import existing
from hubfold.errors import BackupError, HubfoldError, NoSpace, describe
from hubfold.library.availability import hidden
from hubfold.library.inventory import HeldRevision, Holdings, resolve
from hubfold.models.names import ModelName, Name, unknown
from hubfold.progress import Progress, Stop
from hubfold.reading.digests import Job
from hubfold.reading.pool import Readers, in_order
from hubfold.reports.outcomes import Failed
from hubfold.reports.transfers import BackedUpModel, BackupReport
from hubfold.transfer.archive import LATEST_NS, BackedUp, Part, pour, unfit
from hubfold.transfer.containers import Writer

#: What a backup is made of, and what a layout may know a file by.
_READ_AHEAD = ("git-sha1", "sha256")
#: What the index knows of the file at a path.
Known = Callable[[str], IndexedReplica | None]
#: How a revision in a root is not whole; None for one that is, or of which nobody can tell.
Lacking = Callable[[HeldRevision], str | None]


@dataclass(frozen=True, slots=True)
class ModelParts:
    """One revision that is to be backed up."""

    held: HeldRevision
    parts: tuple[ModelPart, ...]
    #: Bytes of its files, each inode once.
    bytes: int

    @property
    def title(self) -> str:
        return f"{self.held.name}@{self.held.snapshot.revision[:12]}"


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """What a backup would hold."""

    target: str
    models: tuple[ModelParts, ...]
    failed: tuple[Failed, ...]
    #: Bytes of its contents, each once as far as they are known.
    bytes: int


def plan(
    holdings: Holdings,
    target: str,
    models: Sequence[ModelName],
    known: Known,
    lacking: Lacking,
    names: Iterable[str] = (),
) -> BackupPlan:
    """The plan for backing up `models` (default: all) to `target`. `names` are further names to suggest.

    Of several places the one that has it whole is taken. A revision of which no place has a file is passed over. A
    backup of all that could not look everywhere says so (`BackupPlan.failed`).

    Raises `UnknownModel`, `HubfoldError` for a revision that is nowhere.
    """
    held = [one for one in holdings.held() if one.snapshot.repo_id]
    wanted: set[tuple[Name, str]] = set()
    for asked in models:
        name = asked.among({one.name for one in held})
        if name is None:
            near = [*names, *sorted({str(one.name) for one in held})]
            raise unknown(asked.name, near, hidden=hidden(holdings, asked))
        of_name = [one for one in held if one.name == name]
        wanted |= {(name, commit) for commit in resolve(of_name, asked.revision)}
    places: dict[tuple[Name, str], list[HeldRevision]] = {}
    for one in held:
        key = one.name, one.snapshot.revision
        if not models or key in wanted:
            places.setdefault(key, []).append(one)
    chosen: list[ModelParts] = []
    failed = [] if models else list(_not_seen(holdings))
    for (name, revision), found in places.items():
        filled = [one for one in found if one.snapshot.files or one.snapshot.incomplete]
        if not filled and not wanted:
            continue
        lacks = {one.root.path: lacking(one) for one in found}
        ordered = sorted(found, key=lambda held: (lacks[held.root.path] is not None, *_rank(holdings, held)))
        one, parts = _parts_of(holdings, ordered)
        root, snapshot, lack = one.root, one.snapshot, lacks[one.root.path]
        if parts is None:
            failed.append(Failed(f"{name}@{revision[:12]}", f"the plugin of {root.path} failed"))
        elif lack is not None:
            failed.append(Failed(f"{name}@{revision[:12]}", f"it is not whole: {lack}"))
        elif not parts:
            if wanted:
                reason = f"the layout {root.backend} does not say what it is made of"
                failed.append(Failed(snapshot.path, reason))
        elif reason := _cannot_be_restored(holdings, one, parts):
            failed.append(Failed(f"{name}@{revision[:12]}", reason))
        else:
            chosen.append(
                ModelParts(one, parts, sum(os.path.getsize(p.source) for p in parts if p.text is None))
            )
    size = sum(size for _, size in _contents(chosen, known))
    return BackupPlan(target, tuple(chosen), tuple(failed), size)


def _not_seen(holdings: Holdings) -> Iterator[Failed]:
    """Where models may lie of which a backup of all holds nothing."""
    for path in holdings.unreadable:
        yield Failed(path, "it cannot be read, so what lies there is not backed up")
    for root in holdings.away:
        yield Failed(
            root.path, "it is not there (is its drive connected?), so what lies there is not backed up"
        )


def preview(planned: BackupPlan) -> BackupReport:
    """A plan in the form of a report."""
    models = tuple(_told(model) for model in planned.models)
    return BackupReport(
        target=planned.target, run=None, models=models, bytes=planned.bytes, written=0, failed=planned.failed
    )


def check_space(folder: str, needed: int, what: str, hint: str) -> None:
    """Raise `NoSpace`, with the figures, where the file system at or above `folder` has not the room."""
    folder = existing(folder)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpace(
            f"{folder} has {display.size(free)} free, and {what} takes {display.size(needed)}", hint
        )


@dataclass(slots=True)
class Saver:
    """Reads each payload once and hands its content to a writer that lacks it."""

    writer: Writer
    known: Known
    progress: Progress
    stop: Stop
    #: Workers who read at the same time what has no sha256 yet; without them it is read when its turn comes.
    ahead: Readers | None = None
    written: int = 0
    _ahead: dict[Signature, Mapping[str, str]] = field(default_factory=dict)
    _sums: dict[tuple[int, int], str] = field(default_factory=dict)

    def save(self, planned: BackupPlan) -> BackupReport:
        """Raises `Interrupted` between two files, `NoSpace`, `OSError` if the target cannot be written."""
        done: list[BackedUp] = []
        told: list[BackedUpModel] = []
        failed = list(planned.failed)
        if self.ahead is not None:
            self._read_ahead(planned, self.ahead)
        self.progress.start("backing up", planned.bytes, "bytes")
        try:
            for model in planned.models:
                try:
                    done.append(self._model(model))
                    told.append(_told(model))
                except _Unfit as error:
                    failed.append(Failed(model.title, str(error)))
        finally:
            self.progress.finish()
        if not done and failed:
            raise HubfoldError(
                f"nothing was backed up: {failed[0].path}: {failed[0].error}", "see `hubfold verify`"
            )
        self.writer.finish(done)
        sizes = {part.sha256: part.size for model in done for part in model.parts}
        return BackupReport(
            target=planned.target,
            run=None,
            models=tuple(told),
            bytes=sum(sizes.values()),
            written=self.written,
            failed=tuple(failed),
        )

    def needed(self, planned: BackupPlan) -> int:
        """What the target still has to take, in bytes."""
        contents = _contents(planned.models, self.known)
        return sum(size for sha256, size in contents if not self.writer.has(sha256, size))

    def _read_ahead(self, planned: BackupPlan, readers: Readers) -> None:
        jobs: dict[Signature, Job] = {}
        for model in planned.models:
            for part in model.parts:
                if part.text is not None:
                    continue
                real = os.path.realpath(part.source)
                replica = self.known(real)
                if replica is None or "sha256" not in replica.digests:
                    with suppress(OSError):
                        signature = Signature.of(os.lstat(real))
                        jobs[signature] = Job(real, signature, _READ_AHEAD)
        self.progress.start("reading", sum(job.signature.size for job in jobs.values()), "bytes")
        try:
            for reading in readers.read(in_order(jobs.values())):
                self._ahead[reading.job.signature] = reading.digests
        finally:
            self.progress.finish()

    def _model(self, model: ModelParts) -> BackedUp:
        snapshot = model.held.snapshot
        parts = tuple(self._part(part) for part in model.parts)
        return BackedUp(
            model.held.root.backend, snapshot.repo_type, snapshot.repo_id, snapshot.revision, parts
        )

    def _part(self, part: ModelPart) -> Part:
        if part.text is not None:
            return Part(part.name, link=part.text)
        self.stop.check()
        try:
            with open(part.source, "rb") as source:
                st = os.fstat(source.fileno())
                sha256 = self._content(part.source, source, st)
        except BackupError as error:
            raise _Unfit(f"{part.source}: it became shorter while it was read") from error
        except OSError as error:
            told = error.filename
            if isinstance(told, (str, bytes)) and os.fsdecode(told) == part.source:
                raise _Unfit(f"{part.source}: {describe(error)}") from error
            raise
        return Part(part.name, sha256, st.st_size, min(max(st.st_mtime_ns, 0), LATEST_NS))

    def _content(self, path: str, source: IO[bytes], st: os.stat_result) -> str:
        inode = st.st_dev, st.st_ino
        if inode in self._sums:
            return self._sums[inode]
        replica = self.known(os.path.realpath(path))
        digests: Mapping[str, str] = replica.digests if replica is not None else {}
        sha256 = digests.get("sha256")
        if sha256 is None:
            # What is written is hashed once more.
            read = self._ahead.get(Signature.of(st), {})
            git_sha1 = digests.get("git-sha1")
            if "sha256" in read and git_sha1 in (None, read.get("git-sha1")):
                sha256 = read["sha256"]
            else:
                sha256 = self._hash(path, source, st.st_size, git_sha1)
                source.seek(0)
        if self.writer.has(sha256, st.st_size):
            self.progress.advance(st.st_size)
        elif self.writer.add(sha256, st.st_size, source, self._tick):
            self.written += st.st_size
        elif self._ahead.pop(Signature.of(st), {}).get("sha256") == sha256:
            # Who read it got it wrong, or the file does not stay as it is.
            source.seek(0)
            return self._content(path, source, st)
        else:
            raise _Unfit(f"{path}: its bytes are not the {sha256} that it is said to be")
        self._sums[inode] = sha256
        return sha256

    def _hash(self, path: str, source: IO[bytes], size: int, git_sha1: str | None) -> str:
        """The sha256 of a file that has no claim to one; its git-sha1 is checked on the way."""
        git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        sha256 = pour(source, git.update, size, lambda amount: self.stop.check())
        if git_sha1 is not None and git.hexdigest() != git_sha1:
            raise _Unfit(f"{path}: its bytes are not the {git_sha1} that it is said to be")
        return sha256

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()


class _Unfit(HubfoldError):
    """A model that cannot be backed up as it is; the others go on."""


def _parts_of(
    holdings: Holdings, places: Sequence[HeldRevision]
) -> tuple[HeldRevision, tuple[ModelPart, ...] | None]:
    """The first of `places` whose plugin can tell what the revision is made of, with that; None where none can."""
    for one in places:
        if one.root in holdings.usable:
            with holdings.leaving_out(one.root):
                return one, tuple(holdings.parts(one))
    return places[0], None


def _cannot_be_restored(holdings: Holdings, held: HeldRevision, parts: Sequence[ModelPart]) -> str:
    """Why a backup of the revision would be none, "" for one that can be restored."""
    for part in parts:
        if part.text is None:
            try:
                kind = os.stat(part.source).st_mode
            except OSError as error:
                return f"{part.source or part.name}: {describe(error)}"
            if not stat.S_ISREG(kind):
                return f"{part.source} is no file"
    snapshot = held.snapshot
    model = BackedUp(
        held.root.backend,
        snapshot.repo_type,
        snapshot.repo_id,
        snapshot.revision,
        tuple(Part(part.name, "0" * 64, link=part.text) for part in parts),
    )
    reason = unfit(model, holdings.backends)
    return f"a backup of it could not be restored: {reason}" if reason else ""


def _contents(models: Iterable[ModelParts], known: Known) -> Iterator[tuple[str, int]]:
    """(sha256, "" where it is not known yet; size) of each content once."""
    seen: set[object] = set()
    for model in models:
        for part in model.parts:
            if part.text is None:
                st = os.stat(part.source)
                replica = known(os.path.realpath(part.source))
                sha256 = replica.digests.get("sha256", "") if replica is not None else ""
                key = sha256 or (st.st_dev, st.st_ino)
                if key not in seen:
                    seen.add(key)
                    yield sha256, st.st_size


def _rank(holdings: Holdings, held: HeldRevision) -> tuple[bool, bool, int]:
    """Caches first: a folder of copies does not say what a model is made of."""
    return not holdings.is_cache(held.root), held.snapshot.broken, -len(held.snapshot.files)


def _told(model: ModelParts) -> BackedUpModel:
    snapshot = model.held.snapshot
    return BackedUpModel(str(model.held.name), snapshot.revision, len(snapshot.files), model.bytes)
