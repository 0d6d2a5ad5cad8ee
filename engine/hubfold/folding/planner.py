"""From duplicate sets to a plan. Pure: it reads nothing but its arguments, so a plan can be tested without a disk.

For each duplicate set the payloads are ranked; the first becomes the keeper. Every other payload is tried against the
keepers in order, and one that none can serve (another owner, a file system without links, a file that tolerates no
symlink, readers that would be shut out) becomes a keeper itself for those behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from hubfold.access import OPEN, Alone, Permissions, Way, breadth, readers
from hubfold.backend.contract import Capabilities
from hubfold.backend.sides import Sides
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, LinkKind, Role, Root
from hubfold.folding import confined
from hubfold.folding.plan import Action, Plan, Skip, with_one_mtime
from hubfold.folding.rights import Makes, Standing, no_link, no_symlink, no_way_back
from hubfold.vault import names
from hubfold.vault.names import VaultPlace

if TYPE_CHECKING:
    from hubfold.disk.filesystem import FileSystem

Payload = list[IndexedReplica]
Kinds = Sequence[LinkKind]
_path = attrgetter("path")

#: Less than that is no hole.
_BLOCK = 4096

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
    #: The folder that no link may lead out of, by its real path: what lies outside neither stays for it nor goes.
    within: str | None = None
    #: Paths of copies that are kept before others, wherever they lie: a plugin wants it so.
    preferred: frozenset[str] = frozenset()
    #: Nothing below these folders is replaced, and copies there keep before others.
    stays: tuple[str, ...] = ()


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
    #: Who may do what with each payload, where its ACL was looked at; else its mode tells.
    files: Mapping[tuple[int, int], Permissions] = field(default_factory=dict)
    #: Who gets to the names in each directory.
    ways: Mapping[str, Way] = field(default_factory=dict)
    alone: Alone = frozenset()
    #: Whom this user may make files for, None for anybody.
    makes: Makes | None = None
    #: An extended attribute of each payload that this user could not give to a new file.
    unsettable: Mapping[tuple[int, int], str] = field(default_factory=dict)
    #: The payloads whose blocks are written in place (`chattr +C`): these share extents among themselves only.
    in_place: Collection[tuple[int, int]] = ()
    #: The paths that cannot be looked at now: nothing is planned with them.
    away: Collection[str] = ()


@dataclass(slots=True)
class _Keeper:
    """A payload that stays, and what is replaced by links to it."""

    payload: Payload
    #: Why none that was ranked before it could serve it, "" for the first.
    reason: str
    actions: list[Action] = field(default_factory=list)
    #: The names that its file gets.
    names: set[str] = field(default_factory=set)


class _Folder(NamedTuple):
    """What stands around the names that a root has in one folder."""

    way: Way
    filesystem: FileSystem
    capabilities: Capabilities
    #: Of the roots that copies are kept in, the least first.
    place: int


class _Name(NamedTuple):
    """One name: who may do what with its file, and what stands around it, as `_Folder` has it."""

    path: str
    file: Permissions
    way: Way
    filesystem: FileSystem
    capabilities: Capabilities
    place: int

    @property
    def standing(self) -> Standing:
        return Standing(self.path, self.file, self.way)


class _No(Exception):
    """This victim cannot be replaced by a link to this keeper; the text is the reason."""


class _ShutOut(_No):
    """Some reader of the victim could not go the way of a symlink, or there is no object that it could point at."""


def plan(sets: Iterable[DuplicateSet], policy: Policy, around: Surroundings) -> Plan:
    """The plan that folds `sets`. Ties are broken by path, so equal input gives an equal plan."""
    return _Planner(policy, around).plan(sets)


class _Planner:
    def __init__(self, policy: Policy, around: Surroundings) -> None:
        self.policy = policy
        self.around = around
        self.sides = Sides(around.capabilities)
        self._folders = tuple(folder.rstrip("/") + "/" for folder in policy.below)
        self._staying = tuple(folder.rstrip("/") + "/" for folder in policy.stays)
        self.skipped: list[Skip] = []
        self.notes: dict[str, None] = {}
        #: The vault objects of the set at hand, each with the payload that it is, or will be, a name of.
        self._objects: dict[str, tuple[int, int]] = {}
        #: Its replicas by path, with what stands around them.
        self._known: dict[str, _Name] = {}
        #: The same of every set so far, by folder, backend and root.
        self._folders_known: dict[tuple[str, str, str], _Folder] = {}
        #: How many may read what has these permissions and lies there, and if it lay anywhere.
        self._breadths: dict[tuple[Permissions, Way], tuple[int, int]] = {}
        #: Which links may stand for a file of a layout and a folder, with these of its own, and lead to a folder.
        self._links_known: dict[tuple[str, str, frozenset[LinkKind] | None, str], tuple[bool, Kinds]] = {}
        #: Where the objects of keepers may lie, by the roots of these and by whether one is in a cache.
        self._places_known: dict[tuple[tuple[str, ...], bool], list[VaultPlace]] = {}

    def plan(self, sets: Iterable[DuplicateSet]) -> Plan:
        actions = [action for duplicates in sets for action in self._fold(duplicates)]
        if self.around.privileged and any(action.link is LinkKind.SYMLINK for action in actions):
            self.notes[
                "running as root: vault objects are read-only, but that does not stop root's own programs from writing "
                "through a link"
            ] = None
        return Plan(tuple(actions), tuple(self.skipped), tuple(self.notes))

    def _fold(self, duplicates: DuplicateSet) -> list[Action]:
        if self.policy.within is not None:
            duplicates, outside = confined.inside(duplicates, self.policy.within)
            self.skipped += outside
        keepers: list[_Keeper] = []
        alone: list[tuple[Payload, str]] = []
        self._objects = {r.path: r.payload for r in duplicates.replicas if r.backend == VAULT}
        self._known = {replica.path: self._name(replica) for replica in duplicates.replicas}
        for payload in sorted(duplicates.payloads.values(), key=self._rank):
            liars = [replica for replica in payload if replica.claims and replica.claim_is_a_lie]
            if liars:
                self.skipped.append(Skip(liars[0].path, LIES))
                continue
            reason = ""
            for keeper in keepers if self._below(payload) else ():
                try:
                    found = self._replace(payload, keeper.payload, duplicates)
                    self._take_names(keeper, found, len(duplicates.replicas))
                except _No as no:
                    reason = reason or str(no)
                else:
                    keeper.actions.extend(found)
                    break
            else:
                if self._may_keep(payload):
                    keepers.append(_Keeper(payload, reason))
                elif reason:
                    alone.append((payload, reason))
        alone += [(keeper.payload, keeper.reason) for keeper in keepers if keeper.reason]
        for payload, reason in alone:
            self.skipped.extend(Skip(replica.path, reason) for replica in payload if replica.backend != VAULT)
        found = [action for keeper in keepers for action in with_one_mtime(keeper.actions)]
        return self._freeing_once(found, duplicates) if self.around.extents else found

    def _freeing_once(self, actions: list[Action], duplicates: DuplicateSet) -> list[Action]:
        """The same; payloads that share their extents free them with the last of them, and only if none stays."""
        sharing: dict[object, set[tuple[int, int]]] = {}
        for payload in duplicates.payloads:
            if (extents := self.around.extents.get(payload)) is not None:
                sharing.setdefault(extents, set()).add(payload)
        going = {action.victim.payload: number for number, action in enumerate(actions) if action.bytes}
        for together in sharing.values():
            numbers = sorted(going[payload] for payload in together if payload in going)
            for number in numbers if len(numbers) < len(together) else numbers[:-1]:
                actions[number] = actions[number]._replace(bytes=0)
        return actions

    def _take_names(self, keeper: _Keeper, actions: Sequence[Action], most: int) -> None:
        """Count the names that a keeper gets by `actions`; `_No` where its file system allows no more.

        It gets `most` at the utmost, one for each replica of its set: where there is room for these none is counted.
        """
        replica = keeper.payload[0]
        limit = self._known[replica.path].filesystem.max_links
        if limit is not None and replica.nlink + most > limit:
            has = {one.path for one in keeper.payload}
            new = {
                a.path if a.link is LinkKind.HARDLINK else a.target
                for a in actions
                if a.link is not LinkKind.REFLINK
            }
            if replica.nlink + len((keeper.names | new) - has) > limit:
                raise _No(f"{replica.path} has as many names as its file system allows ({limit:,})")
            keeper.names |= new
        for action in actions:
            if action.link is LinkKind.SYMLINK:
                self._objects[action.target] = replica.payload

    # -- ranking ------------------------------------------------------------------------------------------------

    def _rank(self, payload: Payload) -> tuple[bool, bool, bool, bool, int, bool, bool, int, int, int, str]:
        """Names decide last: of two that differ otherwise, the same one is kept whatever they are called.

        What may not be kept comes behind all that may: by then it is known what could serve it.
        """
        around = [self._known[replica.path] for replica in payload]
        file = around[0].file
        open_to = [self._breadth(file, one.way) for one in around]
        return (
            not self._may_keep(payload),
            not self.policy.preferred.intersection([replica.path for replica in payload])
            if self.policy.preferred
            else False,
            self._may_be_taken_away(payload),
            bool(self._folders or self._staying) and bool(self._below(payload)),
            min([one.place for one in around]),
            not around[0].filesystem.drive.fast,
            not any(replica.pinned for replica in payload),
            -max(open_to)[0],
            -open_to[0][1],
            -_holes(payload[0]),
            min([replica.path for replica in payload]),
        )

    def _breadth(self, file: Permissions, way: Way) -> tuple[int, int]:
        found = self._breadths.get((file, way))
        if found is None:
            found = breadth(readers(file, way)), breadth(readers(file))
            self._breadths[file, way] = found
        return found

    def _name(self, replica: IndexedReplica) -> _Name:
        like = replica.folder, replica.backend, replica.root
        around = self._folders_known.get(like)
        if around is None:
            around = self._folders_known[like] = self._folder(replica)
        file = self.around.files.get(replica.payload)
        if file is None:
            file = Permissions.of(replica.uid, replica.gid, replica.mode, path=replica.path)
        return _Name(replica.path, file, *around)

    def _folder(self, replica: IndexedReplica) -> _Folder:
        folder = replica.folder
        capabilities = self.around.capabilities[replica.backend]
        way = self.around.ways.get(folder, OPEN)
        return _Folder(way, self.around.filesystems[folder], capabilities, self._place(replica, capabilities))

    def _below(self, payload: Payload) -> Payload:
        """Those of the names that may be replaced."""
        if not (self._folders or self._staying):
            return payload
        return [
            replica
            for replica in payload
            if (not self._folders or replica.path.startswith(self._folders))
            and not replica.path.startswith(self._staying)
        ]

    def _place(self, replica: IndexedReplica, capabilities: Capabilities) -> int:
        if replica.backend == VAULT:
            return 0
        if self._is_chosen([replica]):
            return 1
        return 2 if capabilities.cache else 3

    def _is_chosen(self, payload: Payload) -> bool:
        """Whether it lies where the user wants things kept: in the cache that he named, else in the primary place."""
        if self.policy.into is not None:
            return any(replica.root == self.policy.into for replica in payload)
        return any(self.around.roots[replica.root].role is Role.PRIMARY for replica in payload)

    def _may_be_taken_away(self, payload: Payload) -> bool:
        """Whether it is on a removable drive that nobody chose to keep things on."""
        return self._known[payload[0].path].filesystem.drive.removable and not self._is_chosen(payload)

    def _better(self, victim: IndexedReplica, keeper: Payload) -> str:
        """Why a copy on another file system is the one that is kept: by its place, or by its drive."""
        here, there = self._known[victim.path].filesystem.drive, self._known[keeper[0].path].filesystem.drive
        if self._is_chosen(keeper):
            return " (that of the chosen cache)" if self.policy.into is not None else " (the primary place)"
        if here.removable and not there.removable:
            return " (yours is on a removable drive)"
        same = self._known[victim.path].place == min(self._known[replica.path].place for replica in keeper)
        return " (a faster drive)" if same and there.fast and not here.fast else ""

    def _may_keep(self, payload: Payload) -> bool:
        return any(map(self._keeps, payload))

    def _keeps(self, replica: IndexedReplica) -> bool:
        return self._known[replica.path].capabilities.keeps if replica.keeps is None else replica.keeps

    # -- one victim -----------------------------------------------------------------------------------------------

    def _replace(self, payload: Payload, keeper: Payload, duplicates: DuplicateSet) -> list[Action]:
        """The actions that replace every name of `payload`; `_No` if one of them cannot be."""
        source = (
            keeper[0]
            if len(keeper) == 1
            else min(keeper, key=lambda replica: (self._known[replica.path].place, replica.path))
        )
        shared = self.around.extents.get(payload[0].payload) if self.around.extents else None
        if shared is not None and shared == self.around.extents.get(source.payload):
            return []
        if not self._reflinks(payload[0], source):
            return self._links(payload, keeper, source, duplicates)
        victim = min(self._below(payload), key=_path)
        shares = Action(
            victim=victim,
            keeper=source,
            link=LinkKind.REFLINK,
            target=source.path,
            reason="the file system shares extents: the file stays a file of its own",
            bytes=victim.allocated,
            digests=duplicates.digests,
        )
        return [shares._replace(instead=self._instead_of_extents(payload, keeper, source, duplicates))]

    def _instead_of_extents(
        self, payload: Payload, keeper: Payload, source: IndexedReplica, duplicates: DuplicateSet
    ) -> tuple[Action, ...]:
        """What is done where the file system refuses after all, if nobody asked for shared extents alone."""
        if self.policy.link is LinkKind.REFLINK:
            return ()
        told = dict(self.notes)
        try:
            return tuple(self._links(payload, keeper, source, duplicates))
        except _No:
            return ()
        finally:
            self.notes = told

    def _links(
        self, payload: Payload, keeper: Payload, source: IndexedReplica, duplicates: DuplicateSet
    ) -> list[Action]:
        """A link for every name of `payload`."""
        self._check_payload(payload, keeper)
        if self.sides.apart(payload, keeper):
            raise _No(
                "a client that syncs the local copy copies the cached file onto it, which fails where both are one"
            )
        self._check_whole([*payload, *keeper], duplicates)
        *others, last = sorted(payload, key=_path)
        # Only when the last name is replaced does the file system get the blocks back.
        actions = [
            *(self._link(replica, source, keeper, duplicates, frees=0) for replica in others),
            self._link(last, source, keeper, duplicates, frees=payload[0].allocated),
        ]
        writer = self._writer([*payload, *keeper])
        return [_kept_from(action, writer) for action in actions] if writer else actions

    def _check_whole(self, names: Payload, duplicates: DuplicateSet) -> None:
        """`_No` where a program may still have to write to the end of one of the two files."""
        unsure = next((one for one in names if self._known[one.path].capabilities.resumes_in_place), None)
        if unsure is None or any(map(self._tells_whole, duplicates.replicas)):
            return
        program = self._known[unsure.path].capabilities.written_in_place or unsure.backend
        raise _No(
            f"{program} may not be at the end of {unsure.path}: nothing that was read says that it is whole"
        )

    def _tells_whole(self, replica: IndexedReplica) -> bool:
        if not replica.claims or replica.backend == VAULT:
            return False
        read = any(replica.computed.get(name) == value for name, value in replica.claims.items())
        return read or not self._known[replica.path].capabilities.resumes_in_place

    def _writer(self, names: Payload) -> str:
        """The program that would write into the file by one of these names, "" for none."""
        return next(
            (one for name in names if (one := self._known[name.path].capabilities.written_in_place)), ""
        )

    def _reflinks(self, victim: IndexedReplica, keeper: IndexedReplica) -> bool:
        here = self._known[victim.path].filesystem
        wanted = self.policy.link is LinkKind.REFLINK
        if not wanted and (self.policy.link is not None or not here.pool):
            return False
        if LinkKind.REFLINK not in self._allowed(victim, False):
            return False
        if here.read_only:
            raise _No("its file system is mounted read-only")
        alike = (victim.payload in self.around.in_place) == (keeper.payload in self.around.in_place)
        if alike and here.shares_with(self._known[keeper.path].filesystem):
            return True
        if wanted:
            raise _No(
                "its file system cannot share extents with that of the kept file"
                if alike
                else "one of the two is written in place (chattr +C), and such files share no extents with others"
            )
        return False

    def _check_payload(self, payload: Payload, keeper: Payload) -> None:
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
            where = (
                "outside the scanned roots"
                if self.policy.within is None
                else f"outside of {self.policy.within}"
            )
            raise _No(f"replacing it frees nothing: {hidden} more hard link(s) of it lie {where}")
        self._check_owner(payload, keeper)
        stuck = no_way_back(
            self._known[victim.path].file,
            victim.gid,
            self.around.unsettable.get(victim.payload),
            self.around.makes,
        )
        if stuck is not None:
            raise _No(stuck)

    def _check_owner(self, payload: Payload, keeper: Payload) -> None:
        if payload[0].uid == keeper[0].uid:
            return
        strict = [one for one in (*payload, *keeper) if self._known[one.path].capabilities.same_owner]
        if strict:
            raise _No(
                f"it belongs to another owner than {keeper[0].path}, and {strict[0].backend} needs its files to be "
                "of one owner"
            )
        if not self.policy.across_owners:
            raise _No(
                f"it belongs to another owner than {keeper[0].path} (--across-owners folds it all the same)"
            )

    def _allowed(self, replica: IndexedReplica, across: bool) -> frozenset[LinkKind]:
        capabilities = self._known[replica.path].capabilities
        allowed = capabilities.links_across if across else capabilities.links
        if replica.folder in self.around.work_trees and not capabilities.ignored_by_git:
            allowed -= {LinkKind.SYMLINK}
        return allowed if replica.links is None else allowed & replica.links

    def _link(
        self,
        victim: IndexedReplica,
        source: IndexedReplica,
        keeper: Payload,
        duplicates: DuplicateSet,
        *,
        frees: int,
    ) -> Action:
        here = self._known[victim.path]
        if here.filesystem.read_only:
            raise _No("its file system is mounted read-only")
        kept = self._known[source.path]
        reason: str | None = None
        if kept.file is not here.file:
            reason = no_link(here.standing, kept.standing, self.around.alone)
        if reason is not None:
            raise _No(reason)
        across, kinds = self._kinds_of(victim, source)
        found: tuple[VaultPlace, str] | None = None
        if LinkKind.SYMLINK in kinds:
            try:
                found = self._object(victim, source, keeper, duplicates)
            except _ShutOut as no:
                reason = str(no)
        if found is None:
            if LinkKind.HARDLINK not in kinds:
                raise _No(reason or "no kind of link may stand in its place")
            why = self._hardlink_reason(victim) if reason is None else f"hard link, since {reason}"
            return self._hardlink(victim, source, duplicates, why, frees)
        instead = (
            (self._hardlink(victim, source, duplicates, "hard link", frees),)
            if LinkKind.HARDLINK in kinds
            else ()
        )
        place, target = found
        why = f"your copy becomes a link to the kept file in {place.path}"
        return Action(
            victim=victim,
            keeper=source,
            link=LinkKind.SYMLINK,
            target=target,
            reason=f"{why}, on another file system{self._better(victim, keeper)}" if across else why,
            bytes=frees,
            digests=duplicates.digests,
            vault=place.path,
            vault_serves=place.serves,
            keeper_mtime_ns=victim.latest_mtime_ns,
            read_only=True,
            may_keep=self._keeps(victim),
            relative=self.policy.within is not None,
            instead=instead,
        )

    def _hardlink(
        self, victim: IndexedReplica, source: IndexedReplica, duplicates: DuplicateSet, why: str, frees: int
    ) -> Action:
        capabilities = self._known[victim.path].capabilities
        return Action(
            victim=victim,
            keeper=source,
            link=LinkKind.HARDLINK,
            target=source.path,
            reason=why,
            bytes=frees,
            digests=duplicates.digests,
            keeper_mtime_ns=victim.latest_mtime_ns,
            read_only=not capabilities.cache,
            may_keep=self._keeps(victim),
        )

    def _kinds_of(self, victim: IndexedReplica, source: IndexedReplica) -> tuple[bool, Kinds]:
        """(whether the two are on two file systems, the kinds of link that may stand there)"""
        like = victim.backend, victim.folder, victim.links, source.folder
        found = self._links_known.get(like)
        if found is None:
            here, there = self._known[victim.path].filesystem, self._known[source.path].filesystem
            across = not here.links_to(there)
            found = across, self._kinds(self._allowed(victim, across), across, here, there)
            self._links_known[like] = found
        return found

    def _kinds(
        self, allowed: frozenset[LinkKind], across: bool, here: FileSystem, there: FileSystem
    ) -> list[LinkKind]:
        """The kinds of link that may stand there, best first."""
        possible: dict[LinkKind, bool] = {
            LinkKind.SYMLINK: here.symlink,
            LinkKind.HARDLINK: not across,
        }
        if not here.symlink and not here.hardlink:
            raise _No(f"its file system ({here.kind}) has no links")
        if self.policy.link is not None:
            if across and self.policy.link is not LinkKind.SYMLINK:
                raise _No(f"no {self.policy.link} is possible: the kept file is on another file system")
            if self.policy.link not in allowed:
                raise _No(f"no {self.policy.link} may stand in its place" + self._instead(allowed, possible))
            if not possible.get(self.policy.link, False):
                raise _No(f"its file system ({here.kind or 'unknown'}) has no {self.policy.link}s")
            return [self.policy.link]
        kinds: list[LinkKind] = [LinkKind.SYMLINK, LinkKind.HARDLINK]
        found = [kind for kind in kinds if kind in allowed and possible[kind]]
        if found:
            return found
        if across:
            raise _No("it tolerates no symlink, and the kept file is on another file system")
        raise _No("no kind of link may stand in its place")

    def _instead(self, allowed: frozenset[LinkKind], possible: Mapping[LinkKind, bool]) -> str:
        others = [str(kind) for kind in LinkKind if kind in allowed and possible.get(kind, False)]
        return f", a {' or '.join(others)} may" if others else ""

    def _hardlink_reason(self, victim: IndexedReplica) -> str:
        if self.policy.link is LinkKind.HARDLINK:
            return "hard link, as asked for"
        if self._known[victim.path].capabilities.cache:
            return "both caches get one file, which stays whatever either client deletes"
        return "it tolerates no symlink: hard link"

    def _object(
        self, victim: IndexedReplica, source: IndexedReplica, keeper: Payload, duplicates: DuplicateSet
    ) -> tuple[VaultPlace, str]:
        """The vault and the object that a symlink in place of `victim` points at."""
        here, kept = self._known[victim.path], self._known[source.path]
        own_link = victim.path if here.capabilities.private_objects else None
        held = [replica for replica in keeper if replica.backend == VAULT]
        if held:
            of = self._known[held[0].path]
            places = [VaultPlace(held[0].root, of.filesystem, True, way=of.way, serves=held[0].root)]
        else:
            places = self._places(keeper)
        reason = None
        for place in places:
            if place.writable and place.filesystem.links_to(kept.filesystem):
                path = (
                    held[0].path
                    if held and own_link is None
                    else self._object_path(place, source, duplicates, own_link)
                )
                if path is None:
                    raise _ShutOut("none of its digests can name a vault object")
                closed = no_symlink(here.standing, kept.standing, place.way, self.around.alone)
                if closed is None:
                    if place.note:
                        self.notes[place.note] = None
                    return place, path
                reason = reason or closed
        if reason is not None:
            raise _ShutOut(reason)
        if self.policy.within is not None:
            raise _ShutOut(f"there is no place for a vault inside {self.policy.within}")
        raise _ShutOut(f"there is no place for a vault on the file system of {source.path}")

    def _object_path(
        self, place: VaultPlace, source: IndexedReplica, duplicates: DuplicateSet, own_link: str | None
    ) -> str | None:
        """Where an object of `source` lies; beside the one of another keeper of the same content, if there is one."""
        path = names.object_path(place.path, duplicates.digests, own_link)
        if path is not None and self._objects.get(path, source.payload) != source.payload:
            return names.object_path(place.path, duplicates.digests, source.path)
        return path

    def _places(self, keeper: Payload) -> list[VaultPlace]:
        roots = tuple([replica.root for replica in keeper])
        in_cache = any(self._known[replica.path].capabilities.cache for replica in keeper)
        found = self._places_known.get((roots, in_cache))
        if found is None:
            found = self._places_known[roots, in_cache] = self._places_of(roots, in_cache=in_cache)
        return found

    def _places_of(self, roots: Iterable[str], *, in_cache: bool) -> list[VaultPlace]:
        """Vaults of caches first: a keeper outside any cache goes to the vault of a cache on its file system."""
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
        places = [place for root in dict.fromkeys(ordered) for place in self.around.vaults.get(root, ())]
        folder = self.policy.within
        return [place for place in places if folder is None or confined.lies_in(place.path, folder)]

    def _root_rank(self, path: str) -> tuple[bool, str]:
        return self.around.roots[path].role is not Role.PRIMARY, path


def _kept_from(action: Action, writer: str) -> Action:
    """The same, with a kept file that `writer` cannot write into by the name that becomes a link."""
    return action._replace(
        read_only=True,
        reason=f"{action.reason}; read-only from now on, since {writer} writes into its files where they lie",
        instead=tuple(_kept_from(one, writer) for one in action.instead),
    )


def _holes(replica: IndexedReplica) -> int:
    """The bytes of a file that take no blocks; 0 for what is only rounded."""
    missing = replica.signature.size - replica.allocated
    return missing if missing >= _BLOCK else 0
