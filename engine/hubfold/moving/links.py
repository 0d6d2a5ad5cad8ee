"""The links that take the place of what was moved: which files they replace, and the plan that makes them.

The plan is the planner's own, with the copy as the one keeper. Before there is a copy, one is foreseen: the file that
the move would make, as it would be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold.access import Permissions
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, LinkKind, Root, Signature, Trust
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import existing, within
from hubfold.disk.permissions import Ways
from hubfold.errors import LeftAlone
from hubfold.folding import planner
from hubfold.folding.followers import Around, Follower, as_links, as_names
from hubfold.folding.plan import Action, Plan, Skip
from hubfold.folding.planner import Surroundings

#: Every name of a payload that the scans met, by device, inode and size.
Names = Callable[[int, int, int], Sequence[IndexedReplica]]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file that is to become a link: its names, and the path in the target that has its content then.

    The vault `objects` that are names of it go, once the links that read them (`followers`, names too) are led to the
    copy. Where that cannot be, `stays` says why: they keep its bytes where they are.
    """

    names: tuple[IndexedReplica, ...]
    copy: str
    objects: tuple[str, ...] = ()
    followers: tuple[Follower, ...] = ()
    stays: str = ""


def leaving(
    contents: Mapping[str, str],
    home: str,
    min_size: int,
    replica: Callable[[str], IndexedReplica | None],
    names: Names,
    around: Around | None,
) -> list[Leaving]:
    """The files of a model, in its folder `home`, that are to become links; `contents` are (path, that of its copy).

    Content that lies elsewhere already (a link stands in its place) is none of them. What `around` sees is led to the
    copies; without it no link is, and a file that a vault holds stays.
    """
    found: dict[tuple[int, int], Leaving] = {}
    for path, copy in contents.items():
        real = os.path.realpath(path)
        known = replica(real) if within(real, home) else None
        if known is None or known.signature.size < min_size:
            continue
        others = [one for one in names(*known.payload, known.signature.size) if one.path != real]
        found.setdefault(known.payload, _leaving((known, *others), copy, around))
    return list(found.values())


def _leaving(names: Sequence[IndexedReplica], copy: str, around: Around | None) -> Leaving:
    own = tuple(one for one in names if one.backend != VAULT)
    objects = tuple(one.path for one in names if one.backend == VAULT)
    if not objects:
        return Leaving(own, copy)
    if around is None:
        return Leaving(own, copy, stays=f"{objects[0]} keeps its bytes where they are")
    try:
        found = tuple(one for object_ in objects for one in around.followers(object_))
    except LeftAlone as error:
        return Leaving(own, copy, stays=f"nothing would be freed: {error}")
    return Leaving(as_names(own, found, len(objects)), copy, objects, found)


def held_alone(objects: Sequence[IndexedReplica], target: str, around: Around) -> Leaving | None:
    """Content that only these objects of a vault have, with the links to it; None where no link needs them.

    Its copy is to be an object itself, of a vault for `target`. Raises `LeftAlone` where a link cannot follow.
    """
    found = tuple(one for object_ in objects for one in around.followers(object_.path))
    copy = os.path.join(target, os.path.basename(objects[0].path))
    paths = tuple(one.path for one in objects)
    return Leaving(as_links(objects, found), copy, paths, found) if found else None


def plan(
    files: Sequence[Leaving],
    home: str,
    target: Root,
    around: Callable[[Sequence[DuplicateSet]], Surroundings],
    *,
    replica: Callable[[str], IndexedReplica | None],
    names: Names,
) -> Plan:
    """The links in place of `files`, each to its copy in `target`; a copy that is not there is foreseen."""
    sets: list[DuplicateSet] = []
    foreseen = _Foreseen(target)
    stuck = [Skip(file.names[0].path, file.stays) for file in files if file.stays]
    folders = {one.folder for file in files for one in file.names}
    for file in files:
        if file.stays:
            continue
        copy = replica(os.path.realpath(file.copy))
        victim = file.names[0]
        if copy is not None and copy.payload == victim.payload:
            continue
        alone = len(file.followers) == len(file.names)
        kept = [foreseen.of(victim, file.copy, victim.mode if alone else 0o644)]
        if copy is not None:
            others = names(*copy.payload, copy.signature.size)
            kept = [copy, *(one for one in others if one.path != copy.path)]
        sets.append(_set(file.names, kept))
    known = around([_set(one.replicas, ()) for one in _there(sets)])
    policy = planner.Policy(into=target.path, below=(home, *sorted(folders)))
    found = planner.plan(sets, policy, foreseen.added(known))
    return _following(files, replace(found, skipped=(*found.skipped, *stuck)))


def _set(names: Sequence[IndexedReplica], kept: Sequence[IndexedReplica]) -> DuplicateSet:
    return DuplicateSet(names[0].signature.size, names[0].digests, Trust.CLAIMED, (*names, *kept))


def _there(sets: Iterable[DuplicateSet]) -> Iterable[DuplicateSet]:
    """The sets without what is only foreseen."""
    for one in sets:
        found = tuple(replica for replica in one.replicas if replica.signature.inode > 0)
        yield one._replace(replicas=found)


@dataclass(slots=True)
class _Foreseen:
    """Files that are not there yet, with what is around them."""

    target: Root
    _filesystems: FileSystems = field(default_factory=FileSystems)
    _ways: Ways = field(default_factory=Ways)
    _files: list[IndexedReplica] = field(default_factory=list)

    def of(self, victim: IndexedReplica, path: str, mode: int = 0o644) -> IndexedReplica:
        """The copy of `victim` at `path`, as the move would make it."""
        here = os.stat(existing(self.target.path))
        uid, gid = (here.st_uid, here.st_gid) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        size, mtime_ns = victim.signature.size, victim.signature.mtime_ns
        made = victim._replace(
            path=path,
            root=self.target.path,
            backend=self.target.backend,
            # No file has such a number: it tells what is foreseen from what is there.
            signature=Signature(here.st_dev, -len(self._files) - 1, size, mtime_ns, 0),
            nlink=1,
            mode=mode,
            uid=uid,
            gid=gid,
            computed={},
            pinned=False,
        )
        self._files.append(made)
        return made

    def added(self, around: Surroundings) -> Surroundings:
        """What is around the files that are there, and around these."""
        folders = {one.folder for one in self._files}
        return replace(
            around,
            filesystems={**around.filesystems, **{one: self._filesystems.at(one) for one in folders}},
            ways={
                **around.ways,
                **{one: self._ways.to_new(one, existing(self.target.path)) for one in folders},
            },
            files={
                **around.files,
                **{
                    one.payload: Permissions.of(one.uid, one.gid, one.mode, path=one.path)
                    for one in self._files
                },
            },
        )


@dataclass(frozen=True, slots=True)
class HeldAlone:
    """Content that only a vault has, and the plan that leads the links to it to a copy."""

    vault: str
    file: Leaving
    links: Plan
    #: Whether it is one file with its copy: one file system has both.
    shared: bool

    @property
    def size(self) -> int:
        return self.file.names[0].signature.size

    @property
    def copied(self) -> int:
        """What has to be written."""
        return (
            0
            if self.shared or any(os.path.lexists(action.target) for action in self.links.actions)
            else self.size
        )

    @property
    def frees(self) -> int:
        return 0 if self.shared else self.file.names[0].allocated


@dataclass(frozen=True, slots=True)
class Lead:
    """A file whose vault objects are to go, and what is done about each link that reads them."""

    file: Leaving
    links: Mapping[Follower, Action]


def apart(files: Iterable[Leaving], found: Plan) -> tuple[Plan, list[Lead]]:
    """(the plan for what is no link yet, what is led to the copies before)."""
    by_path = {action.path: action for action in found.actions}
    leads = []
    for file in files:
        planned = [by_path[name.path] for name in file.names if name.path in by_path]
        led = {one: by_path[one.link] for one in file.followers if one.link in by_path}
        if file.objects and any(action.link is not LinkKind.REFLINK for action in planned):
            leads.append(Lead(file, led))
    links = {one.link for file in files for one in file.followers}
    return replace(found, actions=tuple(a for a in found.actions if a.path not in links)), leads


def _following(files: Iterable[Leaving], found: Plan) -> Plan:
    """The plan as far as links that are links already can follow: only by another text, and all of a file's or none.

    Shared extents leave every name what it is.
    """
    stuck: dict[str, str] = {}
    real: dict[str, IndexedReplica] = {}
    by_path = {action.path: action for action in found.actions}
    for file in files:
        reflink = any(
            name.path in by_path and by_path[name.path].link is LinkKind.REFLINK for name in file.names
        )
        real |= {one.link: file.names[0] for one in file.followers if reflink}
        cannot = [
            one.link
            for one in file.followers
            if one.link in by_path and by_path[one.link].link is LinkKind.HARDLINK
        ]
        if cannot:
            reason = (
                f"nothing would be freed: {cannot[0]} reads it, and could only be one file with the copy"
                " (`hubfold undo` of the run that made it gives it a file)"
            )
            stuck |= {name.path: reason for name in file.names}
    actions = [action for action in found.actions if action.path not in stuck]
    actions = [
        action._replace(victim=real.get(action.path, action.victim), instead=())
        if action.path in real
        else action
        for action in actions
    ]
    links = {one.link for file in files for one in file.followers}
    skipped = [Skip(path, reason) for path, reason in stuck.items() if path not in links]
    return replace(found, actions=tuple(actions), skipped=(*found.skipped, *skipped))


def stuck(found: Plan) -> str:
    """Why nothing of a model would be freed, in the words of the planner; "" where it does not say."""
    return next((skip.reason for skip in found.skipped), "")
