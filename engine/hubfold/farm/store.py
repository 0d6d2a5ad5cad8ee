"""What a folder of a program is to have of the models of a cache, and what there is to do for that.

Its backend says under which names and with which notes the program takes a model (`StorageBackend.shown`), and which
links it takes (`Capabilities`). Where it takes a symlink, the folder gets one as any farm does. Where it takes none,
and in a work tree in which git would see it, it gets one more name of the file (a hard link), on the same file system
and of the same owner only. What was linked or noted so is known again by the journals of the runs that did it; whatever
else is there is left alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold.content import IndexedReplica, LinkKind, Root, Signature, Snapshot, SnapshotFile
from hubfold.disk import permissions
from hubfold.disk.directory import Directory
from hubfold.disk.paths import existing
from hubfold.disk.work_trees import WorkTrees
from hubfold.errors import HubfoldError, LeftAlone
from hubfold.farm.plan import FarmPlan, Sources, WantedLink, compare, let_in
from hubfold.journal.on_disk import is_put
from hubfold.journal.records import Put
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Left

if TYPE_CHECKING:
    from hubfold.backend.changes import ShownFile
    from hubfold.backend.contract import Capabilities

FOREIGN = "there is a file of somebody else under this name"
LAST = "it may be the last copy of its content: what it was linked to is gone"


class NothingToGive(HubfoldError):
    """The program has no use for any file of the models, or can be given none."""


@dataclass(frozen=True, slots=True)
class WantedName:
    """A hard link that a folder should have, or, with `content`, a note."""

    #: Relative to the folder.
    name: str
    #: The model that it is of.
    of: str
    #: The regular file with the content, the root it lies in, and what it was when it was scanned.
    source: str = ""
    source_root: str = ""
    signature: Signature | None = None
    content: bytes | None = None

    @property
    def digest(self) -> str:
        """The sha256 of a note, "" of a link."""
        return "" if self.content is None else hashlib.sha256(self.content).hexdigest()

    def is_there(self, path: str, st: os.stat_result) -> bool:
        """Whether what lies at `path` is that already."""
        if not stat.S_ISREG(st.st_mode):
            return False
        if self.signature is not None:
            return (st.st_dev, st.st_ino) == (self.signature.device, self.signature.inode)
        content = self.content or b""
        if st.st_size != len(content):
            return False
        with open(path, "rb") as file:
            return file.read() == content


@dataclass(frozen=True, slots=True)
class StorePlan:
    """What filling or refreshing the folder of a program would do."""

    root: Root
    #: The part of it that are symlinks.
    links: FarmPlan
    add: tuple[WantedName, ...] = ()
    #: What takes the place of something that a run had put there.
    replace: tuple[tuple[WantedName, Put], ...] = ()
    remove: tuple[Put, ...] = ()
    keep: int = 0
    left: tuple[Left, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.add or self.replace or self.remove or self.links.changes)


@dataclass(frozen=True, slots=True)
class Made:
    """What runs have made in a folder and what is as they left it, by path."""

    puts: Mapping[str, Put] = field(default_factory=dict)
    #: The text of each symlink.
    links: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.puts or self.links)


def made_in(root: str, logs: Iterable[RunLog]) -> Made:
    """What these runs, oldest first, have given the folder `root`, and nobody changed since."""
    puts: dict[str, Put] = {}
    links: dict[str, str] = {}
    for log in logs:
        if log.command != "farm" or log.undone:
            continue
        gone = set(log.unlinked)
        links |= {one.path: one.text for one in log.farm_links if one.root == root and one.path not in gone}
        puts |= {one.path: one for one in log.puts if one.root == root and is_as_put(one)}
    return Made(puts, links)


def is_as_put(put: Put) -> bool:
    """Whether its path is what the run put there. What cannot be looked at is not."""
    with suppress(OSError, LeftAlone):
        directory, name = Directory.parent_of(put.root, put.path)
        with directory:
            return is_put(directory, name, put)
    return False


def has_another_name(put: Put) -> bool:
    """Whether the file that was linked to is there, as the very file that lies at the put's path."""
    with suppress(OSError):
        there, here = os.lstat(put.source), os.lstat(put.path)
        return stat.S_ISREG(there.st_mode) and os.path.samestat(there, here)
    return False


@dataclass(slots=True)
class Wanted:
    """What a folder should have, and what it cannot."""

    links: list[WantedLink] = field(default_factory=list)
    names: list[WantedName] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    #: The models that the program was asked about, and those of them of which something is wanted.
    asked: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)


class Chooser:
    """Chooses, for each file that a program is to have, the link that it gets."""

    def __init__(self, root: Root, capabilities: Capabilities, sources: Sources) -> None:
        self._root = root
        self._takes = capabilities
        self._sources = sources
        self._folder = existing(root.path)
        self._here = sources.filesystems.of(self._folder)
        self._owner = os.stat(self._folder).st_uid
        self._in_work_tree = WorkTrees().hold(self._folder) and not capabilities.ignored_by_git
        self._ways = permissions.Ways()
        #: By name: the model that has it, and what it is.
        self._taken: dict[str, tuple[str, object]] = {}
        self.wanted = Wanted()

    def model(self, snapshot: Snapshot, shown: Sequence[ShownFile]) -> None:
        """Add what the program shows of one model. One of which a file cannot be had gets no note of it."""
        of = f"{snapshot.repo_type} {snapshot.repo_id}"
        files = {file.name: file for file in snapshot.files}
        whole = True
        self.wanted.asked.add(of)
        for one in sorted(shown, key=lambda one: one.content is not None):
            if one.content is not None and not whole:
                continue
            try:
                if one.content is not None:
                    self._note(one.name, of, os.fsencode(one.content))
                else:
                    self._file(one.name, of, files[one.file])
                self.wanted.models.add(of)
            except (LeftAlone, OSError) as reason:
                whole = False
                self.wanted.left.append(Left(os.path.join(self._root.path, one.name), str(reason)))

    def _is_taken(self, name: str, what: object) -> bool:
        """Whether another model has just that there already. Raises `LeftAlone` where it has something else."""
        other, there = self._taken.get(name, ("", what))
        if there != what:
            raise LeftAlone(f"{other.partition(' ')[2]} has another file of this name there")
        return name in self._taken

    def _note(self, name: str, of: str, content: bytes) -> None:
        if not self._is_taken(name, content):
            self.wanted.names.append(WantedName(name, of, content=content))
            self._taken[name] = of, content

    def _file(self, name: str, of: str, file: SnapshotFile) -> None:
        replica = self._sources.content(file)
        # Of two files of one content that are not folded yet, either will do.
        what = replica.digests.get("sha256") or replica.signature
        if not self._is_taken(name, what):
            self._link(name, of, file, replica)
            self._taken[name] = of, what

    def _link(self, name: str, of: str, file: SnapshotFile, replica: IndexedReplica) -> None:
        there = self._sources.filesystems.of(os.path.dirname(replica.path))
        together = self._here.links_to(there)
        kinds = self._takes.links if together else self._takes.links_across
        if self._in_work_tree:
            # There git sees a symlink, and takes it away.
            kinds -= {LinkKind.SYMLINK}
        if LinkKind.SYMLINK in kinds:
            self.wanted.links.append(self._sources.link(name, file))
        elif together and LinkKind.HARDLINK in kinds:
            self._check(name, replica.path, replica.uid)
            self.wanted.names.append(
                WantedName(name, of, replica.path, replica.root, signature=replica.signature)
            )
        elif together:
            raise LeftAlone(f"{self._root.backend} takes no link in place of a file")
        else:
            where = "a git work tree" if self._in_work_tree else self._root.backend
            raise LeftAlone(
                f"it is on another file system ({there.mount}), and {where} takes no symlink: name a folder there"
            )

    def _check(self, name: str, source: str, uid: int) -> None:
        """Raise `LeftAlone` where the file must not have a name there (invariant 13)."""
        if uid != self._owner:
            raise LeftAlone(
                f"it belongs to user {uid} and the folder to user {self._owner}: that needs a copy of its own"
            )
        way = self._ways.to_new(os.path.dirname(os.path.join(self._root.path, name)), self._folder)
        if (person := let_in(source, way)) is not None:
            raise LeftAlone(f"{person} could read it there, who cannot now")


def plan(root: Root, wanted: Wanted, made: Made, *, only: Collection[str] | None) -> StorePlan:
    """Hold what a folder should have against what is there; what is there of other models than `only` stays."""
    links = compare(root.path, wanted.links, (), made.links)
    stays = [*wanted.left]
    add: list[WantedName] = []
    replace: list[tuple[WantedName, Put]] = []
    keep = links.keep
    paths = {os.path.join(root.path, item.name) for item in wanted.names}
    paths |= {os.path.join(root.path, item.name) for item in wanted.links}
    for item in wanted.names:
        path = os.path.join(root.path, item.name)
        try:
            st = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            add.append(item)
            continue
        if item.is_there(path, st):
            keep += 1
        elif path in made.puts:
            replace.append((item, made.puts[path]))
        else:
            stays.append(Left(path, FOREIGN))
    # What could not be judged now is no reason to take away what is there.
    paths |= {left.path for left in stays}
    remove = [
        put for path, put in made.puts.items() if path not in paths and (only is None or put.of in only)
    ]
    last = [
        put for put in (*(put for _, put in replace), *remove) if put.source and not has_another_name(put)
    ]
    stays += [Left(put.path, LAST) for put in last]
    held = {put.of for put in last}
    return StorePlan(
        root=root,
        links=links,
        add=tuple(add),
        replace=tuple((item, put) for item, put in replace if put.of not in held),
        # Notes first: nothing that a program reads tells of a file that is gone.
        remove=tuple(sorted((put for put in remove if put.of not in held), key=lambda put: bool(put.source))),
        keep=keep,
        left=(*stays, *links.left),
    )
