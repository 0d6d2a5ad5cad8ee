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

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import xxhash

from hubfold import errors
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import HeldFile
from hubfold.errors import Interrupted, LeftAlone
from hubfold.folding.holding import Held, Holder, Locks
from hubfold.folding.outcomes import Outcome, Outcomes
from hubfold.folding.plan import Action, Plan
from hubfold.folding.swapping import Swapper
from hubfold.folding.swaps import KeeperGroup, Swap, batches, intent_of
from hubfold.journal.journal import Journal
from hubfold.progress import Progress, Stop
from hubfold.reading import compare, extents
from hubfold.reading.pool import rotates

#: Why files were left alone: some victims each, or their keeper and so all of them.
_Wrong: TypeAlias = "dict[HeldFile, LeftAlone | OSError] | LeftAlone | OSError | Interrupted"


class Executor:
    """Applies plans under one journal. `locks` tells the lock files to hold while an action's path is replaced;
    up to `readers` keepers are compared at once."""

    def __init__(
        self, journal: Journal, *, locks: Locks, readers: int, progress: Progress, stop: Stop
    ) -> None:
        self._journal = journal
        self._readers = readers
        self._progress = progress
        self._stop = stop
        self._filesystems = FileSystems()
        self._outcomes = Outcomes(journal)
        self._holder = Holder(journal.run, locks, self._filesystems, self._outcomes)
        self._swapper = Swapper(journal, self._filesystems, self._outcomes)
        self._swapper.keeps = readers > 1

    @property
    def outcomes(self) -> list[Outcome]:
        """What was begun so far, in order; of a run that was interrupted too."""
        return self._outcomes.found

    def apply(self, plan: Plan) -> list[Outcome]:
        """Apply `plan`; the outcome of every action that was begun, in order.

        A path that cannot be replaced is an outcome with an error; the others go on. Raises `Interrupted` between two
        batches when a stop was asked for, and `OSError` if the journal cannot be written: then nothing that it does
        not announce has been changed.
        """
        self._progress.start(
            "folding", sum(a.keeper.signature.size + a.victim.signature.size for a in plan.actions), "bytes"
        )
        try:
            # Waited for: what is reported as freed is free.
            with ThreadPoolExecutor(1, "hubfold-free") as behind:
                actions: Sequence[Action] = plan.actions
                while actions:
                    for batch in batches(actions, self._readers):
                        self._stop.check()
                        try:
                            self._apply_batch(batch)
                        finally:
                            while self._swapper.displaced:
                                behind.submit(os.close, self._swapper.displaced.pop())
                    actions = self._outcomes.second_try()
        finally:
            self._holder.close()
            self._progress.finish()
        return self.outcomes

    def _apply_batch(self, batch: list[list[Action]]) -> None:
        with Held() as held:
            groups = [group for actions in batch if (group := self._holder.hold(actions, held)) is not None]
            self._share([group for group in groups if group.shares])
            linked = [group for group in groups if not group.shares]
            for group, wrong in zip(linked, self._read(self._compare, linked), strict=True):
                self._leave_out(group, wrong)
            if ready := [group for group in linked if group.swaps]:
                self._swapper.swap(ready)
                self._holder.remember(ready)

    def _tick(self, amount: int) -> None:
        self._progress.advance(amount)
        self._stop.check()

    def _read(self, work: Callable[[KeeperGroup], _Wrong], groups: Sequence[KeeperGroup]) -> list[_Wrong]:
        """`work` on each group, in order; on several at once, so that waits for the drive overlap, but where a disk
        rotates."""
        devices = {held.signature.device for group in groups for held in (group.keeper, *group.victims)}
        readers = 1 if any(map(rotates, devices)) else min(self._readers, len(groups))
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
            return LeftAlone(f"the kept file {group.keeper.path} was left alone: {errors.describe(error)}")
        group.xxh3_128 = digest.hexdigest()
        if len(wrong) < len(group.victims):
            try:
                os.fsync(group.keeper.fd)
                group.keeper.directory.sync()
            except OSError as error:
                return LeftAlone(
                    f"the kept file {group.keeper.path} could not be made durable: {errors.describe(error)}"
                )
        return wrong

    def _leave_out(self, group: KeeperGroup, wrong: _Wrong) -> None:
        left: list[Swap] = []
        for swap in group.swaps:
            reason = _reason(swap, wrong)
            if reason is None:
                left.append(swap)
            else:
                self._outcomes.fail(swap.action, reason)
        group.swaps = left

    # reflinks

    def _share(self, groups: Sequence[KeeperGroup]) -> None:
        """Let victims share their keeper's extents: the kernel compares, and no name, inode or time changes."""
        if not groups:
            return
        for group in groups:
            for swap in group.swaps:
                keeper = group.keeper
                mount = self._filesystems.of(os.path.dirname(swap.action.path)).mount
                intent = intent_of(swap, group, keeper.signature.mtime_ns, keeper.attributes.mode, mount)
                self._journal.append("intent", **intent.as_record())
        self._journal.sync()
        for group, wrong in zip(groups, self._read(self._share_extents, groups), strict=True):
            for swap in group.swaps:
                reason = _reason(swap, wrong)
                if reason is None:
                    self._outcomes.done(swap)
                elif isinstance(reason, Interrupted):
                    self._journal.append("dropped", number=swap.number, reason=errors.describe(reason))
                else:
                    self._outcomes.drop([swap], reason, reason)
        self._stop.check()

    def _share_extents(self, group: KeeperGroup) -> _Wrong:
        try:
            return extents.share_extents(group.keeper, group.victims, tick=self._tick)
        except Interrupted as error:
            return error
        except (LeftAlone, OSError) as error:
            return LeftAlone(f"the kept file {group.keeper.path} was left alone: {errors.describe(error)}")


def _reason(swap: Swap, wrong: _Wrong) -> LeftAlone | OSError | Interrupted | None:
    return wrong.get(swap.victim) if isinstance(wrong, dict) else wrong
