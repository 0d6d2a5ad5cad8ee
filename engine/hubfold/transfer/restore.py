"""Restores models from a backup into a root, in an order in which nothing looks whole before it is.

Everything of a model is made under a folder of hubfold's own beside it, which the journal names and recovery removes.
Per content: written there, compared with its sha256, fsynced, then moved to its place if that is one where a program
expects content (stage 0). When all of it is there, by the stages of `changes.PartPlace`: the layout's listings, each
snapshot folder in one rename, refs. What is at a place already stays: content with the same bytes is taken for restored
(so an interrupted restore goes on), anything else is told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import IO

from hubfold import errors
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import PartPlace
from hubfold.content import TEMPORARY_PREFIX, Root
from hubfold.disk.directory import Directory, remove_tree
from hubfold.disk.locks import passing_lock
from hubfold.errors import HubfoldError, LeftAlone
from hubfold.faults import BackendFault
from hubfold.journal.journal import Journal
from hubfold.models.names import ModelName, Name, unknown
from hubfold.progress import Progress, Stop
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.transfers import BackedUpModel, RestoreReport
from hubfold.transfer.archive import BackedUp, Listed, Part, pour
from hubfold.transfer.containers import Reader


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would put into one root, and into others for models of other layouts."""

    root: Root
    models: tuple[BackedUp, ...]
    #: Where each part of them belongs, by its name.
    places: Mapping[str, PartPlace] = field(default_factory=dict)
    #: For models of other layouts, each into a root of its own.
    further: tuple[RestorePlan, ...] = ()
    #: Models that cannot be restored, or not here.
    refused: tuple[Failed, ...] = ()
    #: Why it goes there, and not to the first place.
    why: str = ""

    @property
    def each(self) -> tuple[RestorePlan, ...]:
        """This plan and the further ones."""
        return (self, *self.further)

    @property
    def objects(self) -> dict[str, int]:
        """sha256 → size of everything the models need."""
        return {part.sha256: part.size for model in self.models for part in model.parts if part.link is None}

    @property
    def missing_bytes(self) -> int:
        """What has to be written if a file of the right size at its place is the right one."""
        return sum(self.missing.values())

    @property
    def missing(self) -> dict[str, int]:
        """sha256 → size of what has to be written if a file of the right size at its place is the right one."""
        missing: dict[str, int] = {}
        for model in self.models:
            for part in model.parts:
                path = os.path.join(self.root.path, part.name)
                if part.link is None and not (os.path.isfile(path) and os.path.getsize(path) == part.size):
                    missing[part.sha256] = part.size
        return missing


def is_note(place: PartPlace) -> bool:
    """Whether a part is a note of the layout (a ref, a listing), and no content."""
    return place.stage > 0 and not place.unit


def plan(
    backed_up: Listed,
    root_for: Callable[[Sequence[str]], Mapping[str, Root]],
    backends: Mapping[str, GuardedBackend],
    models: Sequence[ModelName],
) -> RestorePlan:
    """The plan for restoring `models` (default: all), every revision that the backup has of them.

    `root_for` says where models of each layout go, the main one first; those of a layout that it says nothing of, those
    that cannot be read and those of which a plugin cannot tell where they belong are left out, and told. Raises
    `UnknownModel` for one that the backup has not, `HubfoldError` where nothing is left.
    """
    chosen = _chosen(backed_up, models)
    refused = [Failed(one.title, one.reason) for one in backed_up.refused if not models]
    roots = root_for(list(dict.fromkeys(model.layout for model in chosen)))
    plans = []
    for layout, root in roots.items():
        places: dict[str, PartPlace] = {}
        fit = []
        for model in (model for model in chosen if model.layout == layout):
            try:
                places |= _places(model, backends[layout])
                fit.append(model)
            except BackendFault:
                continue  # it is told by its name
            except HubfoldError as error:
                refused.append(Failed(model.title, str(error)))
        plans.append(RestorePlan(root, tuple(fit), places))
    foreign = [model for model in chosen if model.layout not in roots]
    refused += [Failed(model.title, _foreign(model, plans)) for model in foreign]
    if not plans:
        raise HubfoldError(f"{foreign[0].title}: {_foreign(foreign[0], plans)}", "name a place by --into")
    return replace(plans[0], further=tuple(one for one in plans[1:] if one.models), refused=tuple(refused))


def _chosen(backed_up: Listed, models: Sequence[ModelName]) -> list[BackedUp]:
    there = sorted({_name(model) for model in backed_up.models})
    wanted: set[Name] = set()
    for asked in models:
        name = asked.among(there)
        if name is None:
            known = list(map(str, there))
            raise unknown(asked.name, known, "the backup has no", f"it has {', '.join(known)}")
        wanted.add(name)
    return [model for model in backed_up.models if not models or _name(model) in wanted]


def _foreign(model: BackedUp, plans: Sequence[RestorePlan]) -> str:
    here = f", and {plans[0].root.path} is a {plans[0].root.backend}" if plans else ""
    return f"it was backed up from a {model.layout}{here}: name a place for it by --into"


def _places(model: BackedUp, backend: GuardedBackend) -> dict[str, PartPlace]:
    found = {}
    for part in model.parts:
        place = backend.place(part.name)
        if place is None:
            raise HubfoldError(f"{part.name!r} is no part of a {model.layout}")
        found[part.name] = place
    return found


def _name(model: BackedUp) -> Name:
    return Name(model.repo_type, model.repo_id)


def preview(planned: RestorePlan) -> RestoreReport:
    """A plan in the form of a report."""
    paths = (
        os.path.join(one.root.path, part.name)
        for one in planned.each
        for model in one.models
        for part in model.parts
    )
    missing = tuple(dict.fromkeys(path for path in paths if not os.path.lexists(path)))
    models = tuple(_told(model) for one in planned.each for model in one.models)
    size = sum(one.missing_bytes for one in planned.each)
    return RestoreReport(
        planned.root.path, None, models, missing, size, failed=planned.refused, why=planned.why
    )


def together(planned: RestorePlan, reports: Sequence[RestoreReport]) -> RestoreReport:
    """What was restored into every root of a plan, as one report."""
    return replace(
        reports[0],
        models=tuple(model for one in reports for model in one.models),
        restored=tuple(path for one in reports for path in one.restored),
        written=sum(one.written for one in reports),
        left=tuple(left for one in reports for left in one.left),
        failed=(*planned.refused, *(failed for one in reports for failed in one.failed)),
        why=planned.why,
    )


def _told(model: BackedUp) -> BackedUpModel:
    sizes = {part.sha256: part.size for part in model.parts if part.link is None}
    files = sum(part.link is not None for part in model.parts) or len(sizes)
    return BackedUpModel(str(_name(model)), model.revision, files, sum(sizes.values()))


@dataclass(frozen=True, slots=True)
class Means:
    """What differs between content of a backup and content that lies in a folder of this machine."""

    #: Give the content of a part a name in a folder without writing it; False where it has to be written.
    share: Callable[[Directory, str, Part], bool] = lambda folder, name, part: False
    #: Told before a part comes to its path: (part, path, what `lstat` says of it, or None for a link).
    coming: Callable[[Part, str, os.stat_result | None], None] = lambda part, path, st: None
    #: Called once what was told of is to be on the disk.
    announced: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Restorer:
    """Carries out one plan under one journal."""

    journal: Journal
    backend: GuardedBackend
    planned: RestorePlan
    progress: Progress
    stop: Stop
    means: Means = field(default_factory=Means)
    #: What is done, for the progress, and what content is called that turns out to be damaged.
    task: str = "restoring"
    damaged: str = "the backup is damaged"
    restored: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    written: int = 0
    #: Where content that waits for its place lies, by the name of its part.
    _waiting: dict[str, str] = field(default_factory=dict)
    #: Names of parts that are where they belong.
    _there: set[str] = field(default_factory=set)
    #: A finished path of a content, to link its other places to.
    _first: dict[str, str] = field(default_factory=dict)
    _stagings: dict[str, str] = field(default_factory=dict)
    _number: int = 0

    def restore(self, reader: Reader) -> RestoreReport:
        """Raises `Interrupted` between two files, `BackupError` where the archive ends too early, `OSError`."""
        done: list[BackedUpModel] = []
        wanted = self.planned.objects
        self.progress.start(self.task, sum(wanted.values()), "bytes")
        try:
            self._look(wanted)
            lacking = {sha256: size for sha256, size in wanted.items() if self._places(sha256)}
            for sha256, source in reader.objects(lacking):
                self.stop.check()
                self._content(sha256, lacking[sha256], source)
            for model in self.planned.models:
                if self._commit(model):
                    done.append(_told(model))
        finally:
            self.progress.finish()
            self._clear()
        return RestoreReport(
            root=self.planned.root.path,
            run=self.journal.run,
            models=tuple(done),
            restored=tuple(self.restored),
            written=self.written,
            left=tuple(self.left),
            failed=tuple(self.failed),
        )

    def _path(self, name: str) -> str:
        """`name` in the root; "" is the root itself."""
        return os.path.join(self.planned.root.path, name) if name else self.planned.root.path

    def _files(self) -> dict[str, tuple[BackedUp, Part]]:
        return {
            part.name: (model, part)
            for model in self.planned.models
            for part in model.parts
            if part.link is None
        }

    # -- content ------------------------------------------------------------------------------------------------------

    def _look(self, wanted: Mapping[str, int]) -> None:
        """Find what is there already, by its bytes."""
        for name, (_, part) in self._files().items():
            path = self._path(name)
            if not os.path.lexists(path):
                continue
            self.stop.check()
            reason = self._differs(path, part)
            if not reason:
                self._there.add(name)
                self._first.setdefault(part.sha256, path)
                self.progress.advance(part.size)
            elif self._stage(name) == 0:
                self.failed.append(Failed(path, reason))
            else:
                self.left.append(Left(path, reason))
                self._there.add(name)

    def _differs(self, path: str, part: Part) -> str:
        """Why what is at `path` is not the part; "" if it is."""
        try:
            if not stat.S_ISREG(os.stat(path).st_mode) or os.path.getsize(path) != part.size:
                return "something else is there; it stays"
            with open(path, "rb") as file:
                digest = pour(file, lambda data: None, part.size, lambda amount: self.stop.check())
        except OSError as error:
            return f"what is there cannot be read: {errors.describe(error)}"
        return "" if digest == part.sha256 else "a file with other bytes is there; it stays"

    def _stage(self, name: str) -> int:
        return self.planned.places[name].stage

    def _places(self, sha256: str) -> list[tuple[BackedUp, Part]]:
        """The parts that need this content and lack it."""
        broken = {failure.path for failure in self.failed}
        return [
            (model, part)
            for name, (model, part) in self._files().items()
            if part.sha256 == sha256 and name not in self._there and self._path(name) not in broken
        ]

    def _content(self, sha256: str, size: int, source: IO[bytes]) -> None:
        for model, part in self._places(sha256):
            try:
                self._one(model, part, size, source)
            except (LeftAlone, OSError) as error:
                if isinstance(error, OSError) and error.errno in errors.OUT_OF_SPACE:
                    raise
                self.failed.append(Failed(self._path(part.name), errors.describe(error)))
                return

    def _one(self, model: BackedUp, part: Part, size: int, source: IO[bytes]) -> None:
        staging = self._staging(model)
        self._number += 1
        temporary = str(self._number)
        with Directory.make_below(self.planned.root.path, staging) as folder:
            first = self._first.get(part.sha256)
            if is_note(self.planned.places[part.name]):
                self._write_note(folder, temporary, part, size, source)
            elif first is None or not self._link(first, folder, temporary):
                if self.means.share(folder, temporary, part):
                    self._tick(size)
                else:
                    self._write(folder, temporary, part, size, source)
            if self._stage(part.name) == 0:
                self._move_in(folder, temporary, part)
                self._first.setdefault(part.sha256, self._path(part.name))
            else:
                waiting = os.path.join(staging, temporary)
                self._waiting[part.name] = waiting
                self._first.setdefault(part.sha256, waiting)

    def _write_note(
        self, folder: Directory, temporary: str, part: Part, size: int, source: IO[bytes]
    ) -> None:
        """A file of its own: clients write these over in their place."""
        first = self._first.get(part.sha256)
        if first is None:
            self._write(folder, temporary, part, size, source)
            return
        there, name = Directory.parent_of(self.planned.root.path, first)
        with there, open(there.open_file(name), "rb") as written:
            self._write(folder, temporary, part, size, written)

    def _link(self, first: str, folder: Directory, temporary: str) -> bool:
        """Another name for content that is restored already; False where that cannot be."""
        try:
            source, name = Directory.parent_of(self.planned.root.path, first)
            with source:
                if not stat.S_ISREG(source.lstat(name).st_mode):
                    return False
                folder.link_from(source, name, temporary)
        except (LeftAlone, OSError):
            return False
        return True

    def _write(self, folder: Directory, temporary: str, part: Part, size: int, source: IO[bytes]) -> None:
        fd = folder.create_file(temporary, 0o644)
        with open(fd, "wb") as target:
            folder.own_file(fd, noted=self._stage(part.name) > 0)
            digest = pour(source, target.write, size, self._tick)
            if digest != part.sha256:
                folder.unlink(temporary)
                raise LeftAlone(f"{self.damaged}: its bytes are not {part.sha256}")
            target.flush()
            os.utime(fd, ns=(part.mtime_ns, part.mtime_ns))
            os.fsync(fd)
        self.written += size

    def _move_in(self, folder: Directory, temporary: str, part: Part) -> None:
        path = self._path(part.name)
        with ExitStack() as held:
            for lock in self.backend.lock_paths(self.planned.root, path):
                held.enter_context(passing_lock(lock, self.planned.root.path))
            target = held.enter_context(Directory.make_below(self.planned.root.path, os.path.dirname(path)))
            self.means.coming(part, path, folder.lstat(temporary))
            self.means.announced()
            try:
                folder.move(temporary, target, os.path.basename(path))
            except FileExistsError:
                folder.unlink(temporary)
                raise LeftAlone("a program put a file there meanwhile; run the same command again") from None
            target.sync()
        self._there.add(part.name)
        self.restored.append(path)

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()

    def _staging(self, model: BackedUp) -> str:
        """A folder of our own beside what is restored, announced."""
        if model.top not in self._stagings:
            path = os.path.join(
                self._path(model.top), f"{TEMPORARY_PREFIX}{self.journal.run}-{len(self._stagings) + 1}"
            )
            self.journal.announce(
                "make", path=self._path(model.top), root=self.planned.root.path, temporary=path
            )
            self.journal.sync()
            self._stagings[model.top] = path
        return self._stagings[model.top]

    # -- what makes a model of it ------------------------------------------------------------------------------------

    def _commit(self, model: BackedUp) -> bool:
        """Put listings, snapshots and refs into place if all content is there; whether the model is whole."""
        lacking = [
            part
            for part in model.parts
            if part.link is None and part.name not in self._waiting and not self._has(part.name)
        ]
        if lacking:
            told = {failure.path for failure in self.failed}
            if not any(self._path(part.name) in told for part in lacking):
                self.failed.append(Failed(self._path(lacking[0].name), "its content is not there"))
            return False
        stages: dict[int, list[Part]] = {}
        for part in model.parts:
            stages.setdefault(self._stage(part.name), []).append(part)
        try:
            for number in sorted(stages):
                self._stage_in(model, stages[number])
        except (LeftAlone, OSError) as error:
            self.failed.append(Failed(self._path(model.top), errors.describe(error)))
            return False
        return True

    def _has(self, name: str) -> bool:
        """Whether it is in its place now: a program may have cleared away what no model named yet."""
        return name in self._there and os.path.lexists(self._path(name))

    def _stage_in(self, model: BackedUp, parts: Sequence[Part]) -> None:
        units: dict[str, list[Part]] = {}
        for part in parts:
            units.setdefault(self.planned.places[part.name].unit, []).append(part)
        for unit, inside in units.items():
            if unit and not os.path.lexists(self._path(unit)):
                self._unit(model, unit, inside)
            else:
                for part in inside:
                    self._single(part)

    def _unit(self, model: BackedUp, unit: str, parts: Sequence[Part]) -> None:
        """Assemble a folder out of sight, then give it its name."""
        staging = self._staging(model)
        self._number += 1
        built = os.path.join(staging, str(self._number))
        root = self.planned.root.path
        for part in parts:
            path = built + part.name[len(unit) :]
            with Directory.make_below(root, os.path.dirname(path)) as folder:
                self._put(part, folder, os.path.basename(path))
        _sync_below(root, built)
        self.means.announced()
        with (
            Directory.make_below(root, staging) as source,
            Directory.make_below(root, os.path.dirname(self._path(unit))) as target,
        ):
            source.move(os.path.basename(built), target, os.path.basename(unit))
            target.sync()
        self.restored += [self._path(part.name) for part in parts]

    def _single(self, part: Part) -> None:
        if part.name in self._there:
            return
        path = self._path(part.name)
        with Directory.make_below(self.planned.root.path, os.path.dirname(path)) as folder:
            name = os.path.basename(path)
            st = folder.lstat_or_none(name)
            if st is None:
                self._put(part, folder, name, alone=True)
                folder.sync()
                self.restored.append(path)
            elif part.link is None or not stat.S_ISLNK(st.st_mode) or folder.readlink(name) != part.link:
                self.left.append(Left(path, "something else is there; it stays"))

    def _put(self, part: Part, folder: Directory, name: str, *, alone: bool = False) -> None:
        """Give a part its name in a folder, which is its place if it goes `alone`."""
        path = self._path(part.name)
        if part.link is not None:
            self.means.coming(part, path, None)
            if alone:
                self.means.announced()
            folder.symlink(part.link, name)
            return
        source, waiting = Directory.parent_of(self.planned.root.path, self._waiting[part.name])
        with source:
            self.means.coming(part, path, source.lstat(waiting))
            if alone:
                self.means.announced()
            source.move(waiting, folder, name)
        self._there.add(part.name)

    def _clear(self) -> None:
        for staging in self._stagings.values():
            with suppress(OSError, LeftAlone):
                directory, name = Directory.parent_of(self.planned.root.path, staging)
                with directory:
                    remove_tree(directory, name)
                    directory.sync()


def _sync_below(root: str, path: str) -> None:
    """fsync a folder of ours and every folder in it."""
    with Directory.make_below(root, path) as folder:
        for name in folder.names():
            if stat.S_ISDIR(folder.lstat(name).st_mode):
                _sync_below(root, os.path.join(path, name))
        folder.sync()
