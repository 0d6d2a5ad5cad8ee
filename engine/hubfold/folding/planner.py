"""From duplicate sets to a plan. Pure: it reads nothing but its arguments, so a plan can be tested without a disk.

For each duplicate set the payloads are ranked; the first becomes the keeper. Every other payload is tried against the
keepers in order, and one that none can serve (another owner, a file system without links, a file that tolerates no
symlink) becomes a keeper itself for those behind it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubfold.backend.contract import Capabilities
from hubfold.backend.sides import Sides
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, LinkKind, Role, Root
from hubfold.folding.plan import Action, Plan, Skip
from hubfold.vault import names
from hubfold.vault.names import VaultPlace

if TYPE_CHECKING:
    from hubfold.disk.filesystem import FileSystem

Payload = list[IndexedReplica]

#: Why a file whose bytes are not its claimed ones is neither kept nor replaced.
LIES = "its bytes are not what its name says (see `hubfold verify`)"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user chose."""

    #: One link kind, or None for what suits each place best.
    link: LinkKind | None = None
    #: The root whose copies are kept first and whose vault is used, whatever the roles say.
    into: str | None = None
    across_owners: bool = False
    #: Only files below these folders are replaced, and copies elsewhere keep before them; empty for all.
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found out about the machine before planning."""

    capabilities: Mapping[str, Capabilities]
    roots: Mapping[str, Root]
    #: By directory.
    filesystems: Mapping[str, FileSystem]
    #: By root, best first.
    vaults: Mapping[str, Sequence[VaultPlace]]
    #: The extents of payloads on file systems that share them: equal ones are folded already.
    extents: Mapping[tuple[int, int], object] = field(default_factory=dict)
    #: Directories in work trees of git's: a symlink there would be a change to git.
    work_trees: frozenset[str] = frozenset()
    #: Whether writing through a link is not stopped by the mode of the file.
    privileged: bool = False


class _No(Exception):
    """This victim cannot be replaced by a link to this keeper; the text is the reason."""


def plan(sets: Iterable[DuplicateSet], policy: Policy, around: Surroundings) -> Plan:
    """The plan that folds `sets`. Ties are broken by path, so equal input gives an equal plan."""
    return _Planner(policy, around).plan(sets)


class _Planner:
    def __init__(self, policy: Policy, around: Surroundings) -> None:
        self.policy = policy
        self.around = around
        self.sides = Sides(around.capabilities)
        self.skipped: list[Skip] = []
        self.notes: dict[str, None] = {}

    def plan(self, sets: Iterable[DuplicateSet]) -> Plan:
        actions = [action for duplicates in sets for action in self._fold(duplicates)]
        if self.around.privileged and any(action.link is LinkKind.SYMLINK for action in actions):
            self.notes[
                "running as root: vault objects are read-only, but that does not stop root's own programs from writing "
                "through a link"
            ] = None
        return Plan(tuple(actions), tuple(self.skipped), tuple(self.notes))

    def _fold(self, duplicates: DuplicateSet) -> list[Action]:
        candidates = sorted(duplicates.payloads.values(), key=self._rank)
        keepers: list[Payload] = []
        actions: dict[int, list[Action]] = {}
        reasons: dict[int, str] = {}
        alone: list[tuple[Payload, str]] = []
        for payload in candidates:
            liar = next((replica for replica in payload if replica.claim_is_a_lie), None)
            if liar is not None:
                self.skipped.append(Skip(liar.path, LIES))
                continue
            reason = ""
            for number, keeper in enumerate(keepers if self._below(payload) else []):
                try:
                    found = self._replace(payload, keeper, duplicates)
                except _No as no:
                    reason = reason or str(no)
                else:
                    actions.setdefault(number, []).extend(found)
                    break
            else:
                if self._may_keep(payload):
                    reasons[len(keepers)] = reason
                    keepers.append(payload)
                elif reason:
                    alone.append((payload, reason))
        for number, keeper in enumerate(keepers):
            if reasons[number]:
                alone.append((keeper, reasons[number]))
        for payload, reason in alone:
            self.skipped.extend(Skip(replica.path, reason) for replica in payload if replica.backend != VAULT)
        return [action for number in range(len(keepers)) for action in self._settle(actions.get(number, []))]

    # -- ranking ------------------------------------------------------------------------------------------------

    def _rank(self, payload: Payload) -> tuple[bool, int, bool, str]:
        return (
            bool(self._below(payload)),
            min(self._place(replica) for replica in payload),
            not any(replica.pinned for replica in payload),
            min(replica.path for replica in payload),
        )

    def _below(self, payload: Payload) -> Payload:
        """Those of the names that may be replaced."""
        if not self.policy.below:
            return payload
        folders = tuple(folder.rstrip("/") + "/" for folder in self.policy.below)
        return [replica for replica in payload if replica.path.startswith(folders)]

    def _place(self, replica: IndexedReplica) -> int:
        if replica.backend == VAULT:
            return 0
        root = self.around.roots[replica.root]
        if replica.root == self.policy.into or (self.policy.into is None and root.role is Role.PRIMARY):
            return 1
        return 2 if self._capabilities(replica).cache else 3

    def _may_keep(self, payload: Payload) -> bool:
        return any(self._capabilities(replica).keeps for replica in payload)

    def _capabilities(self, replica: IndexedReplica) -> Capabilities:
        return self.around.capabilities[replica.backend]

    # -- one victim -----------------------------------------------------------------------------------------------

    def _replace(self, payload: Payload, keeper: Payload, duplicates: DuplicateSet) -> list[Action]:
        """The actions that replace every name of `payload`; `_No` if one of them cannot be."""
        source = min(keeper, key=lambda replica: (self._place(replica), replica.path))
        shared = self.around.extents.get(payload[0].payload)
        if shared is not None and shared == self.around.extents.get(source.payload):
            return []
        if self._reflinks(payload[0], source):
            victim = min(self._below(payload), key=lambda replica: replica.path)
            return [
                Action(
                    victim=victim,
                    keeper=source,
                    link=LinkKind.REFLINK,
                    target=source.path,
                    reason="the file system shares extents: the file stays a file of its own",
                    bytes=victim.allocated,
                    digests=duplicates.digests,
                )
            ]
        self._check_payload(payload, source)
        if self.sides.apart(payload, keeper):
            raise _No(
                "a client that syncs the local copy copies the cached file onto it, which fails where both are one"
            )
        actions = [
            self._link(replica, source, keeper, duplicates)
            for replica in sorted(payload, key=lambda r: r.path)
        ]
        # Only when the last name is replaced does the file system get the blocks back.
        actions[-1] = replace(actions[-1], bytes=payload[0].allocated)
        return actions

    def _reflinks(self, victim: IndexedReplica, keeper: IndexedReplica) -> bool:
        if self.policy.link not in (None, LinkKind.REFLINK) or LinkKind.REFLINK not in self._allowed(
            victim, False
        ):
            return False
        here = self._filesystem(victim)
        if here.read_only:
            raise _No("its file system is mounted read-only")
        if here.shares_with(self._filesystem(keeper)):
            return True
        if self.policy.link is LinkKind.REFLINK:
            raise _No("its file system cannot share extents with the keeper's")
        return False

    def _check_payload(self, payload: Payload, keeper: IndexedReplica) -> None:
        victim = payload[0]
        if any(replica.pinned for replica in payload):
            raise _No("a program relies on this very file staying where it is")
        outside = len(payload) - len(self._below(payload))
        if outside:
            raise _No(
                f"replacing it frees nothing: {outside} more hard link(s) of it lie outside of the given paths"
            )
        hidden = victim.nlink - len(payload)
        if hidden > 0:
            raise _No(
                f"replacing it frees nothing: {hidden} more hard link(s) of it lie outside the scanned roots"
            )
        if (victim.uid, victim.gid) != (keeper.uid, keeper.gid) and not self.policy.across_owners:
            if victim.uid != keeper.uid:
                raise _No(
                    f"it belongs to another owner than {keeper.path} (--across-owners folds it all the same)"
                )
            if victim.mode & 0o040 and not keeper.mode & 0o044:
                raise _No(f"its group could not read {keeper.path}")
        if victim.mode & ~keeper.mode & 0o444:
            raise _No(f"{keeper.path} can be read by fewer users than it")

    def _allowed(self, replica: IndexedReplica, across: bool) -> frozenset[LinkKind]:
        capabilities = self._capabilities(replica)
        allowed = capabilities.links_across if across else capabilities.links
        if os.path.dirname(replica.path) in self.around.work_trees:
            allowed -= {LinkKind.SYMLINK}
        return allowed if replica.links is None else allowed & replica.links

    def _link(
        self, victim: IndexedReplica, source: IndexedReplica, keeper: Payload, duplicates: DuplicateSet
    ) -> Action:
        here, there = self._filesystem(victim), self._filesystem(source)
        if here.read_only:
            raise _No("its file system is mounted read-only")
        across = not here.links_to(there)
        kind = self._kind(self._allowed(victim, across), across, here, there)
        if kind is LinkKind.HARDLINK:
            return Action(
                victim=victim,
                keeper=source,
                link=kind,
                target=source.path,
                reason=self._hardlink_reason(victim),
                bytes=0,
                digests=duplicates.digests,
                keeper_mtime_ns=victim.latest_mtime_ns,
                read_only=not self._capabilities(victim).cache,
            )
        place, target = self._object(victim, source, keeper, duplicates)
        far, near = "another file system: only a symlink reaches over", "local copy: symlink into the vault"
        return Action(
            victim=victim,
            keeper=source,
            link=kind,
            target=target,
            reason=far if across else near,
            bytes=0,
            digests=duplicates.digests,
            vault=place,
            keeper_mtime_ns=victim.latest_mtime_ns,
            read_only=True,
        )

    def _kind(
        self, allowed: frozenset[LinkKind], across: bool, here: FileSystem, there: FileSystem
    ) -> LinkKind:
        possible: dict[LinkKind, bool] = {
            LinkKind.SYMLINK: here.symlink,
            LinkKind.HARDLINK: not across,
        }
        if not here.symlink and not here.hardlink:
            raise _No(f"its file system ({here.kind}) has no links")
        if self.policy.link is not None:
            if across and self.policy.link is not LinkKind.SYMLINK:
                raise _No(f"no {self.policy.link} is possible: the keeper is on another file system")
            if self.policy.link not in allowed:
                raise _No(f"no {self.policy.link} may stand in its place" + self._instead(allowed, possible))
            if not possible.get(self.policy.link, False):
                raise _No(f"its file system ({here.kind or 'unknown'}) has no {self.policy.link}s")
            return self.policy.link
        for kind in (LinkKind.SYMLINK, LinkKind.HARDLINK):
            if kind in allowed and possible[kind]:
                return kind
        if across:
            raise _No("it tolerates no symlink, and the keeper is on another file system")
        raise _No("no kind of link may stand in its place")

    def _instead(self, allowed: frozenset[LinkKind], possible: Mapping[LinkKind, bool]) -> str:
        others = [str(kind) for kind in LinkKind if kind in allowed and possible.get(kind, False)]
        return f", a {' or '.join(others)} may" if others else ""

    def _hardlink_reason(self, victim: IndexedReplica) -> str:
        if self.policy.link is LinkKind.HARDLINK:
            return "hard link, as asked for"
        if self._capabilities(victim).cache:
            return "cache to cache: a hard link survives whatever either client deletes"
        return "it tolerates no symlink: hard link"

    def _object(
        self, victim: IndexedReplica, source: IndexedReplica, keeper: Payload, duplicates: DuplicateSet
    ) -> tuple[str, str]:
        """The vault and the object that a symlink in place of `victim` points at."""
        own_link = victim.path if self._capabilities(victim).private_objects else None
        held = [replica for replica in keeper if replica.backend == VAULT]
        if held and own_link is None:
            return held[0].root, held[0].path
        places = [VaultPlace(held[0].root, self._filesystem(held[0]), True)] if held else self._places(keeper)
        for place in places:
            if place.writable and place.filesystem.links_to(self._filesystem(source)):
                path = names.object_path(place.path, duplicates.digests, own_link)
                if path is None:
                    raise _No("none of its digests can name a vault object")
                if place.note:
                    self.notes[place.note] = None
                return place.path, path
        raise _No(f"there is no place for a vault on the file system of {source.path}")

    def _places(self, keeper: Payload) -> list[VaultPlace]:
        """Vaults of caches first: a keeper outside any cache goes to the vault of a cache on its file system."""
        roots = [replica.root for replica in keeper]
        in_cache = any(self._capabilities(replica).cache for replica in keeper)
        ordered = list(roots)
        if not in_cache:
            caches = [
                path
                for path, root in self.around.roots.items()
                if self.around.capabilities[root.backend].cache and root.backend != VAULT
            ]
            ordered = sorted(caches, key=self._root_rank) + ordered
        if self.policy.into is not None:
            ordered.insert(0, self.policy.into)
        return [place for root in dict.fromkeys(ordered) for place in self.around.vaults.get(root, ())]

    def _root_rank(self, path: str) -> tuple[bool, str]:
        return self.around.roots[path].role is not Role.PRIMARY, path

    def _filesystem(self, replica: IndexedReplica) -> FileSystem:
        return self.around.filesystems[os.path.dirname(replica.path)]

    # -- all actions of one keeper -----------------------------------------------------------------------------------

    def _settle(self, actions: list[Action]) -> list[Action]:
        """Give every action of a keeper the one mtime that all its readers believe."""
        bounds = [a.keeper_mtime_ns for a in actions if a.keeper_mtime_ns is not None]
        if not bounds:
            return actions
        bound, keeper = min(bounds), actions[0].keeper
        if keeper.signature.mtime_ns <= bound:
            return [replace(action, keeper_mtime_ns=None) for action in actions]
        older: Callable[[Action], bool] = lambda action: action.victim.signature.mtime_ns <= bound  # noqa: E731
        mtime_ns = min((a.victim.signature.mtime_ns for a in actions if older(a)), default=bound)
        return [replace(action, keeper_mtime_ns=mtime_ns) for action in actions]
