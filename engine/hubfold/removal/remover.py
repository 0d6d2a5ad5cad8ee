"""Removes models, revisions and leftovers: what a backend says has to go, in an order that no crash can make a lie of.

Per `changes.Removal`::

    the layout's locks of everything with content        held to the end; one that is taken leaves all of it alone
    of a copy that a cache has too: compared with that   see `removal/twins`
    every path announced in the journal, fsynced         nothing is removed that was not announced
    links elsewhere that the user wants gone
    refs                                                 nothing leads to the revision any more
    each snapshot folder renamed away                    it was whole until now, and is gone at once
    the layout's notes, then what was renamed away
    content, asked for again: does anything need it now?    once for all of a root, their locks held
    shared payloads that nobody uses
    links of the layout that lead to nothing but empty folders, then these folders

What lies behind a link of the layout is removed where it lies, below a root of its own, never through the link.

Each stage is fsynced before the next. Each path is looked at right before: what is not what the preview saw stays. A
crash leaves, at the most, content that no revision uses, which `hubfold clean` and the same `hubfold rm` find again (of
a local copy by the journal, since its notes are gone), and a folder under a name of hubfold's own, which recovery
removes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

from hubfold import errors
from hubfold.backend.changes import Removal
from hubfold.content import TEMPORARY_PREFIX, Root
from hubfold.disk.directory import Directory
from hubfold.disk.locks import passing_lock
from hubfold.disk.paths import within
from hubfold.disk.seen import Seen, below
from hubfold.errors import Interrupted, LeftAlone
from hubfold.faults import BackendFault
from hubfold.journal.journal import Journal
from hubfold.journal.records import Removed
from hubfold.library.inventory import Holdings
from hubfold.progress import Progress, Stop
from hubfold.removal import empty
from hubfold.removal.measure import measure, shared_bytes
from hubfold.removal.twins import Twins
from hubfold.reports.outcomes import Failed

#: How many locks are held at once to ask about several removals together: each is an open file.
_LOCKS = 100


@dataclass(frozen=True, slots=True)
class Removing:
    """Removals with what was seen of every path of theirs."""

    removals: tuple[Removal, ...]
    seen: Mapping[str, Seen]


@dataclass(slots=True)
class _Together:
    """Removals of one root whose content is asked about by one question: a layout may read all it has to answer it."""

    root: Root
    held: ExitStack
    removals: list[Removal] = field(default_factory=list)
    locks: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Remover:
    """Carries out removals under one journal."""

    journal: Journal
    holdings: Holdings
    seen: Mapping[str, Seen]
    progress: Progress
    stop: Stop
    twins: Twins
    #: Paths that are gone, and those that could not be removed.
    removed: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    freed: int = 0
    #: A folder was renamed away and could not be emptied: recovery has to go on with it.
    stuck: bool = False
    _number: int = 0

    def carry_out(self, removals: Sequence[Removal]) -> None:
        """One after the other; raises `Interrupted` between two of them, `OSError` if the journal cannot be written."""
        self.progress.start("removing", sum(len(removal.files) for removal in removals), "files")
        try:
            for of_root in _alike(removals):
                with ExitStack() as held:
                    self._remove_together(of_root, held)
        finally:
            self.progress.finish()

    def _remove_together(self, removals: Sequence[Removal], held: ExitStack) -> None:
        first = removals[0]
        root = self.holdings.root_at(first.root)
        together = _Together(root or Root(first.root, first.backend), held)
        try:
            for removal in removals:
                self.stop.check()
                if len(together.locks) >= _LOCKS:
                    self._ask_and_remove(together)
                self._remove(removal, together, known=root is not None)
        except Interrupted:
            self._ask_and_remove(together)
            raise
        self._ask_and_remove(together)

    def _ask_and_remove(self, together: _Together) -> None:
        """Remove the content of what leads to none any more, with the folders that are empty then; let its locks go."""
        root, removals = together.root, together.removals
        together.removals = []
        self._unneeded(root, list(dict.fromkeys(path for removal in removals for path in removal.content)))
        for removal in removals:
            self._folders(root, removal)
        together.held.close()
        together.locks.clear()

    def _remove(self, removal: Removal, together: _Together, *, known: bool) -> None:
        """Remove what leads to content, and what is asked about alone; the rest waits for what goes with it."""
        root = together.root
        if not (removal.files or removal.empty):
            return
        guarded = [*removal.content, *(payload.path for payload in removal.payloads)] if known else []
        with ExitStack() as held:
            try:
                locks = self._locks(root, guarded)
                for lock in locks:
                    if lock not in together.locks:
                        held.enter_context(passing_lock(lock, root.path))
                self._compare(removal)
            except (LeftAlone, OSError) as error:
                path = removal.path if removal.path in self.twins.of else guarded[0]
                self._fail(path, f"all of it was left alone: {errors.describe(error)}")
                return
            asides = self._announce(root, removal, locks)
            goes = self._goes(removal, locks)
            try:
                self._unlink_all(root, removal.links)
                self._unlink_all(root, removal.refs)
                for folder, temporary in asides.items():
                    self._set_aside(root, folder, temporary, goes)
            except (LeftAlone, OSError) as error:
                # What leads to it is there still, so what it needs has to stay.
                # Calls on a descriptor or below one tell a number, or a name without its folder.
                told = getattr(error, "filename", None)
                path = told if isinstance(told, str) and os.path.isabs(told) else removal.aside
                self._fail(path, errors.describe(error))
                for folder, temporary in asides.items():
                    self._empty_aside(root, folder, temporary, removal, goes)
                return
            self._rest(root, removal, asides, goes)
            if self._is_alone(removal):
                self._folders(root, removal)
                return
            together.removals.append(removal)
            together.locks.update(locks)
            together.held.enter_context(held.pop_all())

    def _compare(self, removal: Removal) -> None:
        """Of a copy that a cache has too: with that. Raises `LeftAlone`, `OSError`, `Interrupted`."""
        if removal.path in self.twins.of:
            self.twins.compare(removal.path)
            self.progress.start("removing", len(removal.files), "files")

    def _locks(self, root: Root, paths: Sequence[str]) -> Sequence[str]:
        """The locks of what is at `paths`, each once. Raises `LeftAlone` where a plugin cannot tell."""
        found = (lock for path in paths for lock in self.holdings.lock_paths(root, path))
        return list(dict.fromkeys(found))

    def _goes(self, removal: Removal, locks: Collection[str]) -> empty.Goes:
        """The `locks` that are held may lie in a folder that is renamed away, and go with it."""
        inside = set(removal.inside)
        return lambda path, seen: path in locks or (path in inside and self.seen.get(path) == seen)

    def _rest(self, root: Root, removal: Removal, asides: Mapping[str, str], goes: empty.Goes) -> None:
        for path in removal.records:
            self._try(root, path)
        for folder, temporary in asides.items():
            self._empty_aside(root, folder, temporary, removal, goes)
        if removal.notes_stay:
            for path in removal.content:
                self._try(root, path)
        elif self._is_alone(removal):
            self._unneeded(root, removal.content)
        for payload in removal.payloads:
            if self._unneeded(root, [payload.path]):
                self._try(root, payload.record)

    def _is_alone(self, removal: Removal) -> bool:
        """Whether content goes with what it is of: other things come after it, or it was compared just now."""
        return removal.notes_stay or bool(removal.payloads) or removal.path in self.twins.of

    def _folders(self, root: Root, removal: Removal) -> None:
        """Remove the folders that are empty now."""
        for folder in removal.empty:
            # Before the folders: while these are there, the layout knows the link, and the same `rm` goes on.
            doors = [link for link in self.holdings.doors(root.path, folder) if link in self.seen]
            if doors and _is_bare(folder, removal.empty):
                for link in doors:
                    self._try(root, link)
        for folder in removal.empty:
            # A client fails at a link to nowhere: where one stays, so does what it leads to.
            if not any(map(os.path.lexists, self.holdings.doors(root.path, folder))):
                self._remove_folder(root, folder)

    def _announce(self, root: Root, removal: Removal, locks: Collection[str]) -> dict[str, str]:
        """Journal everything that is going to go; the temporary name of each folder that is renamed away.

        The `locks` that lie in such a folder are ours, though nobody was asked about them.
        """
        backend = self.holdings.backends.get(removal.backend)
        of_copy = removal.whole and backend is not None and not backend.capabilities.cache
        doors = (link for folder in removal.empty for link in self.holdings.doors(removal.root, folder))
        notes = {*removal.records, *removal.inside}
        for path in (*removal.files, *doors):
            seen = self.seen.get(path)
            if seen is not None:
                copy = removal.path if of_copy and within(path, removal.path) else ""
                self.journal.append("remove", **_removed(path, seen, copy, removal, notes).as_record())
        asides = {}
        for folder in removal.folders:
            self._number += 1
            top = self._top(root, folder)
            # What lies behind a link of its own has no other folder to go to.
            aside = removal.aside if within(removal.aside, top) else top
            asides[folder] = os.path.join(aside, f"{TEMPORARY_PREFIX}{self.journal.run}-{self._number}")
            ours = [lock for lock in locks if lock.startswith(os.path.join(folder, ""))]
            told = {"locks": ours} if ours else {}
            self.journal.announce("aside", path=folder, root=top, temporary=asides[folder], **told)
        self.journal.sync()
        return asides

    # -- one path ---------------------------------------------------------------------------------------------------

    def _unlink_all(self, root: Root, paths: Iterable[str]) -> None:
        """Unlink, each folder fsynced; raises at the first that cannot be removed."""
        folders: dict[str, Directory] = {}
        with ExitStack() as held:
            for path in paths:
                directory = self._unlink(root, path)
                if directory is not None:
                    held.callback(directory.close)
                    folders[directory.path] = directory
            for directory in folders.values():
                directory.sync()

    def _unlink(self, root: Root, path: str) -> Directory | None:
        """Unlink `path` if it is what was seen; its directory, open. None where it was gone."""
        seen = self.seen.get(path)
        if seen is not None and seen.text is None and not self._is_within(root, path):
            # A link that reads what goes may lie anywhere; nothing but a link may.
            raise LeftAlone(f"{path} lies outside of {root.path} and is no symlink; it stays")
        try:
            directory, name = Directory.parent_of(self._top(root, path), path)
        except FileNotFoundError:
            return None
        try:
            now = Seen.at(directory, name)
            if now is None:
                directory.close()
                return None
            if now != seen:
                raise LeftAlone(f"{path} is not what it was when you were asked; it stays")
            freed = _last_name(directory, name, path)
            directory.unlink(name)
        except BaseException:
            directory.close()
            raise
        self.freed += freed
        self.removed.append(path)
        self.progress.advance(1)
        return directory

    def _is_within(self, root: Root, path: str) -> bool:
        """Whether a path lies in the root, or in what its layout reaches by a link."""
        return path.startswith(os.path.join(root.path, "")) or self.holdings.shown(path, root.path) != path

    def _top(self, root: Root, path: str) -> str:
        """The root below which a path is changed: the innermost that it lies in, where that is not `root` itself."""
        if path.startswith(os.path.join(root.path, "")):
            return root.path
        other = self.holdings.of_path(path)
        return other.path if other is not None else os.path.dirname(path)

    def _try(self, root: Root, path: str) -> bool:
        try:
            with self.twins.beside(path):
                directory = self._unlink(root, path)
            if directory is not None:
                with directory:
                    directory.sync()
        except (LeftAlone, OSError) as error:
            self._fail(path, errors.describe(error))
            return False
        return True

    def _unneeded(self, root: Root, paths: Sequence[str]) -> bool:
        """Unlink those that nothing needs now; whether that was all of them."""
        if not paths:
            return True
        try:
            needed = self._needed(root, paths)
            reason = "something began to use it meanwhile; it stays"
        except BackendFault as fault:
            needed, reason = set(paths), f"{fault}: nobody can tell whether something uses it; it stays"
        for path in paths:
            if path in needed:
                self._fail(path, reason)
        done = [self._try(root, path) for path in paths if path not in needed]
        return all(done) and not needed

    def _needed(self, root: Root, paths: Sequence[str]) -> set[str]:
        shown = {self.holdings.shown(path, root.path): path for path in paths}
        asked = self.holdings.backend(root).still_needed(root, list(shown), self.holdings.walk(root))
        return {shown.get(path, path) for path in asked}

    def _fail(self, path: str, error: str) -> None:
        self.failed.append(Failed(path, error))

    # -- folders ----------------------------------------------------------------------------------------------------

    def _set_aside(self, root: Root, folder: str, temporary: str, goes: empty.Goes) -> None:
        """Rename a folder out of its layout; back again if it holds what the user was not asked about."""
        try:
            top = self._top(root, folder)
            source, name = Directory.parent_of(top, folder)
        except FileNotFoundError:
            return
        with source, Directory.parent_of(top, temporary)[0] as target:
            if source.lstat_or_none(name) is None:
                return
            new = os.path.basename(temporary)
            source.move(name, target, new)
            strangers = [path for path, seen in below(target, new, folder) if not goes(path, seen)]
            if strangers:
                target.move(new, source, name)
                raise LeftAlone(f"{strangers[0]} was put there meanwhile; the whole revision stays")
            source.sync()
            target.sync()

    def _empty_aside(
        self, root: Root, folder: str, temporary: str, removal: Removal, goes: empty.Goes
    ) -> None:
        own = os.path.join(folder, "")
        gone = [path for path in removal.inside if path.startswith(own)]
        try:
            if not os.path.lexists(temporary):
                return
            freed = measure(temporary + path[len(folder) :] for path in gone)
            emptied = empty.empty(self._top(root, folder), folder, temporary, goes)
        except (LeftAlone, OSError) as error:
            self._fail(folder, errors.describe(error))
            self.stuck = True
            return
        for path in emptied.given_back:
            self._fail(path, "it was put there meanwhile; it stays")
        for path in emptied.stays:
            self._fail(path, f"it was put there meanwhile; it is at {temporary + path[len(folder) :]}")
        gone = [path for path in gone if path not in (*emptied.given_back, *emptied.stays)]
        self.freed += freed + emptied.freed
        self.removed += gone
        self.progress.advance(len(gone))

    def _remove_folder(self, root: Root, folder: str) -> None:
        with suppress(OSError, LeftAlone):  # not empty: somebody's file is in it, and stays
            directory, name = Directory.parent_of(self._top(root, folder), folder)
            with directory:
                blocks = directory.lstat(name).st_blocks * 512
                directory.rmdir(name)
                directory.sync()
                self.freed += blocks


def _alike(removals: Sequence[Removal]) -> Iterator[Sequence[Removal]]:
    """Those that follow each other and are of one root."""
    for _, found in groupby(removals, key=lambda removal: (removal.root, removal.backend)):
        yield list(found)


def _is_bare(top: str, folders: Collection[str]) -> bool:
    """Whether there is nothing at or below `top`, or nothing but these folders: a client fails at a link to nowhere."""
    return all(
        path in folders and not files and not any(os.path.islink(os.path.join(path, name)) for name in below)
        for path, below, files in os.walk(top)
    )


def _removed(path: str, seen: Seen, copy: str, removal: Removal, notes: Collection[str]) -> Removed:
    what = (
        Removed(path, 0, text=seen.text)
        if seen.text is not None
        else Removed(path, seen.size, inode=seen.inode, mtime_ns=seen.mtime_ns)
    )
    if not copy:
        return what
    return replace(what, copy=copy, root=removal.root, backend=removal.backend, note=path in notes)


def _last_name(directory: Directory, name: str, path: str) -> int:
    """What unlinking a file frees: nothing while it has another name."""
    st = directory.lstat(name)
    return max(0, st.st_blocks * 512 - shared_bytes(path, st)) if st.st_nlink == 1 else 0
