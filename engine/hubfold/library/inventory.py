"""What the user has: roots, their backends, their vaults, and the models in them, by the names that people type."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hubfold.backend.contract import StorageBackend
from hubfold.content import Root, Snapshot
from hubfold.errors import HubfoldError, UsageError
from hubfold.models.names import Name, stands_for
from hubfold.scanning.walk import TreeWalk
from hubfold.vault import objects as vault
from hubfold.vault.links import links_below


@dataclass(frozen=True, slots=True)
class HeldRevision:
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
        return itertools.takewhile(lambda one: fits(one[0]), itertools.islice(self._by_target, start, None))


class Holdings:
    """The roots that an operation on models works on, looked at once for it, when it first asks."""

    def __init__(
        self, roots: Sequence[Root], backends: Mapping[str, StorageBackend], vaults: Sequence[str]
    ) -> None:
        self._given = tuple(root for root in roots if root.backend in backends)
        self.backends = backends
        self.vaults = tuple(vaults)
        self._commits: dict[str, tuple[str, str]] = {}

    @property
    def roots(self) -> tuple[Root, ...]:
        """The roots that were given, and those that lie in them."""
        return self._seen[0]

    def root_at(self, path: str) -> Root | None:
        """The root at `path`. Looks at no disk for one that was given."""
        return next((root for root in self._given if root.path == path), None) or next(
            (root for root in self.roots if root.path == path), None
        )

    def walk(self, root: Root) -> TreeWalk:
        """A fresh walk: one shows each folder once."""
        return TreeWalk(
            root,
            self.backends,
            boundaries=[other.path for other in self.roots if other.path != root.path],
            commits=self._commits,
        )

    def backend(self, root: Root) -> StorageBackend:
        return self.backends[root.backend]

    def of_path(self, path: str) -> Root | None:
        """The innermost root that `path` lies in."""
        inside = [root for root in self.roots if path.startswith(os.path.join(root.path, ""))]
        return max(inside, key=lambda root: len(root.path), default=None)

    def held(self) -> tuple[HeldRevision, ...]:
        """Every revision in every root."""
        return self._seen[1]

    @cached_property
    def links(self) -> Links:
        """Every symlink below the roots."""
        return Links(links_below([root.path for root in self.roots]))

    @cached_property
    def objects(self) -> Mapping[tuple[int, int], Sequence[str]]:
        """The objects of the vaults by device and inode."""
        found: dict[tuple[int, int], list[str]] = {}
        for path in self.vaults:
            for object_ in vault.objects(path):
                st = os.lstat(object_)
                found.setdefault((st.st_dev, st.st_ino), []).append(object_)
        return found

    @cached_property
    def _seen(self) -> tuple[tuple[Root, ...], tuple[HeldRevision, ...]]:
        roots = list(self._given)
        known = {root.path for root in roots}
        held: list[HeldRevision] = []

        def found(backend: str, path: str) -> None:
            if path not in known:
                known.add(path)
                roots.append(Root(path, backend))

        for root in roots:
            walk = TreeWalk(root, self.backends, boundaries=known, found=found, commits=self._commits)
            held += [HeldRevision(root, snapshot) for snapshot in self.backend(root).snapshots(root, walk)]
        return tuple(roots), tuple(HeldRevision(one.root, self._named(one.snapshot)) for one in held)

    def _named(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with its repo id, which a cache that was asked later may have told."""
        if snapshot.repo_id or snapshot.revision not in self._commits:
            return snapshot
        repo_id, repo_type = self._commits[snapshot.revision]
        return replace(snapshot, repo_id=repo_id, repo_type=repo_type)


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
