"""Swaps: which names are replaced by links to which keeper, and how many of them at a time."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.disk.held import HeldFile
from hubfold.folding.plan import Action
from hubfold.journal.records import Intent

#: A batch is closed when it has this many actions, or keepers of this many bytes: leases are held all the while, and
#: a program that wants to write to a file of the batch waits for its end. What it displaced is freed behind it.
BATCH_ACTIONS = 64
BATCH_BYTES = 1 << 28


@dataclass(slots=True, eq=False)
class Swap:
    """One name on its way to being replaced."""

    number: int
    action: Action
    victim: HeldFile
    directory: Directory
    name: str
    temporary: str
    #: The lock files of the layout's own programs for this path.
    locks: tuple[str, ...]
    text: str = ""
    #: Which name of its payload it is.
    turn: int = 0
    displaced: str = ""


@dataclass(slots=True, eq=False)
class KeeperGroup:
    """The swaps of one keeper in a batch."""

    keeper: HeldFile
    swaps: list[Swap] = field(default_factory=list)
    xxh3_128: str = ""

    @property
    def action(self) -> Action:
        return self.swaps[0].action

    @property
    def shares(self) -> bool:
        """Whether its victims get the keeper's extents: no name is replaced then."""
        return self.action.link is LinkKind.REFLINK

    @property
    def read_only(self) -> bool:
        """Whether the keeper is made read-only for one of them."""
        return any(swap.action.read_only for swap in self.swaps)

    @property
    def objects(self) -> list[str]:
        """The vault objects that the links are to point at."""
        return list(dict.fromkeys(swap.action.target for swap in self.swaps if swap.action.vault is not None))

    @property
    def victims(self) -> list[HeldFile]:
        return list(dict.fromkeys(swap.victim for swap in self.swaps))


def batches(actions: Sequence[Action], readers: int) -> Iterator[list[list[Action]]]:
    """Actions by keeper, in batches; the actions of one payload are never parted. Files so large that each would be
    a batch are taken together as far as they can be read at once."""
    batch: list[list[Action]] = []
    count = size = 0
    for _, group in groupby(
        actions, key=lambda action: (action.keeper.path, action.link is LinkKind.REFLINK)
    ):
        for same_keeper in _portions(list(group)):
            batch.append(same_keeper)
            count += len(same_keeper)
            size += same_keeper[0].keeper.signature.size
            if count >= BATCH_ACTIONS or (size >= BATCH_BYTES and len(batch) >= readers):
                yield batch
                batch, count, size = [], 0, 0
    if batch:
        yield batch


def _portions(actions: list[Action]) -> Iterator[list[Action]]:
    """The actions of one keeper in portions whose files can be held open together."""
    portion: list[Action] = []
    for _, payload in groupby(actions, key=lambda action: action.victim.payload):
        portion.extend(payload)
        if len(portion) >= BATCH_ACTIONS:
            yield portion
            portion = []
    if portion:
        yield portion


def is_link(swap: Swap, name: str, keeper: HeldFile) -> bool:
    """Whether `name` is the link that was made for `swap`."""
    st = swap.directory.lstat_or_none(name)
    if st is None:
        return False
    if swap.action.link is LinkKind.SYMLINK:
        return stat.S_ISLNK(st.st_mode) and swap.directory.readlink(name) == swap.text
    return stat.S_ISREG(st.st_mode) and st.st_ino == keeper.signature.inode


def reads(swap: Swap, name: str, keeper: HeldFile) -> bool:
    """Whether a program that opens `name` gets the keeper's inode, by the link that was made."""
    try:
        st = swap.directory.stat_through(name)
    except OSError:
        return False
    same = (st.st_dev, st.st_ino) == (keeper.signature.device, keeper.signature.inode)
    return same and is_link(swap, name, keeper)


def intent_of(swap: Swap, group: KeeperGroup, keeper_mtime_ns: int, keeper_mode: int, mount: str) -> Intent:
    """What the journal says before the swap is made: all that is needed to take it back without looking at the link."""
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
        mount=mount,
        locks=swap.locks,
        keeper_mode=keeper_mode,
    )
