"""What the user has: roots, their backends, their vaults, and the models in them, by the names that people type."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import IndexedReplica, Root, Snapshot, SnapshotFile
from hubfold.disk.paths import RealPaths, why_not_a_folder, within
from hubfold.errors import HubfoldError, UsageError
from hubfold.faults import BackendFault
from hubfold.models.names import Name, stands_for
from hubfold.progress import Progress, Silent, Stop
from hubfold.reports.outcomes import Notice
from hubfold.scanning.reached import Reached, links, lock_paths, reached_from, real, shown, with_reached
from hubfold.scanning.walk import Shared, TreeWalk
from hubfold.vault import objects as vault
from hubfold.vault.links import links_below, object_named
from hubfold.vault.need import Here

if TYPE_CHECKING:
    from hubfold.backend.changes import Leftover, ModelPart, Removal

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


_AWAY = "is away: its drive is not there; told as the last scan saw it"


class HeldRevision(NamedTuple):
    """One revision and the root that holds it."""

    root: Root
    snapshot: Snapshot

    @property
    def name(self) -> Name:
        return Name(self.snapshot.repo_type, self.snapshot.repo_id)


class Links:
    """Symlinks by what they point at, one hop (see `vault/links.links_below`)."""

    def __init__(self, links: Iterable[tuple[str, str]]) -> None:
        self._by_target = sorted({(target, link) for link, target in links})
        self._by_object: dict[str, list[str]] = {}
        for target, link in self._by_target:
            if name := object_named(target):
                self._by_object.setdefault(name, []).append(link)

    def naming(self, object_: str) -> list[str]:
        """The links to this vault object, wherever the vault was when they were made."""
        return self._by_object.get(os.path.basename(object_), [])

    def to(self, target: str) -> list[str]:
        """The links that point right at it."""
        return [link for _, link in self._from(target, lambda found: found == target)]

    def into(self, folder: str) -> list[tuple[str, str]]:
        """(link, target) of the links that point at a folder, or at anything in it."""
        below = os.path.join(folder, "")
        found = [(folder, link) for link in self.to(folder)]
        found += self._from(below, lambda target: target.startswith(below))
        return sorted((link, target) for target, link in found)

    def _from(self, first: str, fits: Callable[[str], bool]) -> Iterable[tuple[str, str]]:
        start = bisect.bisect_left(self._by_target, (first, ""))
        # By number: `islice` goes through all that it skips, which is squared time for the models of a large cache.
        found = (self._by_target[n] for n in range(start, len(self._by_target)))
        return itertools.takewhile(lambda one: fits(one[0]), found)


@dataclass(frozen=True, slots=True)
class Beyond:
    """What is to be known besides the roots: the vaults, what this machine can see of their links, and further folders
    that are not asked, but may need what lies in the roots."""

    vaults: Callable[[], Sequence[str]] = tuple
    here: Callable[[], Here] = Here.now
    unasked: Sequence[str] = ()
    #: Whether the drive of a root is away though there is a folder at its path.
    away: Callable[[str], bool] = lambda path: False
    #: Who else is known to have the content of a file.
    same: Callable[[str, os.stat_result], Sequence[IndexedReplica]] = lambda path, st: ()


_NOTHING = Beyond()


class Holdings:
    """What the roots hold, looked at once for an operation, when it first asks: one walk of each root tells all.

    A root whose drive is away, whose backend is not loaded or whose plugin fails is left out, with a warning; what lies
    in it counts all the same where it may need what lies elsewhere (`links`, `of_path`).
    """

    def __init__(
        self,
        roots: Sequence[Root],
        backends: Mapping[str, GuardedBackend],
        beyond: Beyond = _NOTHING,
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.backends = backends
        self._given = tuple(roots)
        self._beyond = beyond
        self._progress = progress or Silent()
        self._stop = Stop() if stop is None else stop
        self._commits: dict[str, tuple[str, str]] = {}
        self._left_out: set[str] = set()
        self._failed: list[Notice] = []
        self._whole: dict[str, _Whole | None] = {}
        self._walks: dict[str, TreeWalk] = {}

    def same(self, path: str, st: os.stat_result) -> Sequence[IndexedReplica]:
        """Every name with the content of a file, as far as the last scans met one."""
        return self._beyond.same(path, st)

    # roots

    @cached_property
    def here(self) -> Here:
        """What this machine can see of the links that vault objects are kept for."""
        return self._beyond.here()

    @property
    def roots(self) -> tuple[Root, ...]:
        """The roots that were given, and those that lie in them, whether they could be asked or not."""
        return self._seen.roots

    @property
    def usable(self) -> tuple[Root, ...]:
        """The roots that have answered all they were asked so far."""
        return tuple(root for root in self._seen.asked if root.path not in self._left_out)

    @property
    def away(self) -> tuple[Root, ...]:
        """The roots that are not there now."""
        return self._seen.away

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What the user should know of the walks, and of plugins that failed since."""
        return (*self._seen.warnings, *self._failed)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Folders and files that the walks were refused: a model may lie there."""
        return self._seen.unreadable

    @contextmanager
    def leaving_out(self, root: Root) -> Iterator[None]:
        """A fault of the root's plugin ends the block, and the root is not asked again."""
        try:
            yield
        except BackendFault as fault:
            self._left_out.add(root.path)
            self._failed.append(Notice.of(fault.fault))

    def root_at(self, path: str) -> Root | None:
        """The root at `path`. Looks at no disk for one that was given."""
        return next((root for root in self._given if root.path == path), None) or next(
            (root for root in self.roots if root.path == path), None
        )

    def parts(self, held: HeldRevision) -> Sequence[ModelPart]:
        """What a revision is made of. One walk for all of a root: what one took to find out serves the next ones."""
        root = held.root
        walk = self._walks.get(root.path) or self._walks.setdefault(root.path, self.walk(root))
        return self.backend(root).parts(root, held.snapshot, walk)

    def walk(self, root: Root) -> TreeWalk:
        """A fresh walk, which sees what is there now."""
        return TreeWalk(
            root,
            self.backends,
            Shared(commits=self._commits, linked=links(self.reached)),
            boundaries=[other.path for other in self.roots if other.path != root.path],
        )

    @property
    def reached(self) -> Sequence[Reached]:
        """The links by which layouts reach folders elsewhere."""
        return self._seen.reached

    def real(self, path: str, root: str) -> str:
        """A path through a link of the layout of `root` as the path that it is changed by; any other as it is."""
        return real(path, [one for one in self.reached if one.owner.path == root])

    def top(self, path: str, root: str) -> str | None:
        """The root below which a path of `root`'s is changed; None where it lies neither there nor behind a link."""
        if within(path, root):
            return root
        behind = any(one.owner.path == root and within(path, one.folder) for one in self.reached)
        found = self.of_path(path) if behind else None
        return found.path if found is not None else None

    def shown(self, path: str, root: str) -> str:
        """A path that lies behind a link of the layout of `root`, by the path through the link; any other as it is."""
        return shown(path, root, self.reached)

    def doors(self, root: str, folder: str) -> list[str]:
        """The links of the layout of `root` that lead right to `folder`."""
        return [one.link for one in self._doors.get((root, folder), ())]

    @cached_property
    def _doors(self) -> Mapping[tuple[str, str], list[Reached]]:
        # Asked for each folder of each model: never to be sought among all links.
        return _grouped(self.reached, lambda one: (one.owner.path, one.folder))

    def lies_at(self, held: HeldRevision) -> str:
        """The folder of a revision, free of symlinks of its layout."""
        links = (one for one in self.reached if one.owner.path == held.root.path)
        return real(held.snapshot.path, links)

    def home_of(self, held: HeldRevision) -> str:
        """What tells the model from others of its root, free of symlinks of its layout."""
        links = (one for one in self.reached if one.owner.path == held.root.path)
        return real(held.snapshot.home or held.snapshot.path, links)

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        """The locks of everybody who may replace `path`. Raises `BackendFault`."""
        return lock_paths(root, path, self.reached, self.backends)

    def backend(self, root: Root) -> GuardedBackend:
        return self.backends[root.backend]

    def is_cache(self, root: Root) -> bool:
        """Whether programs fetch from the root; False where nobody can tell."""
        return root.backend in self.backends and self.backends[root.backend].capabilities.cache

    def of_path(self, path: str) -> Root | None:
        """The innermost root that `path` lies in."""
        inside = [root for root in self.roots if path.startswith(os.path.join(root.path, ""))]
        return max(inside, key=lambda root: len(root.path), default=None)

    # models

    def held(self) -> tuple[HeldRevision, ...]:
        """Every revision in every root that could be asked, root by root."""
        return self._seen.held

    @cached_property
    def by_name(self) -> Mapping[Name, Sequence[HeldRevision]]:
        """The revisions by what they are called; those of which nobody knows that have an empty repo id."""
        return _grouped(self.held(), lambda one: one.name)

    @cached_property
    def by_home(self) -> Mapping[str, Sequence[HeldRevision]]:
        """The revisions by the folder of their model, as a `ModelPlace` has it."""
        return _grouped(self.held(), lambda one: one.snapshot.home or one.snapshot.path)

    def at(self, folder: str) -> Sequence[HeldRevision]:
        """The revisions that programs are given at this folder."""
        return self._by_folder.get(folder, ())

    @cached_property
    def _by_folder(self) -> Mapping[str, Sequence[HeldRevision]]:
        return _grouped(self.held(), lambda one: one.snapshot.path)

    def removals(self, root: Root, name: Name, commits: Collection[str] | None = None) -> Sequence[Removal]:
        """What has to go of a model in a root, of it only `commits` where there are some. Raises `BackendFault`.

        Asked about whole models, a layout that can tell of all of them at once is asked once.
        """
        if commits is None and name in self.by_name:
            whole = self._whole_of(root)
            if whole is not None:
                return whole.by_name.get(name, ())
            if all(one.root.path != root.path for one in self.by_name[name]):
                return ()
        found = self.backend(root).removals(root, name.repo_type, name.repo_id, commits, self.walk(root))
        return [self._lying(removal) for removal in found]

    def leftovers(self, root: Root) -> Sequence[Leftover]:
        """What programs left behind in a root. Raises `BackendFault`."""
        found = self.backend(root).leftovers(root, self.walk(root))
        return [replace(one, removal=self._lying(one.removal)) for one in found]

    def _lying(self, removal: Removal) -> Removal:
        """The same, with what lies behind a link by the path that it is changed by."""
        links = [one for one in self.reached if one.owner.path == removal.root]
        return removal.moved(lambda path: real(path, links)) if links else removal

    def removals_at(self, root: Root, name: Name, folder: str) -> Sequence[Removal]:
        """Those of `removals` that are about the model at `folder`. Raises `BackendFault`."""
        whole = self._whole_of(root)
        found = self.removals(root, name) if whole is None else whole.by_folder.get(folder, ())
        return [one for one in found if one.path == folder and Name(one.repo_type, one.repo_id) == name]

    def _whole_of(self, root: Root) -> _Whole | None:
        if root.path not in self._whole:
            found = self.backend(root).all_removals(root, self.walk(root))
            self._whole[root.path] = None if found is None else _Whole.of([self._lying(one) for one in found])
        return self._whole[root.path]

    def reading(self, path: str) -> Sequence[tuple[HeldRevision, SnapshotFile]]:
        """The files of models that read what is at `path`, which is free of symlinks, whether it is there or not."""
        return self._readers.get(path, ())

    @cached_property
    def _readers(self) -> Mapping[str, Sequence[tuple[HeldRevision, SnapshotFile]]]:
        found: dict[str, list[tuple[HeldRevision, SnapshotFile]]] = {}
        resolved = RealPaths()
        for one in self.held():
            for file in one.snapshot.files:
                found.setdefault(resolved.of(file.path), []).append((one, file))
        return found

    # what may need content that lies elsewhere

    @cached_property
    def links(self) -> Links:
        """Every symlink below the roots, those that could not be asked among them."""
        return Links(links_below([*(root.path for root in self.roots), *self._beyond.unasked]))

    @cached_property
    def vaults(self) -> tuple[str, ...]:
        return tuple(self._beyond.vaults())

    @cached_property
    def objects(self) -> Mapping[tuple[int, int], Sequence[str]]:
        """The objects of the vaults by device and inode."""
        found: dict[tuple[int, int], list[str]] = {}
        for path in self.vaults:
            for object_ in vault.objects(path):
                st = os.lstat(object_)
                found.setdefault((st.st_dev, st.st_ino), []).append(object_)
        return found

    # the walk

    @cached_property
    def _seen(self) -> _Seen:
        gone = [root for root in self._given if self._beyond.away(root.path)]
        there = [root for root in self._given if root not in gone]
        walks = _Walks(there, self.backends, self._commits, self._progress, self._stop)
        walks.run()
        self._left_out |= walks.left_out
        held = tuple(one._replace(snapshot=self._named(one.snapshot)) for one in walks.held)
        away = {root.path for root in walks.away}
        asked = (root for root in walks.roots if root.backend in self.backends and root.path not in away)
        return _Seen(
            roots=(*walks.roots, *gone),
            asked=tuple(asked),
            away=(*walks.away, *gone),
            held=held,
            warnings=(*walks.warnings, *(Notice(root.path, _AWAY) for root in gone)),
            unreadable=tuple(sorted(walks.unreadable)),
            reached=tuple(walks.reached),
        )

    def _named(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with its repo id, which a cache that was asked later may have told."""
        if snapshot.repo_id or snapshot.revision not in self._commits:
            return snapshot
        repo_id, repo_type = self._commits[snapshot.revision]
        return replace(snapshot, repo_id=repo_id, repo_type=repo_type)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the walk of all roots told."""

    roots: tuple[Root, ...]
    asked: tuple[Root, ...]
    away: tuple[Root, ...]
    held: tuple[HeldRevision, ...]
    warnings: tuple[Notice, ...]
    unreadable: tuple[str, ...]
    reached: tuple[Reached, ...]


class _Walks:
    """Asks root after root for its models; roots that are found on the way join the end."""

    def __init__(
        self,
        roots: Sequence[Root],
        backends: Mapping[str, GuardedBackend],
        commits: dict[str, tuple[str, str]],
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.reached = reached_from(roots, backends)
        self.roots = with_reached(roots, self.reached)
        self.held: list[HeldRevision] = []
        self.away: list[Root] = []
        self.left_out: set[str] = set()
        self.unreadable: set[str] = set()
        self.warnings: list[Notice] = []
        self._backends = backends
        self._progress = progress
        linked = links(self.reached)
        self._shared = Shared(self._found, commits, linked, advance=progress.advance, stop=stop)
        self._known = {root.path for root in self.roots}

    def run(self) -> None:
        self._progress.start("looking for models", None, "files")
        try:
            for root in self.roots:
                self._ask(root)
        finally:
            self._progress.finish()

    def _ask(self, root: Root) -> None:
        if root.backend not in self._backends:
            self.warnings.append(Notice(root.path, f"its backend {root.backend!r} is not loaded: left out"))
            return
        if not os.path.isdir(root.path) and not isinstance(why_not_a_folder(root.path), PermissionError):
            self.away.append(root)
            self.warnings.append(
                Notice(root.path, "is not there (is its drive connected?): told as the last scan saw it")
            )
            return
        walk = TreeWalk(
            root,
            self._backends,
            self._shared,
            boundaries=self._known,
        )
        try:
            snapshots = self._backends[root.backend].snapshots(root, walk)
            self.held += [HeldRevision(root, snapshot) for snapshot in snapshots]
        except BackendFault as fault:
            self.left_out.add(root.path)
            self.warnings.append(Notice.of(fault.fault))
        self.warnings += walk.warnings
        self.unreadable |= walk.failed

    def _found(self, backend: str, path: str) -> None:
        path = os.path.realpath(path)
        if path not in self._known:
            self.roots.append(Root(path, backend))
            self.reached += reached_from(self.roots[-1:], self._backends)
            self._shared.linked.update(links(self.reached))
            # In place: the roots are being gone through.
            self.roots[:] = with_reached(self.roots, self.reached)
            self._known |= {root.path for root in self.roots}


@dataclass(frozen=True, slots=True)
class _Whole:
    """What has to go of every model of a root."""

    by_name: Mapping[Name, Sequence[Removal]]
    by_folder: Mapping[str, Sequence[Removal]]

    @classmethod
    def of(cls, removals: Sequence[Removal]) -> _Whole:
        return cls(
            _grouped(removals, lambda one: Name(one.repo_type, one.repo_id)),
            _grouped(removals, lambda one: one.path),
        )


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    found: dict[_Key, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def resolve(held: Iterable[HeldRevision], revision: str | None) -> list[str]:
    """The commits among `held` that `revision` stands for: a ref, a commit, or the first digits of one.

    Raises `HubfoldError` where it stands for none, `UsageError` where the digits fit several.
    """
    snapshots = [one.snapshot for one in held]
    commits = sorted({snapshot.revision for snapshot in snapshots})
    if revision is None:
        return commits
    exact = sorted({s.revision for s in snapshots if revision in (s.revision, *s.refs)})
    if exact:
        return exact
    starts = [commit for commit in commits if stands_for(revision, commit, ())]
    if len(starts) > 1:
        raise UsageError(f"{revision!r} fits several revisions: {', '.join(starts)}", "give more digits")
    if not starts:
        known = sorted({ref for s in snapshots for ref in s.refs} | set(commits))
        raise HubfoldError(f"no revision {revision!r} is there", f"there are: {', '.join(known)}")
    return starts
