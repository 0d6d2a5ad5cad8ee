"""What a fold would do: from the index and a look at the files that it is about. Nothing is changed.

Apart from `folding`, so that a scan, which says what the plan frees, does not load what changes disks.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import USUAL, DuplicateSet, IndexedReplica, LinkKind, Marks, Root, Scope, Trust
from hubfold.disk.filesystem import FileSystems, reaches_other_hosts
from hubfold.disk.paths import canonical, within
from hubfold.engine.memory import PLANNED_SETS, Memory
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.errors import HubfoldError, UsageError
from hubfold.folding import planner, survey
from hubfold.folding.plan import Plan, Skip
from hubfold.folding.vetoes import without_vetoed
from hubfold.reports.scans import ScanReport
from hubfold.scanning import discover, kinds

if TYPE_CHECKING:
    from hubfold.reports.runs import ConsolidateReport

#: Of more sizes than this all sets are gone through: SQLite is not asked about each of them.
_MANY_SIZES = 2_000


class Planning:
    """Plans folds."""

    def __init__(self, workspace: Workspace, memory: Memory) -> None:
        self._workspace = workspace
        self._memory = memory

    def plan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        link: LinkKind | None = None,
        min_size: int = MIN_SIZE,
        into: StrPath | None = None,
        across_owners: bool = False,
        scope: Scope = USUAL,
    ) -> Plan:
        """See `Engine.plan`."""
        known = self._workspace.roots_of(
            [*paths, into] if paths and into is not None else paths, only=scope.only
        )
        roots = {path: root for path, root in known.items() if path not in self._workspace.left_out}
        below = self._workspace.folders(paths)
        odd: list[Skip] = []
        about = (
            duplicates
            for duplicates in self._memory.duplicate_sets(roots, min_size, scope)
            if not below or any(self._lies_below(replica.path, below) for replica in duplicates.replicas)
        )
        sets = list(self._begun_like_models(about, scope, odd))
        around = survey.survey(sets, roots, self._workspace.backends)
        chosen = None
        if into is not None:
            chosen = next(iter(self._workspace.roots_of([into], only=True)), None)
            if chosen is None:
                raise HubfoldError(
                    f"{os.fspath(into)} is no scanned root", f"run `hubfold scan {os.fspath(into)}`"
                )
            if chosen not in roots:
                raise HubfoldError(f"{chosen} is left out: its plugin failed", "`hubfold scan` says how")
        seen, unseen = _to_be_seen(sets, around.away)
        confined = self._confined(scope.within, chosen)
        policy = planner.Policy(link, chosen, across_owners, below, confined, preferred=self._preferred(seen))
        found = without_vetoed(planner.plan(seen, policy, around), self._workspace.policies)
        if chosen is not None:
            found = replace(found, notes=(*found.notes, *self._in_no_cache(seen, chosen)))
        found = replace(found, notes=(*found.notes, *_out_of_reach(found)))
        away = self._workspace.roots_away(paths)
        unseen += [Skip(root.path, "it is not there now: what is known of it is left out") for root in away]
        found = replace(found, skipped=(*found.skipped, *unseen))
        corrupt = [
            Skip(liar.path, planner.LIES)
            for liar in self._workspace.index.liars(list(roots))
            if not below or self._lies_below(liar.path, below)
        ]
        return replace(
            found, skipped=(*found.skipped, *odd, *(skip for skip in corrupt if skip not in found.skipped))
        )

    def _in_no_cache(self, sets: Iterable[DuplicateSet], cache: str) -> Iterator[str]:
        """What to type so that a cache has what is there twice, and no cache has, of a model that is known."""
        caches = self._workspace.caches()
        folders: dict[str, set[str]] = {}
        for duplicates in sets:
            if not any(replica.backend in caches for replica in duplicates.replicas):
                for replica in duplicates.replicas:
                    if replica.repo_id:
                        folders.setdefault(replica.repo_id, set()).add(replica.folder)
        for repo_id, places in sorted(folders.items()):
            folder = min(places, key=lambda place: (place.count(os.sep), place))
            yield f"{repo_id} is in no cache: hubfold adopt {shlex.quote(folder)} --into {shlex.quote(cache)}"

    def _confined(self, folder: str, into: str | None) -> str | None:
        """The real path of the folder that no link may lead out of, None where it may lead anywhere.

        Raises `RootError` where it is no folder, `UsageError` where the cache to fold into lies outside of it.
        """
        if not folder:
            return None
        path = canonical(folder)
        if not os.path.isdir(path):
            raise discover.missing(path)
        if into is not None and not within(into, path):
            raise UsageError(f"{into} lies outside of {path}", "--into and --within have to agree")
        return path

    def plan_about(self, known: IndexedReplica) -> Plan:
        """What a plan without options does with the content of one file."""
        roots = self._workspace.roots_of([known.path])
        size = known.signature.size
        alike = self._memory.duplicate_sets(roots, size, USUAL, only=f"f.size = {size}")
        about = [one for one in alike if any(replica.path == known.path for replica in one.replicas)]
        return self._without_options(about, roots)

    def plan_marked(self, marks: Marks, payloads: Mapping[tuple[int, int], int], min_size: int) -> Plan:
        """What a plan without options does with the marked sets, and those of `payloads` (with their bytes)."""
        sizes = set(payloads.values()) | {
            known.signature.size
            for path in marks.sets
            if (known := self._workspace.index.replica(path)) is not None
        }
        sizes = {size for size in sizes if size >= min_size}
        if not sizes:
            return Plan()
        known_roots = self._workspace.roots_of(())
        roots = {path: root for path, root in known_roots.items() if path not in self._workspace.left_out}
        only = f"f.size IN ({', '.join(map(str, sorted(sizes)))})" if len(sizes) <= _MANY_SIZES else "1"
        about = (
            duplicates
            for duplicates in self._memory.duplicate_sets(roots, min_size, USUAL, only=only)
            if any(one.payload in payloads or one.path in marks.sets for one in duplicates.replicas)
        )
        found = self._without_options(about, roots, stays=tuple(sorted(marks.stays)))
        return replace(found, notes=(*found.notes, *_out_of_reach(found)))

    def _without_options(
        self, about: Iterable[DuplicateSet], roots: Mapping[str, Root], stays: tuple[str, ...] = ()
    ) -> Plan:
        """What a plan without options does with some sets; `stays` as in `planner.Policy`."""
        odd: list[Skip] = []
        sets = list(self._begun_like_models(about, USUAL, odd))
        around = survey.survey(sets, roots, self._workspace.backends)
        seen, unseen = _to_be_seen(sets, around.away)
        policy = planner.Policy(preferred=self._preferred(seen), stays=stays)
        found = without_vetoed(planner.plan(seen, policy, around), self._workspace.policies)
        return replace(found, skipped=(*found.skipped, *unseen, *odd))

    def _preferred(self, sets: Iterable[DuplicateSet]) -> frozenset[str]:
        """The copies that plugins want to be kept."""
        policies = self._workspace.policies
        if not policies.has("hubfold_prefer"):
            return frozenset()
        found = (
            policies.preferred([one.path for one in each.replicas], each.digests, each.size) for each in sets
        )
        return frozenset(path for path in found if path is not None)

    def preview(self, plan: Plan) -> ConsolidateReport:
        """See `Engine.preview`."""
        # A scan plans too, and shows no plan.
        from hubfold.folding.told import preview

        return preview(plan)

    def freed(self, paths: Sequence[StrPath], min_size: int, scope: Scope) -> dict[str, int]:
        """What a plan without options frees at each path, in bytes."""
        return {
            action.path: action.bytes for action in self.plan(paths, min_size=min_size, scope=scope).actions
        }

    def as_planned(
        self, report: ScanReport, paths: Sequence[StrPath], min_size: int, scope: Scope
    ) -> ScanReport:
        """A report whose reclaimable bytes are those that the plan frees: by owners, rights, mounts, kinds of links."""
        if report.duplicate_sets > PLANNED_SETS:
            return replace(report, estimated=True)
        try:
            freed = self.freed(paths, min_size, scope)
        except HubfoldError:
            return report  # none of the paths is a root that could be scanned, as the report says
        return replace(report, reclaimable_bytes=sum(freed.values()))

    def _begun_like_models(
        self, sets: Iterable[DuplicateSet], scope: Scope, odd: list[Skip]
    ) -> Iterator[DuplicateSet]:
        """The sets without files of plain folders whose first bytes speak against them; these are added to `odd`.

        Asked here and not by the scan, so that only what may be replaced or kept is looked into.
        """
        scope = self._workspace.scope(scope)
        named = scope.all_files or bool(scope.include)
        backends = self._workspace.backends
        vouched = {name for name, backend in backends.items() if backend.capabilities.vouches}
        for duplicates in sets:
            kept = []
            first: bytes | None = None
            for replica in duplicates.replicas:
                if replica.backend in vouched or replica.claims:
                    kept.append(replica)
                    continue
                # Where the bytes of all were read, one begins as the other.
                if first is None or duplicates.trust is not Trust.COMPUTED:
                    first = kinds.beginning(replica.path)
                reason = kinds.against(replica.path, first, all_files=named)
                if reason is None:
                    kept.append(replica)
                else:
                    odd.append(Skip(replica.path, reason))
            if len(kept) == len(duplicates.replicas):
                yield duplicates
            elif len({replica.payload for replica in kept}) > 1:
                yield duplicates._replace(replicas=tuple(kept))

    def _lies_below(self, path: str, folders: Sequence[str]) -> bool:
        return any(within(path, folder) for folder in folders)


def _out_of_reach(plan: Plan) -> Iterator[str]:
    """What is not protected where a plan replaces files that other hosts may get at: one line for each file system."""
    filesystems = FileSystems()
    asked: set[str] = set()
    for folder in dict.fromkeys(action.victim.folder for action in plan.actions):
        place = filesystems.of(folder)
        if place.mount in asked:
            continue
        asked.add(place.mount)
        if reaches_other_hosts(folder):
            yield (
                f"{place.mount} ({place.kind}) may be used by other hosts: hubfold keeps its own runs there apart, but "
                "the locks of programs that download reach this host only, so let nothing be downloaded to these "
                "places from another host until the run is through"
            )


def _to_be_seen(
    sets: Sequence[DuplicateSet], away: Collection[str]
) -> tuple[Sequence[DuplicateSet], list[Skip]]:
    """(the sets without the replicas that cannot be looked at, those replicas)."""
    if not away:
        return sets, []
    found: list[DuplicateSet] = []
    unseen: list[Skip] = []
    for duplicates in sets:
        there = [one for one in duplicates.replicas if one.path not in away]
        if len(there) == len(duplicates.replicas):
            found.append(duplicates)
            continue
        unseen += [
            Skip(one.path, "it cannot be looked at now (is its drive, or its folder, away?)")
            for one in duplicates.replicas
            if one.path in away
        ]
        if len({one.payload for one in there}) > 1:
            found.append(duplicates._replace(replicas=tuple(there)))
    return found, unseen
