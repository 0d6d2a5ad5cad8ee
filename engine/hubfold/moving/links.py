"""The links that take the place of what was moved: which files they replace, and the plan that makes them.

The plan is the planner's own, with the copy as the one keeper. Before there is a copy, one is foreseen: the file that
the move would make, as it would be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold.access import Permissions
from hubfold.content import DuplicateSet, IndexedReplica, Root, Signature, Trust
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import existing, within
from hubfold.disk.permissions import Ways
from hubfold.folding import planner
from hubfold.folding.plan import Plan
from hubfold.folding.planner import Surroundings

#: Every name of a payload that the scans met, by device, inode and size.
Names = Callable[[int, int, int], Sequence[IndexedReplica]]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file that is to become a link: its names, and the path in the target that has its content then."""

    names: tuple[IndexedReplica, ...]
    copy: str


def leaving(
    contents: Mapping[str, str],
    home: str,
    min_size: int,
    replica: Callable[[str], IndexedReplica | None],
    names: Names,
) -> list[Leaving]:
    """The files of a model, in its folder `home`, that are to become links; `contents` are (path, that of its copy).

    Content that lies elsewhere already (a link stands in its place) is none of them.
    """
    found: dict[tuple[int, int], Leaving] = {}
    for path, copy in contents.items():
        real = os.path.realpath(path)
        known = replica(real) if within(real, home) else None
        if known is None or known.signature.size < min_size:
            continue
        others = [one for one in names(*known.payload, known.signature.size) if one.path != real]
        found.setdefault(known.payload, Leaving((known, *others), copy))
    return list(found.values())


def plan(
    files: Iterable[Leaving],
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
    for file in files:
        copy = replica(os.path.realpath(file.copy))
        victim = file.names[0]
        if copy is not None and copy.payload == victim.payload:
            continue
        kept = [foreseen.of(victim, file.copy)]
        if copy is not None:
            others = names(*copy.payload, copy.signature.size)
            kept = [copy, *(one for one in others if one.path != copy.path)]
        sets.append(_set(file.names, kept))
    known = around([_set(one.replicas, ()) for one in _there(sets)])
    return planner.plan(sets, planner.Policy(into=target.path, below=(home,)), foreseen.added(known))


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

    def of(self, victim: IndexedReplica, path: str) -> IndexedReplica:
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
            mode=0o644,
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


def stuck(found: Plan) -> str:
    """Why nothing of a model would be freed, in the words of the planner; "" where it does not say."""
    return next((skip.reason for skip in found.skipped), "")
