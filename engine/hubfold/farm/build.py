"""Builds farms: folders of symlinks into the vault, ``DIR/<org>/<name>/<file>``.

They cost nothing and outlive the cache's own deletions. A farm links one revision of each model: the one that ``main``
names, else another named one, else any. Building it again adds what is new, points links at the revision of today and
removes those whose object is gone. Everything in the folder that is not a link of hubfold's is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing

from hubfold import errors
from hubfold.content import FARM_MARKER, TEMPORARY_PREFIX, Signature
from hubfold.disk.directory import Directory, make_folders
from hubfold.disk.filesystem import FileSystems, link_text
from hubfold.disk.held import WRITE_BITS, HeldFile
from hubfold.errors import LeftAlone
from hubfold.farm.plan import FarmPlan, WantedLink
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.journal.records import FarmLink
from hubfold.progress import Progress, Stop
from hubfold.reading.compare import compare
from hubfold.reports.outcomes import Failed
from hubfold.vault import objects
from hubfold.vault.need import Here

MARKER_TEXT = b"""hubfold farm 1
A folder of links that `hubfold farm` builds and refreshes; it holds no content of its own.
"""


def build(
    plan: FarmPlan, journal: Journal, *, progress: Progress, stop: Stop, marked: bool = True
) -> list[Failed]:
    """Carry out `plan`; what could not be made. Raises `Interrupted` between two links, `OSError` for the farm.

    A farm is `marked` as one; the folder of a program has its own layout, and is not.
    """
    failed: list[Failed] = []
    builder = _Builder(plan.path, journal)
    make_folders(plan.path)
    if marked:
        _mark(plan.path)
    progress.start("linking", len(plan.add) + len(plan.replace), "files")
    try:
        for item, before in (*((item, "") for item in plan.add), *plan.replace):
            stop.check()
            try:
                builder.link(item, before)
            except (LeftAlone, OSError) as error:
                failed.append(Failed(os.path.join(plan.path, item.name), errors.describe(error)))
            progress.advance(1)
        failed += _remove_stale(plan, journal)
    finally:
        progress.finish()
    return failed


class _Builder:
    """Makes the links of one farm under one journal."""

    def __init__(self, farm: str, journal: Journal) -> None:
        self._farm = farm
        self._journal = journal
        self._filesystems = FileSystems()
        self._here = Here.now()
        self._number = 0
        #: Signatures of sources that this run has changed the mode and the names of, by payload.
        self._ours: dict[tuple[int, int], Signature] = {}

    def link(self, item: WantedLink, before: str) -> None:
        """Make one link; `before` is the text of the link that it replaces, "" for none. Raises as `build` tells."""
        path = os.path.join(self._farm, item.name)
        make_folders(os.path.dirname(path))
        self._number += 1
        made = FarmLink(
            path=path,
            root=self._farm,
            text=link_text(path, item.target, self._filesystems),
            target=item.target,
            temporary=f"{TEMPORARY_PREFIX}{self._journal.run}-{self._number}",
            before=before,
        )
        payload = item.signature.device, item.signature.inode
        keeper = self._keeper(item)
        try:
            self._announce(made, item, keeper)
            self._keep(made, item, keeper)
            if keeper.path == item.source:
                self._ours[payload] = Signature.of(os.fstat(keeper.fd))
        finally:
            keeper.close()
        directory, name = Directory.parent_of(self._farm, path)
        with directory:
            if before:
                exchange_link(directory, name, before, made.text, made.temporary)
            elif directory.lstat_or_none(name) is None:
                directory.symlink(made.text, name)
            directory.sync()

    def _keeper(self, item: WantedLink) -> HeldFile:
        """What the link is going to read: the file itself, or the object of its content where another file is that.

        Raises `LeftAlone` where that object has other bytes, and as `HeldFile` does.
        """
        payload = item.signature.device, item.signature.inode
        source = HeldFile(item.source_root, item.source, self._ours.get(payload, item.signature))
        try:
            there = os.lstat(item.target)
        except FileNotFoundError:
            return source
        if (there.st_dev, there.st_ino) == payload:
            return source
        with closing(source), ExitStack() as opened:
            kept = HeldFile(item.vault, item.target, Signature.of(there))
            opened.callback(kept.close)
            if wrong := compare(kept, [source], update=lambda _: None, tick=lambda _: None):
                raise wrong[source]
            opened.pop_all()
        return kept

    def _announce(self, made: FarmLink, item: WantedLink, keeper: HeldFile) -> None:
        now = keeper.attributes
        self._journal.place(os.path.dirname(self._farm))
        self._journal.place(item.source_root)
        self._journal.place(item.vault, objects.id_of(item.vault))
        self._journal.append("object", path=item.target, keeper=keeper.path)
        self._journal.append("farm", **made.as_record())
        mode = now.mode & ~WRITE_BITS
        root = item.source_root if keeper.path == item.source else item.vault
        keepers.announce(self._journal, keeper, root, mode=mode, mtime_ns=now.mtime_ns)
        os.fsync(keeper.fd)
        self._journal.sync()

    def _keep(self, made: FarmLink, item: WantedLink, keeper: HeldFile) -> None:
        """Make the object that the link is to point at, which notes the link."""
        if keeper.write_wanted:
            raise LeftAlone("a program wants to write to it")
        keepers.make_read_only(keeper)
        objects.make(item.vault, item.source_root)
        with objects.lock(item.vault):
            objects.prepare(item.vault)
            objects.add_object(item.target, keeper)
            mount = self._filesystems.of(os.path.dirname(made.path)).mount
            line = self._here.needed_by(made.path, self._farm, self._journal.run, item.vault, mount)
            objects.note_links(item.target, [line])
        if not keeper.unchanged():
            raise LeftAlone("it changed while it was being linked")


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
