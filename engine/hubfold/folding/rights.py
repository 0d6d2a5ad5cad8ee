"""Whether a link leaves everybody what he could read (invariant 13). Pure: judged for a plan, and again before a swap.

Who could read the path reads it afterwards: the kept file is open to whoever the replaced one is open to, so that this
stays true where a folder above is opened later, and whoever could read the path can pass every folder above the target
of a symlink too. Who could not cannot: neither by the path, nor by the object that the vault gets for it.
"""

from __future__ import annotations

from typing import NamedTuple

from hubfold.access import OPEN, Alone, Permissions, Way, named, readers, shut_out, stopped_by


class Standing(NamedTuple):
    """A file with what stands around it."""

    path: str
    file: Permissions
    way: Way = OPEN


class Makes(NamedTuple):
    """Whoever folds without being root makes files for himself and his groups only."""

    uid: int
    gids: frozenset[int]


def no_link(victim: Standing, keeper: Standing, alone: Alone) -> str | None:
    """Why no name of the kept file may take the path of the other, None if one may."""
    if keeper.file == victim.file:
        return None
    missing = shut_out(readers(victim.file), (readers(keeper.file),), alone)
    if missing is not None:
        return (
            f"{keeper.path} can be read by fewer users than it: {named(missing)} could not read it any more"
        )
    after, before = readers(keeper.file, victim.way), readers(victim.file, victim.way)
    extra = shut_out(after, (before,), alone)
    if extra is not None:
        return f"{keeper.path} can be read by more users than it: {named(extra)} could read it then"
    return None


def no_symlink(victim: Standing, keeper: Standing, target: Way, alone: Alone) -> str | None:
    """Why no symlink to another name of the kept file, in a folder with the way `target`, may take the path."""
    if victim.way.sticky not in (None, victim.file.uid):
        return "everybody may write to its folder, where the system lets others follow no link of its owner's"
    if keeper.file == victim.file and target == victim.way:
        return None
    before = readers(victim.file, victim.way)
    there = readers(keeper.file, target)
    missing = shut_out(before, (there,), alone)
    if missing is not None:
        closed = stopped_by(missing, there)
        where = f": {closed.path} is closed to them" if closed is not None else ""
        return f"{named(missing)} could not read it any more by a symlink{where}"
    extra = shut_out(there, (before, readers(keeper.file, keeper.way)), alone)
    if extra is not None:
        return f"{named(extra)} could read it in the vault, who cannot now"
    return None


def no_way_back(file: Permissions, gid: int, unsettable: str | None, makes: Makes | None) -> str | None:
    """Why this user could not take its replacement back: undo makes a new file, and gives it what it had."""
    if makes is None:
        return None
    if file.uid != makes.uid:
        return f"undo could not make it again: it belongs to user {file.uid}"
    if gid not in makes.gids:
        return f"undo could not make it again: its group {gid} is none of yours"
    if unsettable is not None:
        return f"undo could not make it again: {unsettable} is not yours to set"
    return None
