"""Farms: folders of symlinks into the vault, ``DIR/<org>/<name>/<file>``.

They cost nothing and outlive the cache's own deletions. A farm links one revision of each model: the one that ``main``
names, else another named one, else any. Building it again adds what is new, points links at the revision of today and
removes those whose object is gone. Everything in the folder that is not a link of hubfold's is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from hubfold import errors
from hubfold.content import FARM_MARKER, TEMPORARY_PREFIX, Signature
from hubfold.disk import held
from hubfold.disk.directory import Directory, make_folders
from hubfold.disk.filesystem import FileSystems, link_text
from hubfold.disk.held import HeldFile
from hubfold.errors import LeftAlone
from hubfold.farm.plan import FarmPlan, WantedLink
from hubfold.journal.journal import Journal
from hubfold.journal.records import FarmLink, KeeperChange
from hubfold.progress import Progress, Stop
from hubfold.reports.outcomes import Failed
from hubfold.vault import objects
from hubfold.vault.need import Here

if TYPE_CHECKING:
    pass

MARKER_TEXT = b"""hubfold farm 1
A folder of links that `hubfold farm` builds and refreshes; it holds no content of its own.
"""


def build(plan: FarmPlan, journal: Journal, *, progress: Progress, stop: Stop) -> list[Failed]:
    """Carry out `plan`; what could not be made. Raises `Interrupted` between two links, `OSError` for the farm."""
    failed: list[Failed] = []
    filesystems = FileSystems()
    here = Here.now()
    ours: dict[tuple[int, int], Signature] = {}
    make_folders(plan.path)
    _mark(plan.path)
    progress.start("linking", len(plan.add) + len(plan.replace), "files")
    try:
        for number, (item, before) in enumerate([*((item, "") for item in plan.add), *plan.replace], 1):
            stop.check()
            try:
                _link(plan.path, item, before, number, journal, filesystems, ours, here)
            except (LeftAlone, OSError) as error:
                failed.append(Failed(os.path.join(plan.path, item.name), errors.describe(error)))
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
            yield Failed(path, errors.describe(error))


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
    item: WantedLink,
    before: str,
    number: int,
    journal: Journal,
    filesystems: FileSystems,
    ours: dict[tuple[int, int], Signature],
    here: Here,
) -> None:
    """Make one link. `ours` are the signatures of sources that this run has changed the mode and the names of."""
    path = os.path.join(farm, item.name)
    make_folders(os.path.dirname(path))
    text = link_text(path, item.target, filesystems)
    temporary = f"{TEMPORARY_PREFIX}{journal.run}-{number}"
    payload = item.signature.device, item.signature.inode
    keeper = HeldFile(item.source_root, item.source, ours.get(payload, item.signature))
    try:
        mode, mtime_ns = keeper.attributes.mode, keeper.attributes.mtime_ns
        journal.place(os.path.dirname(farm))
        journal.place(item.source_root)
        journal.place(item.vault, objects.id_of(item.vault))
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
            held.set_mode(keeper.fd, mode & ~0o222)
        with objects.lock(item.vault):
            objects.prepare(item.vault)
            objects.add_object(item.target, keeper)
            mount = filesystems.of(os.path.dirname(path)).mount
            objects.note_links(item.target, [here.needed_by(path, farm, journal.run, item.vault, mount)])
        if not keeper.unchanged():
            raise LeftAlone("it changed while it was being linked")
        ours[payload] = Signature.of(os.fstat(keeper.fd))
    finally:
        keeper.close()
    directory, name = Directory.parent_of(farm, path)
    with directory:
        if before:
            exchange_link(directory, name, before, text, temporary)
        elif directory.lstat_or_none(name) is None:
            directory.symlink(text, name)
        directory.sync()


def exchange_link(directory: Directory, name: str, before: str, text: str, temporary: str) -> None:
    """Put a link with `text` in the place of the one with `before`; nothing is left of it where that fails."""
    directory.symlink(text, temporary)
    try:
        if directory.readlink(name) != before:
            raise LeftAlone("it was changed meanwhile")
        directory.rename(temporary, name)
    except (LeftAlone, OSError):
        directory.unlink(temporary)
        raise
