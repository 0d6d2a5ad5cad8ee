"""Which links a farm is to have, and what there is to do for that."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold.access import Way, named, readers, shut_out
from hubfold.content import (
    TEMPORARY_PREFIX,
    VAULT,
    IndexedReplica,
    Root,
    Signature,
    Snapshot,
    SnapshotFile,
)
from hubfold.disk import permissions
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import plain, target_of
from hubfold.errors import LeftAlone
from hubfold.models.names import ModelName, Name, UnknownModel, stands_for, unknown
from hubfold.reports.outcomes import Left
from hubfold.vault import links, objects
from hubfold.vault.names import claims_of, object_path, of_object
from hubfold.vault.places import vault_places

if TYPE_CHECKING:
    from hubfold.backend.boundary import GuardedBackend
    from hubfold.index.index import Index


@dataclass(frozen=True, slots=True)
class WantedLink:
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
    add: tuple[WantedLink, ...] = ()
    replace: tuple[tuple[WantedLink, str], ...] = ()
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
    backends: Mapping[str, GuardedBackend],
    *,
    flat: bool = False,
) -> tuple[list[WantedLink], list[Left]]:
    """(the links that a farm at `folder` should have for these snapshots, the files that can have none).

    With `flat` the names are without the model's before them.
    """
    sources = Sources(index, roots, backends)
    wanted: list[WantedLink] = []
    left: list[Left] = []
    for snapshot in snapshots:
        for file in snapshot.files:
            try:
                wanted.append(sources.link(link_name(snapshot, file.name, flat=flat), file))
            except LeftAlone as reason:
                left.append(Left(os.path.join(folder, snapshot.repo_id, file.name), str(reason)))
    return wanted, left


class Sources:
    """Where files of models are read, and what a farm's links to them are made of."""

    def __init__(
        self, index: Index, roots: Mapping[str, Root], backends: Mapping[str, GuardedBackend]
    ) -> None:
        self._index = index
        self._roots = roots
        self._backends = backends
        self.filesystems = FileSystems()

    def content(self, file: SnapshotFile) -> IndexedReplica:
        """The regular file with the content. Raises `LeftAlone` where there is none, or none that was scanned."""
        if file.size is None:
            raise LeftAlone("its content is missing")
        replica = self._index.replica(os.path.realpath(file.path))
        if replica is None:
            raise LeftAlone("its content is in no scanned root")
        return replica

    def link(self, name: str, file: SnapshotFile) -> WantedLink:
        """The link of this name to the file. Raises `LeftAlone` where it can have none."""
        replica = self.content(file)
        source = replica.path
        if replica.backend == VAULT:
            return _link_to(replica, name, source, replica.root, source)
        here = self.filesystems.of(os.path.dirname(source))
        for place in vault_places(self._roots[replica.root], self._backends, self.filesystems):
            target = object_path(place.path, replica.digests)
            if place.writable and place.filesystem.links_to(here) and target is not None:
                if (person := let_in(source, place.way)) is not None:
                    raise LeftAlone(f"{person} could read it in the vault, who cannot now")
                return _link_to(replica, name, source, place.path, target)
        raise LeftAlone(f"there is no place for a vault on the file system of {source}")


def let_in(source: str, new: Way) -> str | None:
    """Somebody who could read a file by a name reached by `new`, and cannot read it where it is (invariant 13)."""
    file, way = permissions.of_path(source), permissions.Ways().to(os.path.dirname(source))
    involved = (file, *way.folders, *new.folders)
    alone = frozenset[tuple[int, int]]().union(*map(permissions.alone, involved))
    person = shut_out(readers(file, new), (readers(file, way),), alone)
    return None if person is None else named(person)


def _link_to(replica: IndexedReplica, name: str, source: str, vault: str, target: str) -> WantedLink:
    return WantedLink(
        name=name,
        source=source,
        source_root=replica.root,
        vault=vault,
        target=target,
        signature=replica.signature,
    )


def compare(
    path: str, wanted: Iterable[WantedLink], left: Iterable[Left], ours: Mapping[str, str] | None = None
) -> FarmPlan:
    """Hold what a farm should have against what is there. Raises `OSError` if the folder cannot be read.

    `ours` are the texts of the links that runs have made there, by their paths, where others lead into a vault too;
    without it, all that do are the farm's.
    """
    add: list[WantedLink] = []
    replace: list[tuple[WantedLink, str]] = []
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
        if stat.S_ISLNK(st.st_mode) and links.points_at(link, item.target):
            keep += 1
            if not os.path.exists(link):
                add.append(item)  # the object is gone, the link stays: making the object again mends it
        elif stat.S_ISLNK(st.st_mode) and _is_ours(link, ours):
            replace.append((item, os.readlink(link)))
        else:
            stays.append(Left(link, "there is a file of somebody else under this name"))
    made = {plain(item.target) for item in (*add, *(item for item, _ in replace))}
    remove = tuple(
        (name, text)
        for name, text in (_links_below(path) if ours is None else _links_of(path, ours))
        if name not in names and not _reads(os.path.join(path, name), made)
    )
    return FarmPlan(
        path=path, add=tuple(add), replace=tuple(replace), keep=keep, remove=remove, left=tuple(stays)
    )


def _reads(link: str, made: Collection[str]) -> bool:
    """Whether a link reads something, or will once the objects of `made` are there."""
    return os.path.exists(link) or target_of(link) in made


def _into_a_vault(link: str) -> bool:
    target = os.path.join(os.path.realpath(os.path.dirname(link)), os.readlink(link))
    return bool(claims_of(os.path.basename(target))) and objects.is_vault(of_object(target))


def _is_ours(link: str, ours: Mapping[str, str] | None) -> bool:
    return _into_a_vault(link) if ours is None else ours.get(link) == os.readlink(link)


def _links_of(path: str, ours: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """As `_links_below`, of those that runs have made."""
    for link, text in sorted(ours.items()):
        if os.path.islink(link) and os.readlink(link) == text:
            yield os.path.relpath(link, path), text


def _links_below(path: str) -> Iterator[tuple[str, str]]:
    """(name, text) of the symlinks into a vault in a farm."""
    for folder, _, files in os.walk(path):
        for name in sorted(files):
            link = os.path.join(folder, name)
            if os.path.islink(link) and _into_a_vault(link):
                yield os.path.relpath(link, path), os.readlink(link)
