"""Which models of a download go to which place: where they are registered, else to the first place with the room.

A model is planned for one place at a time, since what has to be fetched depends on what that place has already. Under
its limit a place has what `du` counts, so a file counts there that is one with another cache's, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from hubfold.content import Root
from hubfold.models.names import ModelName
from hubfold.places import space
from hubfold.places.space import Room
from hubfold.transfer.download import DownloadPlan, ModelDownload, margin_of

#: Plans models for one cache.
Planner = Callable[[Root, Sequence[ModelName]], DownloadPlan]


@dataclass(frozen=True, slots=True)
class Target:
    """A cache that models may go to: its name for people, and how much room it has when that is asked."""

    root: Root
    called: str
    room: Callable[[], Room]

    @property
    def name(self) -> str:
        """What it is called, "" where that is its path."""
        return "" if self.called == self.root.path else self.called


def allot(
    models: Sequence[ModelName],
    targets: Sequence[Target],
    plan: Planner,
    written: dict[Hashable, int],
) -> list[DownloadPlan]:
    """The plans that put each of `models` into the first of `targets` that has the room for it.

    `written` is what was planned for each drive before, and is added to: places may share one. What fits nowhere
    stays with the first, and `download.check_space` says why not.
    """
    first, *others = targets
    planned = replace(plan(first.root, models), called=first.name)
    if not others or not any(map(needed, planned.models)):
        _count(planned, written)
        return [planned]
    kept, passed_on = _fitting(planned, first.room(), written)
    found = [replace(planned, models=tuple(kept))]
    if passed_on:
        found += _elsewhere(first, [models[number] for number in passed_on], others, plan, written=written)
        placed = {model.name for one in found[1:] for model in one.models}
        left = [planned.models[n] for n in passed_on if planned.models[n].name not in placed]
        found[0] = replace(found[0], models=(*found[0].models, *left))
    return [one for one in found if one.models]


def _elsewhere(
    first: Target,
    models: Sequence[ModelName],
    others: Iterable[Target],
    plan: Planner,
    *,
    written: dict[Hashable, int],
) -> list[DownloadPlan]:
    found = []
    left = list(models)
    for target in others:
        if not left:
            break
        planned = plan(target.root, left)
        kept, passed_on = _fitting(planned, target.room(), written)
        if kept:
            why = f"{first.called} has no room for it ({first.room().figures})"
            found.append(replace(planned, models=tuple(kept), called=target.name, why=why))
        left = [left[number] for number in passed_on]
    return found


def _fitting(
    planned: DownloadPlan, room: Room, written: dict[Hashable, int]
) -> tuple[list[ModelDownload], list[int]]:
    """The models that fit, one after the other, and the numbers of those that do not."""
    drive = space.drive_of(planned.cache.path)
    kept, passed_on, held = [], [], 0
    for number, model in enumerate(planned.models):
        more = needed(model)
        anew = replace(planned, models=(model,)).written_bytes
        taken = written.get(drive, 0) + anew
        if more and not room.fits(held + more, taken, margin_of(taken)):
            passed_on.append(number)
        else:
            kept.append(model)
            held += more
            written[drive] = taken
    return kept, passed_on


def _count(planned: DownloadPlan, written: dict[Hashable, int]) -> None:
    drive = space.drive_of(planned.cache.path)
    written[drive] = written.get(drive, 0) + planned.written_bytes


def needed(model: ModelDownload) -> int:
    """Bytes that a place holds more of when the model is there: fetched, copied or shared with others."""
    known = sum(one.size for one in model.wanted if "sha256" in one.candidates[0].digests)
    return model.fetch_bytes + known
