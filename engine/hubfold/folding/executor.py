"""Applies a plan: the order of calls that loses no byte, whatever happens in between (invariants 1 to 4).

Actions go in batches, so that a batch shares one fsync of the journal and one of each directory. Per batch::

    locks of the layouts' own programs, files held open, read leases     nothing is changed yet
    victims compared byte for byte with their keeper, keepers fsynced: several keepers at once
    intents journalled, fsynced
    victims that turn out to be the keeper's own file, seen twice, left out
    vault objects and `.links` made, fsynced; the keeper made read-only, its mtime settled
    each link made under a temporary name, exchanged with the victim
    displaced file, keeper and link looked at again; swapped back if one is not what was compared
    directories fsynced
    displaced files unlinked
    done journalled

A displaced file is freed when the last descriptor on it is closed. That takes a good part of the time of a compare,
most of it spent waiting, so it is left to a thread while the next batch is read.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

import xxhash

from hubfold import errors
from hubfold.content import TEMPORARY_PREFIX, LinkKind, Signature
from hubfold.disk import exchange, permissions
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems, Shows, link_text
from hubfold.disk.held import WRITE_BITS, Attributes, HeldFile
from hubfold.disk.locks import take_lock
from hubfold.errors import AllNamesTaken, BytesDiffer, Interrupted, LeftAlone, OneFile
from hubfold.folding import seen_twice
from hubfold.folding.plan import Action, Plan, with_one_mtime
from hubfold.folding.rights import Standing, no_link, no_symlink
from hubfold.folding.swaps import KeeperGroup, Swap, batches, is_link, reads
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.journal.records import Intent
from hubfold.progress import Progress, Stop
from hubfold.reading import compare, extents
from hubfold.reading.pool import rotates
from hubfold.vault import objects
from hubfold.vault.names import LOCK, of_object
from hubfold.vault.need import Here

if TYPE_CHECKING:
    import filelock

#: What a file system answers that has no such link, or not between these two files.
_REFUSALS = (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ETXTBSY)
_FULL = "has as many names as its file system allows"

#: Why files were left alone: some victims each, or their keeper and so all of them.
_Wrong: TypeAlias = "dict[HeldFile, LeftAlone | OSError] | LeftAlone | OSError | Interrupted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action: done where `error` is empty."""

    action: Action
    error: str = ""
    #: The bytes were compared and are not the same, so one of the two is not what its name or digest says.
    differs: bool = False
    #: Nothing went wrong: victim and keeper are one file, seen twice.
    one_file: bool = False


class Executor:
    """Applies plans under one journal. `locks` tells the lock files to hold while an action's path is replaced;
    up to `readers` keepers are compared at once."""

    def __init__(
        self,
        journal: Journal,
        *,
        locks: Callable[[Action], Sequence[str]],
        readers: int,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.journal = journal
        self.locks = locks
        self.readers = readers
        self.progress = progress
        self.stop = stop
        self.outcomes: list[Outcome] = []
        self._filesystems = FileSystems()
        self._ways = permissions.Ways()
        self._here = Here.now()
        self._number = 0
        self._vaults: dict[str, filelock.BaseFileLock] = {}
        self._new_vaults: list[str] = []
        #: Descriptors that keep displaced files until a thread has the time to free them; none with one reader.
        self._displaced: list[int] = []
        #: What another kind of link is tried for, the file system having refused the first.
        self._refused: list[Action] = []
        #: What the keeper of each payload could not serve, since its file can get no more names.
        #: By the victims' backend, since not every layout's files may become one with another's.
        self._full: dict[tuple[tuple[int, int], str], list[Action]] = {}
        #: Signatures of keepers after our own link, chmod and utime calls, which move their ctimes.
        self._ours: dict[tuple[int, int], Signature] = {}

    def apply(self, plan: Plan) -> list[Outcome]:
        """Apply `plan`; the outcome of every action that was begun, in order.

        A path that cannot be replaced is an outcome with an error; the others go on. Raises `Interrupted` between two
        batches when a stop was asked for, and `OSError` if the journal cannot be written: then nothing that it does
        not announce has been changed.
        """
        self.progress.start(
            "folding", sum(a.keeper.signature.size + a.victim.signature.size for a in plan.actions), "bytes"
        )
        try:
            # Waited for: what is reported as freed is free.
            with ThreadPoolExecutor(1, "hubfold-free") as behind:
                actions: Sequence[Action] = plan.actions
                while actions:
                    for batch in batches(actions, self.readers):
                        self.stop.check()
                        try:
                            self._apply_batch(batch)
                        finally:
                            while self._displaced:
                                behind.submit(os.close, self._displaced.pop())
                    actions = self._second_try()
        finally:
            for lock in self._vaults.values():
                lock.release()
            self._vaults.clear()
            for path in self._new_vaults:
                objects.clear_empty(path)  # nothing came of what it was made for
            self.progress.finish()
        return self.outcomes

    def _second_try(self) -> list[Action]:
        """What is done instead of what the file system refused: another kind of link, or another keeper."""
        refused, self._refused = self._refused, []
        full, self._full = self._full, {}
        by_keeper: dict[str, list[Action]] = {}
        for action in refused:
            by_keeper.setdefault(action.keeper.path, []).append(action)
        for actions in full.values():
            for action in self._with_second_keeper(actions):
                by_keeper.setdefault(action.keeper.path, []).append(action)
        return [action for actions in by_keeper.values() for action in with_one_mtime(actions)]

    def _with_second_keeper(self, actions: Sequence[Action]) -> Iterator[Action]:
        """The actions of a keeper that can get no more names, with the first file of them that stays in its place."""
        replaced = {outcome.action.victim.payload for outcome in self.outcomes if not outcome.error}
        whole = [a for a in actions if a.may_keep and a.victim.payload not in replaced]
        second = whole[0].victim if whole else None
        for action in actions:
            if second is None or action.victim.payload in (second.payload, *replaced):
                self._fail(action, f"{action.keeper.path} {_FULL}")
            else:
                target = second.path if action.link is LinkKind.HARDLINK else action.target
                reason = f"{action.reason}, to a second file: {action.keeper.path} {_FULL}"
                yield replace(action, keeper=second, target=target, reason=reason, instead=())

    def _fail(self, action: Action, error: BaseException | str) -> None:
        text = error if isinstance(error, str) else errors.describe(error)
        self.outcomes.append(
            Outcome(action, text, isinstance(error, BytesDiffer), isinstance(error, OneFile))
        )

    # -- a batch ----------------------------------------------------------------------------------------------------

    def _apply_batch(self, batch: list[list[Action]]) -> None:
        with ExitStack() as held:
            locks: dict[str, filelock.BaseFileLock] = {}
            groups = [group for actions in batch if (group := self._hold(actions, locks, held)) is not None]
            self._share([group for group in groups if group.shares])
            linked = [group for group in groups if not group.shares]
            for group, wrong in zip(linked, self._read(self._compare, linked), strict=True):
                self._leave_out(group, wrong)
            if ready := [group for group in linked if group.swaps]:
                self._swap(ready)

    def _hold(
        self, actions: list[Action], locks: dict[str, filelock.BaseFileLock], held: ExitStack
    ) -> KeeperGroup | None:
        """Open keeper and victims of one keeper's actions; None if none is left."""
        # Sharing extents takes nothing from a program that writes meanwhile: the kernel locks and compares.
        shares = actions[0].link is LinkKind.REFLINK
        try:
            for path, serves in dict.fromkeys(
                (a.vault, a.vault_serves) for a in actions if a.vault is not None
            ):
                self._lock_vault(path, serves)
            known = actions[0].keeper
            keeper = HeldFile(
                known.root, known.path, self._ours.get(known.payload, known.signature), lease=not shares
            )
        except (LeftAlone, OSError) as error:
            for action in actions:
                self._fail(
                    action, f"its keeper {actions[0].keeper.path} was left alone: {errors.describe(error)}"
                )
            return None
        held.callback(keeper.close)
        group = KeeperGroup(keeper)
        for _, names in groupby(actions, key=lambda action: action.victim.payload):
            payload = list(names)
            swaps: list[Swap] = []
            opened = held.enter_context(ExitStack())
            try:
                # Asked once: what is journalled is what was held.
                asked = [tuple(self.locks(action)) for action in payload]
                for action, paths in zip(payload, asked, strict=True):
                    for path in () if shares else paths:
                        if path not in locks:
                            locks[path] = take_lock(path, action.victim.root)
                            held.callback(locks[path].release)
                victim = HeldFile(
                    payload[0].victim.root, payload[0].path, payload[0].victim.signature, lease=not shares
                )
                opened.callback(victim.close)
                for action, paths in zip(payload, asked, strict=True):
                    directory, name = Directory.parent_of(action.victim.root, action.path)
                    opened.callback(directory.close)
                    if Signature.of(directory.lstat(name)) != action.victim.signature:
                        raise LeftAlone("it changed since it was scanned")
                    self._number += 1
                    temporary = f"{TEMPORARY_PREFIX}{self.journal.run}-{self._number}"
                    text = (
                        link_text(action.path, action.target, self._filesystems)
                        if action.link is LinkKind.SYMLINK
                        else ""
                    )
                    swaps.append(
                        Swap(
                            number=self._number,
                            action=action,
                            victim=victim,
                            directory=directory,
                            name=name,
                            temporary=temporary,
                            locks=paths,
                            text=text,
                            turn=len(swaps),
                        )
                    )
            except (LeftAlone, OSError) as error:
                opened.close()
                for action in payload:
                    self._fail(action, error)
            else:
                group.swaps.extend(swaps)
        return group if group.swaps else None

    def _lock_vault(self, path: str, serves: str) -> None:
        if path not in self._vaults:
            if not objects.is_vault(path):
                self._new_vaults.append(path)
                objects.make(path, serves)
            # The marker under the lock: who clears an empty vault away holds it meanwhile.
            self._vaults[path] = take_lock(os.path.join(path, LOCK), path)
            objects.prepare(path)

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()

    def _read(self, work: Callable[[KeeperGroup], _Wrong], groups: Sequence[KeeperGroup]) -> list[_Wrong]:
        """`work` on each group, in order; on several at once, so that waits for the drive overlap, but where a disk
        rotates."""
        devices = {held.signature.device for group in groups for held in (group.keeper, *group.victims)}
        readers = 1 if any(map(rotates, devices)) else min(self.readers, len(groups))
        if readers < 2:
            return [work(group) for group in groups]
        with ThreadPoolExecutor(readers, "hubfold-compare") as pool:
            return list(pool.map(work, groups))

    def _compare(self, group: KeeperGroup) -> _Wrong:
        """Compare every victim with the keeper (invariant 1), and fsync the keeper before anything relies on it.

        An error of fsync is final: a second one that succeeds proves nothing, since the kernel may have dropped the
        pages.
        """
        digest = xxhash.xxh3_128()
        try:
            wrong = compare.compare(group.keeper, group.victims, update=digest.update, tick=self._tick)
        except (LeftAlone, OSError) as error:
            return LeftAlone(f"its keeper {group.keeper.path} was left alone: {errors.describe(error)}")
        group.xxh3_128 = digest.hexdigest()
        if len(wrong) < len(group.victims):
            try:
                os.fsync(group.keeper.fd)
                group.keeper.directory.sync()
            except OSError as error:
                return LeftAlone(
                    f"its keeper {group.keeper.path} could not be made durable: {errors.describe(error)}"
                )
        return wrong

    def _leave_out(self, group: KeeperGroup, wrong: _Wrong) -> None:
        left: list[Swap] = []
        for swap in group.swaps:
            reason = _reason(swap, wrong)
            if reason is None:
                left.append(swap)
            else:
                self._fail(swap.action, reason)
        group.swaps = left

    # -- changing things ----------------------------------------------------------------------------------------------

    def _swap(self, groups: list[KeeperGroup]) -> None:
        self._ways = permissions.Ways()
        for group in groups:
            self._announce(group)
        self.journal.sync()
        ready = [group for group in groups if self._ready_keeper(group)]
        # The names of one payload take turns. btrfs logs all names of an inode with each directory that it syncs, so
        # one that is exchanged in a directory not synced yet would be missing after a power cut.
        for turn in range(max((swap.turn for group in ready for swap in group.swaps), default=-1) + 1):
            replaced = [
                (swap, group.keeper)
                for group in ready
                for swap in group.swaps
                if swap.turn == turn and self._replace(swap, group.keeper)
            ]
            synced: dict[tuple[int, int], OSError | None] = {}
            for swap, keeper in replaced:
                if self._names_durable(swap, keeper, synced):
                    self._finish(swap, keeper)
        for group in groups:
            with suppress(OSError):  # a drive that fails now fails the next batch where it says so
                if group.keeper.unchanged():
                    now = Signature.of(os.fstat(group.keeper.fd))
                    self._ours[now.device, now.inode] = now
        self.journal.sync()

    def _announce(self, group: KeeperGroup) -> None:
        keeper, action = group.keeper, group.action
        mode = keeper.attributes.mode & ~(WRITE_BITS if group.read_only else 0)
        mtime_ns = keeper.attributes.mtime_ns if action.keeper_mtime_ns is None else action.keeper_mtime_ns
        keepers.announce(self.journal, keeper, action.keeper.root, mode=mode, mtime_ns=mtime_ns)
        for object_ in group.objects:
            vault = of_object(object_)
            self._place(vault, objects.id_of(vault))
            self.journal.append("object", path=object_, keeper=keeper.path)
        self._place(action.keeper.root)
        for swap in group.swaps:
            intent = self._intent(swap, group, mtime_ns, mode)
            self._place(intent.root)
            self.journal.place(intent.mount)
            self.journal.append("intent", **intent.as_record())

    def _place(self, folder: str, vault: str = "") -> None:
        """Note where a root or a vault lies, before anything relies on it, and what it is mounted by."""
        self.journal.place(folder, vault)
        with suppress(OSError):
            self.journal.place(self._filesystems.of(folder).mount)

    def _intent(self, swap: Swap, group: KeeperGroup, keeper_mtime_ns: int, keeper_mode: int) -> Intent:
        action, attributes = swap.action, swap.victim.attributes
        return Intent(
            number=swap.number,
            path=action.path,
            root=action.victim.root,
            backend=action.victim.backend,
            link=action.link,
            target=action.target,
            text=swap.text,
            temporary=swap.temporary,
            keeper=action.keeper.path,
            keeper_root=action.keeper.root,
            keeper_inode=group.keeper.signature.inode,
            keeper_mtime_ns=keeper_mtime_ns,
            size=swap.victim.signature.size,
            xxh3_128=group.xxh3_128,
            digests=action.digests,
            payload=f"{swap.victim.signature.device}:{swap.victim.signature.inode}",
            inode=swap.victim.signature.inode,
            mode=attributes.mode,
            uid=attributes.uid,
            gid=attributes.gid,
            atime_ns=attributes.atime_ns,
            mtime_ns=attributes.mtime_ns,
            xattrs=attributes.xattrs,
            allocated=action.victim.allocated,
            bytes=action.bytes,
            reason=action.reason,
            mount=self._mount(action.path),
            locks=swap.locks,
            keeper_mode=keeper_mode,
        )

    def _ready_keeper(self, group: KeeperGroup) -> bool:
        """Vault objects and their `.links`, then the keeper's mode and mtime; whether the swaps may go on."""
        keeper, action = group.keeper, group.action
        try:
            if not self._drop_views(group):
                return False
            for object_ in group.objects:
                objects.add_object(object_, keeper)
                lines = [self._line(swap.action) for swap in group.swaps if swap.action.target == object_]
                objects.note_links(object_, lines)
            if group.read_only:
                keepers.make_read_only(keeper)
            if action.keeper_mtime_ns is not None:
                os.utime(keeper.fd, ns=(keeper.attributes.atime_ns, action.keeper_mtime_ns))
                keeper.signature = keeper.signature._replace(mtime_ns=action.keeper_mtime_ns)
        except FileExistsError:
            self._drop(group.swaps, "the vault holds another file under the digest of this one")
        except OSError as error:
            text = f"its keeper {keeper.path} could not be made ready: {errors.describe(error)}"
            self._drop(group.swaps, text, error)
        else:
            return True
        return False

    def _line(self, action: Action) -> objects.NeededBy:
        vault, mount = of_object(action.target), self._mount(action.path)
        return self._here.needed_by(action.path, action.victim.root, self.journal.run, vault, mount)

    def _drop_views(self, group: KeeperGroup) -> bool:
        """Leave out the victims that are the keeper's own file, seen through another mount; whether any is left.

        A link to itself would be all that remained of it.
        """
        keeper = group.keeper
        suspects = [victim for victim in group.victims if self._may_be(victim, keeper)]
        found = seen_twice.views(keeper, suspects) if suspects else ()
        for swap in [swap for swap in group.swaps if swap.victim in suspects]:
            if found is None and self._stacked(swap.victim, keeper):
                error = LeftAlone("it may be its keeper, seen through another mount: that cannot be told")
            elif swap.victim in (found or ()):
                error = OneFile(f"it is the same file as {keeper.path}, seen through another mount")
            else:
                continue
            group.swaps.remove(swap)
            self._drop([swap], error)
        return bool(group.swaps)

    def _may_be(self, victim: HeldFile, keeper: HeldFile) -> bool:
        """Whether two inodes may be one file: never on one file system that has its files for itself."""
        return victim.signature.device != keeper.signature.device or self._stacked(victim, keeper)

    def _stacked(self, *files: HeldFile) -> bool:
        return any(self._filesystems.of(os.path.dirname(held.path)).shows is Shows.OTHERS for held in files)

    def _mount(self, path: str) -> str:
        return self._filesystems.of(os.path.dirname(path)).mount

    def _replace(self, swap: Swap, keeper: HeldFile) -> bool:
        """Make the link and exchange it with the victim; taken back whole if anything is not as compared."""
        try:
            self._check_access(swap, keeper)
            if swap.action.link is LinkKind.SYMLINK:
                owner = swap.victim.attributes.uid, swap.victim.attributes.gid
                swap.directory.symlink(swap.text, swap.temporary, owner)
            else:
                swap.directory.link_from(keeper.directory, keeper.name, swap.temporary)
            if not reads(swap, swap.temporary, keeper):
                raise LeftAlone("the link would not read the keeper")
            swap.displaced = exchange.swap_in(swap.directory, swap.temporary, swap.name)
            self._look_again(swap, keeper)
        except (LeftAlone, OSError) as error:
            self._take_back(swap, keeper, error)
            return False
        return True

    def _check_access(self, swap: Swap, keeper: HeldFile) -> None:
        """Raise `LeftAlone` if the link would change who may read the path, by what files and folders are now."""
        action, before, now = swap.action, swap.victim.attributes, Attributes.of(swap.victim.fd)
        if (now.mode, now.uid, now.gid, now.xattrs) != (before.mode, before.uid, before.gid, before.xattrs):
            raise LeftAlone("its mode, owner or attributes changed meanwhile")
        victim = self._standing(action.path, now)
        kept = self._standing(keeper.path, Attributes.of(keeper.fd))
        target = self._ways.to(os.path.dirname(action.target))
        involved = (victim.file, kept.file, *victim.way.folders, *kept.way.folders, *target.folders)
        alone = frozenset[tuple[int, int]]().union(*map(permissions.alone, involved))
        reason = no_link(victim, kept, alone)
        if reason is None and action.link is LinkKind.SYMLINK:
            reason = no_symlink(victim, kept, target, alone)
        if reason is not None:
            raise LeftAlone(reason)

    def _standing(self, path: str, attributes: Attributes) -> Standing:
        way = self._ways.to(os.path.dirname(path))
        return Standing(path, permissions.of_attributes(attributes, path), way)

    def _look_again(self, swap: Swap, keeper: HeldFile) -> None:
        """Raise `LeftAlone` unless what was displaced, the keeper and the link are what was compared."""
        if not swap.victim.is_here(swap.directory, swap.displaced) or not swap.victim.unchanged():
            raise LeftAlone("it changed while it was being replaced")
        if not keeper.unchanged() or not keeper.is_here(keeper.directory, keeper.name):
            raise LeftAlone(f"its keeper {keeper.path} changed meanwhile")
        if not reads(swap, swap.name, keeper):
            raise LeftAlone("its path changed while it was being replaced")

    def _take_back(self, swap: Swap, keeper: HeldFile, error: BaseException, *, settled: bool = True) -> None:
        """Undo a replacement that is not finished, as far as it went.

        Where it is not sure what the disk holds now, the intent stays open in the journal, and recovery looks again.
        """
        made = True
        try:
            if swap.displaced:
                exchange.swap_back(
                    swap.directory,
                    swap.temporary,
                    swap.name,
                    swap.displaced,
                    ours=lambda name: is_link(swap, name, keeper),
                )
            # The link may be there even if the call that makes it reported an error.
            elif made := is_link(swap, swap.temporary, keeper):
                swap.directory.unlink(swap.temporary)
            swap.directory.sync()
        except (LeftAlone, OSError) as second:
            self._fail(
                swap.action, f"{errors.describe(error)}; taking it back failed: {errors.describe(second)}"
            )
            return
        if settled:
            self._drop([swap], errors.describe(error), None if made else error)
        else:
            self._fail(swap.action, error)

    def _names_durable(
        self, swap: Swap, keeper: HeldFile, synced: dict[tuple[int, int], OSError | None]
    ) -> bool:
        """fsync the swap's directory, each directory once a batch; a swap whose directory fails is taken back."""
        try:
            st = swap.directory.stat()
        except OSError as error:
            self._take_back(swap, keeper, error, settled=False)
            return False
        here = st.st_dev, st.st_ino
        if here not in synced:
            try:
                swap.directory.sync()
                synced[here] = None
            except OSError as error:
                synced[here] = error
        failure = synced[here]
        if failure is not None:
            self._take_back(swap, keeper, failure, settled=False)
        return failure is None

    def _finish(self, swap: Swap, keeper: HeldFile) -> None:
        try:
            self._look_again(swap, keeper)
            swap.directory.unlink(swap.displaced)
        except (LeftAlone, OSError) as error:
            self._take_back(swap, keeper, error)
            return
        if self.readers > 1:
            with suppress(OSError):  # out of descriptors: then it is freed at the end of the batch
                self._displaced.append(os.dup(swap.victim.fd))
        self.journal.append("done", number=swap.number)
        self.outcomes.append(Outcome(swap.action))

    def _drop(
        self, swaps: Iterable[Swap], reason: BaseException | str, refusal: BaseException | None = None
    ) -> None:
        """Give swaps up; what something else is tried for where the file system gave `refusal` has failed not yet."""
        for swap in swaps:
            text = reason if isinstance(reason, str) else errors.describe(reason)
            self.journal.append("dropped", number=swap.number, reason=text)
            if not self._tried_again(swap.action, refusal):
                self._fail(swap.action, reason)

    def _tried_again(self, action: Action, error: BaseException | None) -> bool:
        """Whether something else is done, what was tried having been refused."""
        if not isinstance(error, OSError):
            return False
        if isinstance(error, AllNamesTaken):
            self._full.setdefault((action.keeper.payload, action.victim.backend), []).append(action)
            return True
        if error.errno not in _REFUSALS or not action.instead:
            return False
        refused = f"no {action.link} here: {errors.describe(error)}"
        self._refused += [replace(one, reason=f"{one.reason} ({refused})") for one in action.instead]
        return True

    # -- reflinks -----------------------------------------------------------------------------------------------------

    def _share(self, groups: Sequence[KeeperGroup]) -> None:
        """Let victims share their keeper's extents: the kernel compares, and no name, inode or time changes."""
        if not groups:
            return
        for group in groups:
            for swap in group.swaps:
                keeper = group.keeper
                intent = self._intent(swap, group, keeper.signature.mtime_ns, keeper.attributes.mode)
                self.journal.append("intent", **intent.as_record())
        self.journal.sync()
        for group, wrong in zip(groups, self._read(self._share_extents, groups), strict=True):
            for swap in group.swaps:
                reason = _reason(swap, wrong)
                if reason is None:
                    self.journal.append("done", number=swap.number)
                    self.outcomes.append(Outcome(swap.action))
                elif isinstance(reason, Interrupted):
                    self.journal.append("dropped", number=swap.number, reason=errors.describe(reason))
                else:
                    self._drop([swap], reason, reason)
        self.stop.check()

    def _share_extents(self, group: KeeperGroup) -> _Wrong:
        try:
            return extents.share_extents(group.keeper, group.victims, tick=self._tick)
        except Interrupted as error:
            return error
        except (LeftAlone, OSError) as error:
            return LeftAlone(f"its keeper {group.keeper.path} was left alone: {errors.describe(error)}")


def _reason(swap: Swap, wrong: _Wrong) -> LeftAlone | OSError | Interrupted | None:
    return wrong.get(swap.victim) if isinstance(wrong, dict) else wrong
