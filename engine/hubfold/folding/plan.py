"""A plan as data: what would be replaced by what, why, what is left alone, and what it frees.

The plan that a dry run shows is the object that the executor applies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hubfold.content import IndexedReplica, LinkKind


class Action(NamedTuple):
    """One replica replaced by a link to (or by the extents of) its keeper; a tuple as `IndexedReplica` is."""

    victim: IndexedReplica
    keeper: IndexedReplica
    link: LinkKind
    #: What the path reads afterwards: the vault object (symlink), else the keeper's own path.
    target: str
    reason: str
    #: What the file system gets back by this action, by allocated blocks; 0 for all but the last name of a payload.
    bytes: int
    digests: Mapping[str, str]
    #: The vault folder that holds `target`, None where no object is needed.
    vault: str | None = None
    #: The mtime that the keeper's inode has to be given so that every client that reads it believes its bookkeeping.
    keeper_mtime_ns: int | None = None
    #: Whether the keeper is made read-only: programs will reach it by a path that they take for a file of their own.
    read_only: bool = False
    #: The folder whose users have to get to `target`: what is made of the vault gets its permissions.
    vault_serves: str = ""
    #: Whether the victim's file may be kept in its turn, where the keeper can get no more names.
    may_keep: bool = True
    #: Whether the text of a symlink has to be relative, also to another file system: a mount of both shows it whole.
    relative: bool = False
    #: What is done where the file system refuses this: for shared extents, a link for each name of the payload.
    instead: tuple[Action, ...] = ()

    @property
    def path(self) -> str:
        return self.victim.path


class Skip(NamedTuple):
    """A replica of a duplicate set that stays as it is, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A list of actions with its totals. Actions of one keeper stand together, those of one victim payload too."""

    actions: tuple[Action, ...] = ()
    skipped: tuple[Skip, ...] = ()
    #: What the user should know before saying yes (HF will warn about a vault inside its cache; running as root …).
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """What the file systems get back if every action succeeds, by allocated blocks."""
        return sum(action.bytes for action in self.actions)


def with_one_mtime(actions: Sequence[Action]) -> list[Action]:
    """The actions of a keeper, each with the one mtime that all its readers believe."""
    bounds = [bound for action in actions if (bound := action.keeper_mtime_ns) is not None]
    if not bounds:
        return list(actions)
    bound = min(bounds)
    if actions[0].keeper.signature.mtime_ns <= bound:
        return [
            action if action.keeper_mtime_ns is None else action._replace(keeper_mtime_ns=None)
            for action in actions
        ]
    older = [a.victim.signature.mtime_ns for a in actions if a.victim.signature.mtime_ns <= bound]
    return [action._replace(keeper_mtime_ns=min(older, default=bound)) for action in actions]
