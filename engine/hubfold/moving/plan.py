"""What a move would do: which models go where, what is copied, and which files become links to the copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold.content import LinkKind, Root
from hubfold.disk.in_use import is_open
from hubfold.errors import HubfoldError, LeftAlone, UsageError
from hubfold.faults import BackendFault
from hubfold.folding.plan import Plan
from hubfold.library.availability import hidden
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import ModelName, Name, unknown
from hubfold.moving.links import HeldAlone, Leaving
from hubfold.moving.originals import Known, parts_of
from hubfold.progress import Stop
from hubfold.reports.outcomes import Left
from hubfold.transfer.archive import BackedUp, unfit
from hubfold.transfer.restore import RestorePlan

#: Why a model stays that a program has open.
OPEN = "a program has a file of it open; it can move when that is closed"


#: Why one stays where the two places share its extents: what it would have there is a second whole model.
SHARED = "nothing would be freed: one drive that shares extents has both places; to have it in both, `hubfold download"


@dataclass(frozen=True, slots=True)
class MovedModel:
    """One model on its way from one root to another."""

    name: Name
    source: Root
    #: The folder of the model in its root.
    home: str
    #: What has to be in the target.
    restore: RestorePlan
    #: sha256 → where the content lies now.
    paths: Mapping[str, str]
    #: The revisions that the target does not have.
    made: tuple[str, ...]
    files: tuple[Leaving, ...] = ()
    #: The links that take the place of these.
    links: Plan = field(default_factory=Plan)

    @property
    def bytes(self) -> int:
        """What it is made of, each content once, by length."""
        return sum(self.restore.objects.values())

    @property
    def frees(self) -> int:
        """What the drive that it leaves gets back, by allocated blocks; 0 where it goes to one on the same drive."""
        return sum(action.bytes for action in self.links.actions if action.link is LinkKind.SYMLINK)


@dataclass(frozen=True, slots=True)
class Stays:
    """Why a model is not moved; not worth telling where nobody asked for it and it takes nothing."""

    reason: str
    worth_telling: bool = True


@dataclass(frozen=True, slots=True)
class MovePlan:
    """Models that move to `target`, and those that stay, with the reason."""

    target: Root
    models: tuple[MovedModel, ...]
    left: tuple[Left, ...] = ()
    #: Bytes a second, None for as fast as it goes.
    pace: int | None = None
    min_size: int = 0
    #: Of a whole cache: what only its vault has.
    alone: tuple[HeldAlone, ...] = ()

    @property
    def copied(self) -> int:
        """What has to be written, in bytes."""
        missing: dict[str, int] = {}
        for model in self.models:
            missing |= model.restore.missing
        return sum(missing.values()) + sum(one.copied for one in self.alone)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asked to move: models, or all of one root; of a model that several roots have the one in `source`."""

    models: Sequence[ModelName] = ()
    source: str | None = None
    suggest: Sequence[str] = ()


def chosen(holdings: Holdings, wish: Wish, target: Root) -> Iterator[list[HeldRevision]]:
    """The models that were asked for: of each its revisions in the root that it leaves.

    Raises `UnknownModel`, `UsageError` for one that several roots have.
    """
    held: dict[tuple[Name, str], list[HeldRevision]] = {}
    for one in holdings.held():
        root = one.root.path
        if (
            one.snapshot.repo_id
            and holdings.is_cache(one.root)
            and root in (wish.source or root,)
            and root != target.path
        ):
            held.setdefault((one.name, root), []).append(one)
    if not wish.models:
        yield from (found for _, found in sorted(held.items()))
    for asked in wish.models:
        meant = asked.among({name for name, _ in held})
        if meant is None:
            raise _nowhere(holdings, wish, asked, target)
        places = [key for key in held if key[0] == meant]
        if len(places) > 1:
            where = " and ".join(path for _, path in places)
            raise UsageError(f"{meant} lies in {where}", "say by --from which of them it is to leave")
        yield held[places[0]]


def _nowhere(holdings: Holdings, wish: Wish, asked: ModelName, target: Root) -> HubfoldError:
    everywhere = [one for one in holdings.held() if one.snapshot.repo_id]
    name = asked.among({one.name for one in everywhere})
    if name is None:
        near = [*wish.suggest, *sorted({str(one.name) for one in everywhere})]
        return unknown(asked.name, near, hidden=hidden(holdings, asked))
    roots = sorted({one.root.path for one in everywhere if one.name == name})
    if wish.source is not None:
        return HubfoldError(f"{name} is not in {wish.source}", f"it is in {', '.join(roots)}")
    if roots == [target.path]:
        return HubfoldError(f"{name} is in {target.path} already, and nowhere else", "nothing has to move")
    return HubfoldError(
        f"no cache but the target holds {name}: only what a client's cache holds can move",
        f"it is in {', '.join(roots)}",
    )


def of_model(
    holdings: Holdings, held: Sequence[HeldRevision], target: Root, *, known: Known, stop: Stop
) -> MovedModel:
    """What has to be in the target for a model. Raises `LeftAlone` where it cannot be had as a whole."""
    name, source = held[0].name, held[0].root
    backend = holdings.backend(source)
    models: list[BackedUp] = []
    paths: dict[str, str] = {}
    sums: dict[tuple[int, int], str] = {}
    for one in held:
        snapshot = one.snapshot
        if snapshot.broken:
            raise LeftAlone(f"a file of {snapshot.revision[:12]} cannot be read; see `hubfold doctor`")
        try:
            found, where = parts_of(list(holdings.parts(one)), known, sums, stop)
        except BackendFault as fault:
            raise LeftAlone(str(fault)) from fault
        model = BackedUp(source.backend, snapshot.repo_type, snapshot.repo_id, snapshot.revision, found)
        if not found or (reason := unfit(model, holdings.backends)):
            raise LeftAlone(reason if found else "its layout does not say what it is made of")
        models.append(model)
        paths |= {**where, **paths}
    places = {part.name: backend.place(part.name) for model in models for part in model.parts}
    plan = RestorePlan(
        target, tuple(models), {name: place for name, place in places.items() if place is not None}
    )
    there = {one.snapshot.revision for one in holdings.by_name.get(name, ()) if one.root.path == target.path}
    home = held[0].snapshot.home or os.path.dirname(held[0].snapshot.path)
    made = tuple(model.revision for model in models if model.revision not in there)
    return MovedModel(name, source, home, plan, paths, made=made)


def contents_of(model: MovedModel) -> dict[str, str]:
    """By the path of each file of a model, that of its copy."""
    source, target = model.source.path, model.restore.root.path
    return {
        os.path.join(source, part.name): os.path.join(target, part.name)
        for one in model.restore.models
        for part in one.parts
        if part.link is None
    }


def why_it_stays(model: MovedModel) -> Stays | None:
    """Why a model that could be copied is not moved; None where nothing speaks against it."""
    if any(is_open(path) for path in sorted(set(model.paths.values()))):
        return Stays(OPEN)
    if model.links.actions:
        shared = all(action.link is LinkKind.REFLINK for action in model.links.actions)
        return Stays(f"{SHARED} {model.name} --into {model.restore.root.path}`") if shared else None
    if not model.files:
        reason = "no file of it is large enough to become a link, or all are links already"
        return Stays(reason, worth_telling=False)
    reasons = [skip.reason for skip in model.links.skipped]
    if not reasons:
        return Stays("it is there already", worth_telling=False)
    return Stays(f"nothing would be freed: {reasons[0]}")


def with_links(model: MovedModel, files: Sequence[Leaving], links: Callable[[], Plan]) -> MovedModel:
    """The model with the links that are to stand in place of `files`."""
    return replace(model, files=tuple(files), links=links() if files else Plan())
