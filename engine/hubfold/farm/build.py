"""Farms: folders of symlinks into the vault, ``DIR/<org>/<name>/<file>``.

They cost nothing and outlive the cache's own deletions. A farm links one revision of each model: the one that ``main``
names, else another named one, else any. Building it again adds what is new, points links at the revision of today and
removes those whose object is gone. Everything in the folder that is not a link of hubfold's is left alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold.content import FARM_MARKER, TEMPORARY_PREFIX, Root, Signature, Snapshot, SnapshotFile
from hubfold.disk import directory as fsops
from hubfold.disk.directory import Directory, Held
from hubfold.disk.filesystem import FileSystems, link_text
from hubfold.errors import LeftAlone
from hubfold.folding.survey import vault_places
from hubfold.journal.journal import Journal
from hubfold.journal.records import FarmLink, KeeperChange
from hubfold.journal.run_log import RunLog
from hubfold.models.names import ModelName, Name, UnknownModel, stands_for, unknown
from hubfold.progress import Progress, Stop
from hubfold.reports.runs import Failed, Left
from hubfold.vault import objects

if TYPE_CHECKING:
    from hubfold.backend.contract import StorageBackend
    from hubfold.index.index import Index

MARKER_TEXT = b"""hubfold farm 1
A folder of links that `hubfold farm` builds and refreshes; it holds no content of its own.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One link that a farm should have."""

    #: Relative to the farm.
    name: str
    #: The regular file with the content and the root it lies in.
    source: str
    source_root: str
    vault: str
    target: str
    #: What the source was when its digest became known.
    signature: Signature


@dataclass(frozen=True, slots=True)
class FarmPlan:
    """What building or refreshing a farm would do; names are relative to it."""

    path: str
    add: tuple[Wanted, ...] = ()
    replace: tuple[tuple[Wanted, str], ...] = ()
    keep: int = 0
    remove: tuple[tuple[str, str], ...] = ()
    left: tuple[Left, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.add or self.replace or self.remove)


def chosen(snapshots: Iterable[Snapshot], models: Sequence[ModelName]) -> list[Snapshot]:
    """One snapshot of each model (of each of `models`, if any are named), by repo id.

    Raises `UnknownModel` for a name that no snapshot has, or not at the revision that is asked for.
    """
    by_name: dict[Name, list[Snapshot]] = {}
    for snapshot in snapshots:
        by_name.setdefault(Name(snapshot.repo_type, snapshot.repo_id), []).append(snapshot)
    if not models:
        return [min(by_name[name], key=_rank) for name in sorted(by_name)]
    best: dict[Name, Snapshot] = {}
    for asked in models:
        name = asked.among(by_name)
        if name is None:
            raise unknown(asked.name, map(str, by_name), "no cache holds a")
        revision = asked.revision
        fit = [
            one for one in by_name[name] if revision is None or stands_for(revision, one.revision, one.refs)
        ]
        if not fit:
            raise UnknownModel(
                f"no cache holds {name} at {revision!r}", f"see `hubfold ls {name} --revisions`"
            )
        best[name] = min(fit, key=_rank)
    return [best[name] for name in sorted(best)]


def _rank(snapshot: Snapshot) -> tuple[bool, bool, bool]:
    return snapshot.broken or not snapshot.files, "main" not in snapshot.refs, not snapshot.refs


def link_name(snapshot: Snapshot, file: str, *, flat: bool = False) -> str:
    """The path of a file's link in a farm, with `flat` without the model's name before it.

    Raises `LeftAlone` for a name that would lead out of it.
    """
    parts = [*([] if flat else snapshot.repo_id.split("/")), *file.split("/")]
    if not flat and snapshot.repo_type != "model":
        parts.insert(0, f"{snapshot.repo_type}s")
    if any(
        part in ("", os.curdir, os.pardir) or "\0" in part or part.startswith(TEMPORARY_PREFIX)
        for part in parts
    ):
        raise LeftAlone(f"{file!r} is no name for a file")
    return os.path.join(*parts)


def wanted_links(
    snapshots: Iterable[Snapshot],
    folder: str,
    index: Index,
    roots: Mapping[str, Root],
    backends: Mapping[str, StorageBackend],
    *,
    flat: bool = False,
) -> tuple[list[Wanted], list[Left]]:
    """(the links that a farm at `folder` should have for these snapshots, the files that can have none).

    With `flat` the names are without the model's before them.
    """
    filesystems = FileSystems()
    wanted: list[Wanted] = []
    left: list[Left] = []
    for snapshot in snapshots:
        for file in snapshot.files:
            try:
                name = link_name(snapshot, file.name, flat=flat)
                wanted.append(_wanted(name, file, index, roots, backends, filesystems))
            except LeftAlone as reason:
                left.append(Left(os.path.join(folder, snapshot.repo_id, file.name), str(reason)))
    return wanted, left


def _wanted(
    name: str,
    file: SnapshotFile,
    index: Index,
    roots: Mapping[str, Root],
    backends: Mapping[str, StorageBackend],
    filesystems: FileSystems,
) -> Wanted:
    source = os.path.realpath(file.path)
    if file.size is None:
        raise LeftAlone("its content is missing")
    replica = index.replica(source)
    if replica is None:
        raise LeftAlone("its content is in no scanned root")
    if replica.backend == objects.NAME:
        return Wanted(name, source, replica.root, replica.root, source, replica.signature)
    here = filesystems.of(os.path.dirname(source))
    for place in vault_places(roots[replica.root], backends, filesystems):
        target = objects.object_path(place.path, replica.digests)
        if place.writable and place.filesystem.links_to(here) and target is not None:
            return Wanted(name, source, replica.root, place.path, target, replica.signature)
    raise LeftAlone(f"there is no place for a vault on the file system of {source}")


def compare(path: str, wanted: Iterable[Wanted], left: Iterable[Left]) -> FarmPlan:
    """Hold what a farm should have against what is there. Raises `OSError` if the folder cannot be read."""
    add: list[Wanted] = []
    replace: list[tuple[Wanted, str]] = []
    keep = 0
    stays = list(left)
    names: set[str] = set()
    for item in wanted:
        names.add(item.name)
        link = os.path.join(path, item.name)
        try:
            st = os.lstat(link)
        except (FileNotFoundError, NotADirectoryError):
            add.append(item)
            continue
        if stat.S_ISLNK(st.st_mode) and objects.points_at(link, item.target):
            keep += 1
            if not os.path.exists(link):
                add.append(item)  # the object is gone, the link stays: making the object again mends it
        elif stat.S_ISLNK(st.st_mode) and _into_a_vault(link):
            replace.append((item, os.readlink(link)))
        else:
            stays.append(Left(link, "there is a file of somebody else under this name"))
    remove = tuple(
        (name, text)
        for name, text in _links_below(path)
        if name not in names and not os.path.exists(os.path.join(path, name))
    )
    return FarmPlan(path, tuple(add), tuple(replace), keep, remove, tuple(stays))


def _into_a_vault(link: str) -> bool:
    target = os.path.join(os.path.realpath(os.path.dirname(link)), os.readlink(link))
    return bool(objects.claims_of(os.path.basename(target))) and objects.is_vault(objects.of_object(target))


def _links_below(path: str) -> Iterator[tuple[str, str]]:
    """(name, text) of the symlinks into a vault in a farm."""
    for folder, _, files in os.walk(path):
        for name in sorted(files):
            link = os.path.join(folder, name)
            if os.path.islink(link) and _into_a_vault(link):
                yield os.path.relpath(link, path), os.readlink(link)


def build(plan: FarmPlan, journal: Journal, *, progress: Progress, stop: Stop) -> list[Failed]:
    """Carry out `plan`; what could not be made. Raises `Interrupted` between two links, `OSError` for the farm."""
    failed: list[Failed] = []
    filesystems = FileSystems()
    ours: dict[tuple[int, int], Signature] = {}
    fsops.make_folders(plan.path)
    _mark(plan.path)
    progress.start("linking", len(plan.add) + len(plan.replace), "files")
    try:
        for number, (item, before) in enumerate([*((item, "") for item in plan.add), *plan.replace], 1):
            stop.check()
            try:
                _link(plan.path, item, before, number, journal, filesystems, ours)
            except (LeftAlone, OSError) as error:
                failed.append(Failed(os.path.join(plan.path, item.name), fsops.describe(error)))
            progress.advance(1)
        failed += _remove_stale(plan, journal)
    finally:
        progress.finish()
    return failed


def _remove_stale(plan: FarmPlan, journal: Journal) -> Iterator[Failed]:
    """Remove the links whose object is gone, each announced; what could not be removed."""
    for name, _ in plan.remove:
        journal.append("remove", path=os.path.join(plan.path, name), bytes=0)
    journal.sync()
    for name, text in plan.remove:
        path = os.path.join(plan.path, name)
        try:
            directory, last = Directory.parent_of(plan.path, path)
            with directory:
                if directory.readlink(last) == text and not os.path.exists(path):
                    directory.unlink(last)
                    directory.sync()
        except FileNotFoundError:
            continue  # gone already
        except (LeftAlone, OSError) as error:
            yield Failed(path, fsops.describe(error))


def _mark(path: str) -> None:
    with Directory.open(path) as folder:
        if folder.lstat_or_none(FARM_MARKER) is None:
            fd = folder.create_file(FARM_MARKER, 0o644)
            try:
                os.write(fd, MARKER_TEXT)
            finally:
                os.close(fd)
            folder.sync()


def _link(
    farm: str,
    item: Wanted,
    before: str,
    number: int,
    journal: Journal,
    filesystems: FileSystems,
    ours: dict[tuple[int, int], Signature],
) -> None:
    """Make one link. `ours` are the signatures of sources that this run has changed the mode and the names of."""
    path = os.path.join(farm, item.name)
    fsops.make_folders(os.path.dirname(path))
    text = link_text(path, item.target, filesystems)
    temporary = f"{TEMPORARY_PREFIX}{journal.run}-{number}"
    payload = item.signature.device, item.signature.inode
    keeper = Held(item.source_root, item.source, ours.get(payload, item.signature))
    try:
        mode, mtime_ns = keeper.attributes.mode, keeper.attributes.mtime_ns
        journal.append("object", path=item.target, keeper=item.source)
        journal.append("farm", **FarmLink(path, farm, text, item.target, temporary, before).as_record())
        if mode & 0o222:
            change = KeeperChange(
                item.source,
                item.source_root,
                keeper.signature.inode,
                (mode, mode & ~0o222),
                (mtime_ns, mtime_ns),
            )
            journal.append("keeper", **change.as_record())
        os.fsync(keeper.fd)
        journal.sync()
        if keeper.write_wanted:
            raise LeftAlone("a program wants to write to it")
        with suppress(PermissionError):  # not ours to change: then nothing stops a write through the link
            fsops.set_mode(keeper.fd, mode & ~0o222)
        with objects.lock(item.vault):
            objects.prepare(item.vault)
            objects.add_object(item.target, keeper)
            mount = filesystems.of(os.path.dirname(path)).mount
            objects.note_links(item.target, [objects.NeededBy(path, mount, journal.run)])
        if not keeper.unchanged():
            raise LeftAlone("it changed while it was being linked")
        ours[payload] = Signature.of(os.fstat(keeper.fd))
    finally:
        keeper.close()
    directory, name = Directory.parent_of(farm, path)
    with directory:
        if before:
            _exchange(directory, name, before, text, temporary)
        elif directory.lstat_or_none(name) is None:
            directory.symlink(text, name)
        directory.sync()


def _exchange(directory: Directory, name: str, before: str, text: str, temporary: str) -> None:
    """Put a link with `text` in the place of the one with `before`; nothing is left of it where that fails."""
    directory.symlink(text, temporary)
    try:
        if directory.readlink(name) != before:
            raise LeftAlone("it was changed meanwhile")
        directory.rename(temporary, name)
    except (LeftAlone, OSError):
        directory.unlink(temporary)
        raise


def take_back(log: RunLog) -> tuple[list[str], list[Left], list[Failed]]:
    """Remove the links that a run gave a farm, or put back what they replaced.

    Returns the paths, what was left alone because the user changed it, and what an error kept from being done.
    """
    restored: list[str] = []
    left: list[Left] = []
    failed: list[Failed] = []
    for link in reversed(log.farm_links):
        try:
            directory, name = Directory.parent_of(link.root, link.path)
            with directory:
                if directory.lstat_or_none(name) is None:
                    continue
                if directory.readlink(name) != link.text:
                    raise LeftAlone("it was changed since; the change stays")
                if link.before:
                    _exchange(directory, name, link.text, link.before, link.temporary)
                else:
                    directory.unlink(name)
                directory.sync()
        except FileNotFoundError:
            continue  # its folder is gone with it: an undo that was cut short had come this far, or the user deleted it
        except LeftAlone as error:
            left.append(Left(link.path, fsops.describe(error)))
        except OSError as error:
            failed.append(Failed(link.path, fsops.describe(error)))
        else:
            restored.append(link.path)
    _clear_empty({link.root for link in log.farm_links})
    return restored, left, failed


def _clear_empty(farms: Iterable[str]) -> None:
    """Remove the folders of a farm that are empty now, the farm's own too when nothing but its marker is left."""
    for farm in farms:
        for folder, _, _ in os.walk(farm, topdown=False):
            with suppress(OSError):
                if folder == farm and os.listdir(folder) == [FARM_MARKER]:
                    os.unlink(os.path.join(folder, FARM_MARKER))
                os.rmdir(folder)


def settle(log: RunLog) -> None:
    """Remove the temporary links that a crash left in a farm."""
    for link in log.farm_links:
        with suppress(OSError, LeftAlone):
            directory, _ = Directory.parent_of(link.root, link.path)
            with directory:
                if directory.readlink(link.temporary) in (link.text, link.before):
                    directory.unlink(link.temporary)
