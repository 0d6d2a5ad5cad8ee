"""Places brought under their limits, by moving what was used longest ago; and the models that are to stay."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from hubfold.engine.following import Following
from hubfold.engine.moving import Moving
from hubfold.engine.places import Places
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import NO_CONTENT, Workspace
from hubfold.errors import NoSpace
from hubfold.folding.followers import Around
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import Name, unknown
from hubfold.moving import choice
from hubfold.moving.choice import CAME, READ, LastUse, Offer
from hubfold.moving.plan import MovedModel, MovePlan
from hubfold.places.places import Place, PlaceAway, in_order
from hubfold.places.space import Room, drive_of
from hubfold.reports.moves import BalancedModel, BalancedPlace, BalanceReport, PinReport
from hubfold.reports.outcomes import Failed, Left
from hubfold.state.used import Used

#: Why a model stays.
PINNED = "it is pinned (`hubfold unpin` lets it go)"
_NO_ROOM = "no place behind it has room for it"
_ONE_DRIVE = "no place behind it that has room is on another drive: nothing would be freed"
#: How often places are looked at again: what a move frees is less than planned where links take blocks of their own.
_ROUNDS = 4
#: Seconds after a noted use in which an access is that use, or our own: what is moved or verified is read.
_SAME_USE = 3600
#: `f_flag` of statvfs(3) for a mount that notes no access times (linux/statfs.h).
_NO_ATIME = 0x400


@dataclass(frozen=True, slots=True)
class Going:
    """One model on its way, and why it is its turn."""

    use: LastUse
    frees: int
    move: MovePlan


@dataclass(frozen=True, slots=True)
class BalancePlan:
    """What goes where; `places` have what they hold and by how much they are over their limits then."""

    places: tuple[BalancedPlace, ...]
    going: tuple[Going, ...] = ()
    left: tuple[Left, ...] = ()
    pace: int | None = None


@dataclass(slots=True)
class _Room:
    """What there is of each place, and what was promised of it already: by its cache, and by its drive."""

    places: Places
    rooms: dict[str, Room] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    written: dict[Hashable, int] = field(default_factory=dict)

    def take(self, place: Place, bytes_: int) -> bool:
        room = self.rooms.setdefault(place.cache, self.places.room(place))
        drive = drive_of(place.cache)
        held, written = self.held.get(place.cache, 0) + bytes_, self.written.get(drive, 0) + bytes_
        if not room.fits(held, written):
            return False
        self.held[place.cache], self.written[drive] = held, written
        return True


class Balancing:
    """Plans what has to move, and carries it out."""

    def __init__(
        self,
        workspace: Workspace,
        places: Places,
        scanning: Scanning,
        moving: Moving,
        following: Following,
    ) -> None:
        self._workspace = workspace
        self._places = places
        self._scanning = scanning
        self._moving = moving
        self._following = following

    @property
    def _used(self) -> Used:
        return self._workspace.state.used

    def plan(self, *, min_size: int, pace: int | None = None) -> BalancePlan:
        """See `Engine.plan_balance`."""
        there = [place for place in in_order(self._places.places()) if not place.away]
        told: list[BalancedPlace] = []
        going: list[Going] = []
        left: list[Left] = []
        if all(place.limit_bytes is None for place in there):
            return BalancePlan((), left=(), pace=pace)
        self._scanning.scan(min_size=NO_CONTENT)
        folders = [place.cache for place in there if os.path.isdir(place.cache)]
        holdings = self._workspace.holdings_at(folders)
        room = _Room(self._places)
        around = self._following.around()
        for number, place in enumerate(there):
            if place.limit_bytes is None:
                continue
            found = self._places.room(place)
            if not found.over:
                told.append(_place(place, found.used, 0))
                continue
            behind = there[number + 1 :]
            target = _Targets(self._moving, holdings, behind, room, min_size, around=around, pace=pace)
            models = _models(holdings, place)
            chosen = choice.choose(
                [self.last_use(name, held) for name, held in models.items()],
                found.over,
                lambda name, models=models, target=target: self._offer(models[name], target),  # type: ignore[misc]
            )
            told.append(_place(place, found.used, chosen.over))
            going += [Going(use, offer.frees, target.moves[use.name]) for use, offer in chosen.going]
            # Those that are only links here already take nothing: nothing is to be said of them.
            left += [Left(use.name, reason) for use, reason in chosen.stays if reason]
        return BalancePlan(tuple(told), tuple(going), tuple(left), pace)

    def _offer(self, held: Sequence[HeldRevision], target: _Targets) -> Offer | str:
        name = held[0].name
        if (name.repo_type, name.repo_id) in self._used.pins():
            return PINNED
        return target.offer(held)

    def last_use(self, name: str, held: Sequence[HeldRevision]) -> LastUse:
        """By what hubfold has noted, by when files were read where the mount keeps that, else by when they came."""
        found = [LastUse(at, how, name) for at, how in _times(held)]
        known = self._used.uses().get((held[0].name.repo_type, held[0].name.repo_id))
        if known is not None:
            found = [one for one in found if one.how == READ and one.at > known.at + _SAME_USE]
            found.append(LastUse(known.at, f"hubfold {known.by}", name))
        return max(found, key=lambda one: one.at, default=LastUse(0, CAME, name))

    def preview(self, plan: BalancePlan) -> BalanceReport:
        """A plan in the form of a report."""
        models = tuple(_model(one, None, one.frees) for one in plan.going)
        return BalanceReport(plan.places, models, plan.left)

    def carry_out(self, plan: BalancePlan, *, min_size: int) -> BalanceReport:
        """See `Engine.apply_balance`."""
        done: list[BalancedModel] = []
        failed: list[Failed] = []
        left: dict[str, Left] = {}
        interrupted = False
        for _ in range(_ROUNDS):
            left |= {one.path: one for one in plan.left}
            before = len(done)
            for one in plan.going:
                try:
                    report = self._moving.carry_out(one.move)
                except (NoSpace, PlaceAway) as error:
                    left[one.use.name] = Left(one.use.name, str(error))
                    continue
                done += [_model(one, moved.run, moved.freed) for moved in report.models]
                left |= {stays.path: stays for stays in report.left}
                failed += report.failed
                if report.interrupted:
                    interrupted = True
                    break
            if interrupted or failed or len(done) == before:
                break
            plan = self.plan(min_size=min_size, pace=plan.pace)
        return BalanceReport(
            self._now(), tuple(done), tuple(left.values()), tuple(failed), interrupted=interrupted
        )

    def _now(self) -> tuple[BalancedPlace, ...]:
        found = [place for place in in_order(self._places.places()) if place.limit_bytes is not None]
        rooms = [(place, self._places.room(place)) for place in found if not place.away]
        return tuple(_place(place, room.used, room.over) for place, room in rooms)

    # pins

    def pin(self, models: Sequence[str], *, pinned: bool) -> PinReport:
        """See `Engine.pin`."""
        asked = [self._workspace.model_name(model) for model in models]
        before = self._used.pins()
        after = set(before)
        known = {one.name for one in self._workspace.holdings().held() if one.snapshot.repo_id}
        for one in asked:
            name = one.among(known | {Name(*pin) for pin in before})
            if name is None:
                raise unknown(one.name, map(str, sorted(known)))
            key = name.repo_type, name.repo_id
            after = after | {key} if pinned else after - {key}
        if after != before:
            self._used.pin(after)
        return PinReport(tuple(str(Name(*pin)) for pin in sorted(after)))

    def pins(self) -> PinReport:
        """See `Engine.pins`."""
        return PinReport(tuple(str(Name(*pin)) for pin in sorted(self._used.pins())))


@dataclass(slots=True)
class _Targets:
    """Where the models of one place can go: the places behind it, in their order."""

    moving: Moving
    holdings: Holdings
    places: Sequence[Place]
    room: _Room
    min_size: int
    around: Around
    pace: int | None
    #: The moves that were offered, by the name of the model.
    moves: dict[str, MovePlan] = field(default_factory=dict)

    def offer(self, held: Sequence[HeldRevision]) -> Offer | str:
        """Where the model goes, and what that frees; why it stays, "" for one that takes nothing here."""
        name = str(held[0].name)
        same = False
        for place in self.places:
            target = self.moving.target(place.cache)
            found = self.moving.planned(self.holdings, held, target, self.min_size, self.around)
            if not isinstance(found, MovedModel):
                return "" if not found.worth_telling else found.reason
            if not found.frees:
                same = True
                continue
            if self.room.take(place, found.restore.missing_bytes):
                self.moves[name] = MovePlan(target, (found,), (), self.pace, self.min_size)
                return Offer(place.called, found.frees, len(found.links.actions))
        return _ONE_DRIVE if same else _NO_ROOM


def _models(holdings: Holdings, place: Place) -> dict[str, list[HeldRevision]]:
    found: dict[str, list[HeldRevision]] = {}
    for one in holdings.held():
        if one.root.path == place.cache and one.snapshot.repo_id:
            found.setdefault(str(one.name), []).append(one)
    return found


def _times(held: Sequence[HeldRevision]) -> Iterator[tuple[float, str]]:
    for one in held:
        for file in one.snapshot.files:
            try:
                st = os.stat(file.path)
                keeps = not os.statvfs(file.path).f_flag & _NO_ATIME
            except OSError:
                continue
            yield st.st_mtime, CAME
            if keeps and st.st_atime > st.st_mtime:
                yield min(st.st_atime, time.time()), READ


def _place(place: Place, used: int, over: int) -> BalancedPlace:
    return BalancedPlace(place.called, place.cache, place.limit_bytes or 0, used, over)


def _model(one: Going, run: str | None, freed: int) -> BalancedModel:
    model = one.move.models[0]
    return BalancedModel(
        name=one.use.name,
        source=model.source.path,
        target=one.move.target.path,
        run=run,
        used=int(one.use.at),
        known_by=one.use.how,
        freed=freed,
    )
