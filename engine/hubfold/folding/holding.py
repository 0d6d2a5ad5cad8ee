"""Keepers, victims and what else an action needs, opened and held: nothing is changed yet, but vaults are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import groupby

from hubfold import errors
from hubfold.content import TEMPORARY_PREFIX, LinkKind, Signature
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems, link_text
from hubfold.disk.held import HeldFile
from hubfold.disk.locks import OwnLock, take_lock, take_own_lock
from hubfold.errors import LeftAlone
from hubfold.folding.outcomes import Outcomes
from hubfold.folding.plan import Action
from hubfold.folding.swaps import KeeperGroup, Swap
from hubfold.vault import objects
from hubfold.vault.names import LOCK

#: The lock files to hold while an action's path is replaced.
Locks = Callable[[Action], Sequence[str]]


class Held:
    """Everything of one batch that is open or locked; let go of at its end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._locks: set[str] = set()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def callback(self, close: Callable[[], object]) -> None:
        self._stack.callback(close)

    def enter(self, opened: ExitStack) -> ExitStack:
        return self._stack.enter_context(opened)

    def lock(self, path: str, root: str) -> None:
        """Hold a lock file of the layout of `root`, if it is not held already."""
        if path not in self._locks:
            lock = take_lock(path, root)
            self._locks.add(path)
            self._stack.callback(lock.release)


class Holder:
    """Opens what actions are about; vaults stay locked until `close`."""

    def __init__(self, run: str, locks: Locks, filesystems: FileSystems, outcomes: Outcomes) -> None:
        #: Signatures of keepers after our own link, chmod and utime calls, which move their ctimes.
        self._ours: dict[tuple[int, int], Signature] = {}
        self._run = run
        self._locks = locks
        self._filesystems = filesystems
        self._outcomes = outcomes
        self._number = 0
        self._vaults: dict[str, OwnLock] = {}
        self._new_vaults: list[str] = []

    def close(self) -> None:
        """Let go of the vaults; those that nothing came into are removed again."""
        for lock in self._vaults.values():
            lock.release()
        self._vaults.clear()
        for path in self._new_vaults:
            objects.clear_empty(path)

    def hold(self, actions: Sequence[Action], held: Held) -> KeeperGroup | None:
        """Open keeper and victims of one keeper's actions; None if none is left."""
        # Sharing extents takes nothing from a program that writes meanwhile: the kernel locks and compares.
        shares = actions[0].link is LinkKind.REFLINK
        try:
            keeper = self._keeper(actions, lease=not shares)
        except (LeftAlone, OSError) as error:
            text = f"the kept file {actions[0].keeper.path} was left alone: {errors.describe(error)}"
            for action in actions:
                self._outcomes.fail(action, text)
            return None
        held.callback(keeper.close)
        group = KeeperGroup(keeper)
        for _, names in groupby(actions, key=lambda action: action.victim.payload):
            payload = list(names)
            opened = held.enter(ExitStack())
            try:
                group.swaps += self._payload(payload, held, opened, shares=shares)
            except (LeftAlone, OSError) as error:
                opened.close()
                for action in payload:
                    self._outcomes.fail(action, error)
        return group if group.swaps else None

    def remember(self, groups: Sequence[KeeperGroup]) -> None:
        """Note what keepers are after what we did to them, for the next actions that they are opened for."""
        for group in groups:
            with suppress(OSError):  # a drive that fails now fails the next batch where it says so
                if group.keeper.unchanged():
                    now = Signature.of(os.fstat(group.keeper.fd))
                    self._ours[now.device, now.inode] = now

    def _keeper(self, actions: Sequence[Action], *, lease: bool) -> HeldFile:
        for path, serves in dict.fromkeys((a.vault, a.vault_serves) for a in actions if a.vault is not None):
            self._lock_vault(path, serves)
        known = actions[0].keeper
        return HeldFile(known.root, known.path, self._ours.get(known.payload, known.signature), lease=lease)

    def _payload(
        self, payload: Sequence[Action], held: Held, opened: ExitStack, *, shares: bool
    ) -> list[Swap]:
        """The swaps of all names of one victim."""
        # Asked once: what is journalled is what was held.
        asked = [tuple(self._locks(action)) for action in payload]
        for action, paths in zip(payload, asked, strict=True):
            for path in () if shares else paths:
                held.lock(path, action.victim.root)
        known = payload[0].victim
        victim = HeldFile(known.root, payload[0].path, known.signature, lease=not shares)
        opened.callback(victim.close)
        swaps: list[Swap] = []
        for action, paths in zip(payload, asked, strict=True):
            directory, name = Directory.parent_of(action.victim.root, action.path)
            opened.callback(directory.close)
            if Signature.of(directory.lstat(name)) != action.victim.signature:
                raise LeftAlone("it changed since it was scanned")
            self._number += 1
            symlink = action.link is LinkKind.SYMLINK
            swaps.append(
                Swap(
                    number=self._number,
                    action=action,
                    victim=victim,
                    directory=directory,
                    name=name,
                    temporary=f"{TEMPORARY_PREFIX}{self._run}-{self._number}",
                    locks=paths,
                    text=link_text(action.path, action.target, self._filesystems, relative=action.relative)
                    if symlink
                    else "",
                    turn=len(swaps),
                )
            )
        return swaps

    def _lock_vault(self, path: str, serves: str) -> None:
        if path not in self._vaults:
            if not objects.is_vault(path):
                self._new_vaults.append(path)
                objects.make(path, serves)
            # The marker under the lock: who clears an empty vault away holds it meanwhile.
            self._vaults[path] = take_own_lock(os.path.join(path, LOCK))
            objects.prepare(path)
