"""What duplicates cost: blocks that a fold would give back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from hubfold.content import DuplicateSet, IndexedReplica
from hubfold.duplicates import pending
from hubfold.duplicates.sets import duplicate_sets
from hubfold.duplicates.views import Shown
from hubfold.index.index import Index
from hubfold.index.tallies import Tally

if TYPE_CHECKING:
    from hubfold.backend.sides import Sides


#: Tells payloads that share all their extents: equal keys (None for no answer) take space once.
SharedExtents = Callable[[IndexedReplica], object | None]
#: Whether files in a folder, or anywhere on its file system, can share extents; True where that cannot be told.
MayShare = Callable[[str], bool]


class Sharing(NamedTuple):
    """How the disks are asked what is one file, or shares extents; not at all, where there is no `extents`."""

    extents: SharedExtents | None = None
    possible: MayShare | None = None
    shown: Shown | None = None
    #: Which payloads stay two files, as their clients need both.
    sides: Sides | None = None
    #: Count sets with a file below these folders, by what folding such files frees; empty for all.
    below: tuple[str, ...] = ()


#: Every payload takes space of its own.
UNASKED = Sharing()


class Cost(NamedTuple):
    """What duplicates take: how many sets, and how many bytes (by allocated blocks) folding them would free."""

    sets: int
    bytes: int


def duplicate_cost(
    index: Index,
    roots: Iterable[str],
    min_size: int,
    sharing: Sharing = UNASKED,
) -> Cost:
    """Add up the duplicate sets of these roots; only sizes that something changed of are worked out again."""
    paths = list(roots)
    key = f"duplicates {sharing.extents is not None} {cost_key(paths, min_size)}"
    key += f" below {cost_key(sharing.below, 0)}" if sharing.below else ""
    remembered = index.remembered(key)
    if remembered is not None:
        return Cost(*map(int, remembered.split()))
    tally = Tally(index, key)
    only = tally.where("f.size")
    pending.want(index, only, min_size, paths)
    figures: list[tuple[int, int, int, int]] = []
    # What shares its extents changes without any change of a file: that has to be asked again each time.
    again: set[int] = set()
    if not sharing.below and (sharing.extents is None or not _may_share(index, sharing.possible)):
        figures += [(size, sets, freed, 0) for size, sets, freed in pending.plain_costs(index, paths)]
        only = "f.size IN (SELECT size FROM wanted WHERE NOT plain)"
    found = duplicate_sets(index, paths, min_size, only, shown=sharing.shown)
    for size, same in groupby(found, attrgetter("size")):
        sets, freed = 0, 0
        for duplicates in same:
            index.file.settle()
            if sharing.below and not any(_lies_in(replica, sharing.below) for replica in duplicates.replicas):
                continue
            shares = _shares(duplicates, sharing.extents)
            if any(kind == "extents" for kind, _ in shares):
                again.add(size)
            if len(shares) > 1:
                sets += 1
                freed += _freed_by_side(list(shares.values()), sharing)
        if sets:
            figures.append((size, sets, freed, 0))
    if not tally.put(figures, again):
        return duplicate_cost(index, paths, min_size, sharing)
    sets, freed, _ = tally.sums()
    index.remember(key, f"{sets} {freed}")
    return Cost(sets, freed)


def reclaimable(duplicates: DuplicateSet, sharing: Sharing = UNASKED) -> int:
    """Bytes, by allocated blocks, that folding a set frees: all payloads but the keeper.

    A payload with names outside of the set frees nothing, nor does one that must stay or that tolerates no link;
    payloads that share their extents are folded already. With `Sharing.below`, one with a name elsewhere stays.
    """
    return _freed_by_side(list(_shares(duplicates, sharing.extents).values()), sharing)


def cost_key(roots: Iterable[str], min_size: int) -> str:
    paths = hashlib.sha256(b"\0".join(sorted(map(os.fsencode, roots)))).hexdigest()
    return f"{min_size} {paths}"


def _may_share(index: Index, may_share: MayShare | None) -> bool:
    """Whether some file of a plain size lies where extents can be shared, as far as can be told."""
    return may_share is None or any(
        may_share(os.fsdecode(folder)) for _, folder in pending.plain_devices(index)
    )


def _shares(
    duplicates: DuplicateSet, shared_extents: SharedExtents | None
) -> dict[tuple[str, object], list[list[IndexedReplica]]]:
    """The payloads, those together that share their extents."""
    shares: dict[tuple[str, object], list[list[IndexedReplica]]] = {}
    for payload, replicas in duplicates.payloads.items():
        extents = None if shared_extents is None else shared_extents(replicas[0])
        shares.setdefault(("payload", payload) if extents is None else ("extents", extents), []).append(
            replicas
        )
    return shares


def _freed_by_side(shares: list[list[list[IndexedReplica]]], sharing: Sharing) -> int:
    """`_freed`, where copies and what a client copies over them are folded apart, unless extents do for both."""
    sides, payloads = sharing.sides, [payload for share in shares for payload in share]
    if sides is None or not any(map(sides.copied_over, payloads)):
        return _freed(shares, sharing.below)
    possible = sharing.possible
    if possible is not None and all(possible(os.path.dirname(payload[0].path)) for payload in payloads):
        return _freed(shares, sharing.below)
    cached = [share for share in shares if all(map(sides.cached, share))]
    others = [share for share in shares if share not in cached]
    return _freed(cached, sharing.below) + _freed(others, sharing.below)


def _freed(shares: list[list[list[IndexedReplica]]], below: Sequence[str]) -> int:
    free, stay = [], 0
    for payloads in shares:
        if all(_may_go(replicas, below) for replicas in payloads):
            free.append(max(replica.allocated for replicas in payloads for replica in replicas))
        else:
            stay += 1
    return sum(free) if stay else sum(free) - max(free, default=0)


def _may_go(replicas: list[IndexedReplica], below: Sequence[str]) -> bool:
    return max(replica.nlink for replica in replicas) <= len(replicas) and not any(
        replica.pinned or replica.links == frozenset() or (below and not _lies_in(replica, below))
        for replica in replicas
    )


def _lies_in(replica: IndexedReplica, folders: Sequence[str]) -> bool:
    return any(replica.path.startswith(folder.rstrip("/") + "/") for folder in folders)
