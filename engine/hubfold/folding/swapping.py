"""Names exchanged for links to a keeper: each taken back whole if anything is not what was compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from hubfold import errors
from hubfold.content import LinkKind
from hubfold.disk import exchange, permissions, seen_twice
from hubfold.disk.filesystem import FileSystems, Shows
from hubfold.disk.held import WRITE_BITS, Attributes, HeldFile
from hubfold.errors import LeftAlone, OneFile
from hubfold.folding.outcomes import Outcomes
from hubfold.folding.plan import Action
from hubfold.folding.rights import Standing, no_link, no_symlink
from hubfold.folding.swaps import KeeperGroup, Swap, intent_of, is_link, reads
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.vault import objects
from hubfold.vault.names import of_object
from hubfold.vault.need import Here

#: Whether a directory was made durable; by (device, inode), each asked once a batch.
_Synced = dict[tuple[int, int], OSError | None]


class Swapper:
    """Makes the links of a batch whose files are held and were compared."""

    def __init__(self, journal: Journal, filesystems: FileSystems, outcomes: Outcomes) -> None:
        #: Descriptors that keep displaced files until somebody has the time to free them, where `keeps` says so.
        self.displaced: list[int] = []
        self.keeps = False
        self._journal = journal
        self._filesystems = filesystems
        self._outcomes = outcomes
        self._ways = permissions.Ways()
        self._here = Here.now()

    def swap(self, groups: Sequence[KeeperGroup]) -> None:
        self._ways = permissions.Ways()
        for group in groups:
            self._announce(group)
        self._journal.sync()
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
            synced: _Synced = {}
            for swap, keeper in replaced:
                if self._names_durable(swap, keeper, synced):
                    self._finish(swap, keeper)
        self._journal.sync()

    def _announce(self, group: KeeperGroup) -> None:
        keeper, action = group.keeper, group.action
        mode = keeper.attributes.mode & ~(WRITE_BITS if group.read_only else 0)
        mtime_ns = keeper.attributes.mtime_ns if action.keeper_mtime_ns is None else action.keeper_mtime_ns
        keepers.announce(self._journal, keeper, action.keeper.root, mode=mode, mtime_ns=mtime_ns)
        for object_ in group.objects:
            vault = of_object(object_)
            self._place(vault, objects.id_of(vault))
            self._journal.append("object", path=object_, keeper=keeper.path)
        self._place(action.keeper.root)
        for swap in group.swaps:
            intent = intent_of(swap, group, mtime_ns, mode, self._mount(swap.action.path))
            self._place(intent.root)
            self._journal.place(intent.mount)
            self._journal.append("intent", **intent.as_record())

    def _place(self, folder: str, vault: str = "") -> None:
        """Note where a root or a vault lies, before anything relies on it, and what it is mounted by."""
        self._journal.place(folder, vault)
        with suppress(OSError):
            self._journal.place(self._filesystems.of(folder).mount)

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
            self._outcomes.drop(group.swaps, "the vault holds another file under the digest of this one")
        except OSError as error:
            text = f"the kept file {keeper.path} could not be made ready: {errors.describe(error)}"
            self._outcomes.drop(group.swaps, text, error)
        else:
            return True
        return False

    def _line(self, action: Action) -> objects.NeededBy:
        vault, mount = of_object(action.target), self._mount(action.path)
        return self._here.needed_by(action.path, action.victim.root, self._journal.run, vault, mount)

    def _drop_views(self, group: KeeperGroup) -> bool:
        """Leave out the victims that are the keeper's own file, seen through another mount; whether any is left.

        A link to itself would be all that remained of it.
        """
        keeper = group.keeper
        suspects = [victim for victim in group.victims if self._may_be(victim, keeper)]
        found = seen_twice.views(keeper, suspects) if suspects else ()
        for swap in [swap for swap in group.swaps if swap.victim in suspects]:
            if found is None and Shows.OTHERS in self._shown(swap.victim, keeper):
                error = LeftAlone(
                    "it may be the kept file itself, seen through another mount: that cannot be told"
                )
            elif swap.victim in (found or ()):
                error = OneFile(f"it is the same file as {keeper.path}, seen through another mount")
            else:
                continue
            group.swaps.remove(swap)
            self._outcomes.drop([swap], error)
        return bool(group.swaps)

    def _may_be(self, victim: HeldFile, keeper: HeldFile) -> bool:
        """Whether two inodes may be one file: never where each lies on a file system that has its files for itself."""
        shown = self._shown(victim, keeper)
        one_device = victim.signature.device == keeper.signature.device
        return Shows.OTHERS in shown or not (one_device or shown == {Shows.OWN})

    def _shown(self, *files: HeldFile) -> set[Shows]:
        return {self._filesystems.of(os.path.dirname(held.path)).shows for held in files}

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
                raise LeftAlone("the link would not read the kept file")
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
            raise LeftAlone(f"the kept file {keeper.path} changed meanwhile")
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
            self._outcomes.fail(
                swap.action, f"{errors.describe(error)}; taking it back failed: {errors.describe(second)}"
            )
            return
        if settled:
            self._outcomes.drop([swap], errors.describe(error), None if made else error)
        else:
            self._outcomes.fail(swap.action, error)

    def _names_durable(self, swap: Swap, keeper: HeldFile, synced: _Synced) -> bool:
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
        if self.keeps:
            with suppress(OSError):  # out of descriptors: then it is freed at the end of the batch
                self.displaced.append(os.dup(swap.victim.fd))
        self._outcomes.done(swap)
