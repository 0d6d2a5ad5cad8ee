"""Whether the models that a user counts on are whole where programs load them, and what to do where they are not.

A program that asks for ``org/name`` looks into one cache. So models are held against that one; one that is whole
somewhere else is told, for a download takes it from there.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold import display
from hubfold.content import DuplicateSet
from hubfold.disk.paths import existing, free_bytes
from hubfold.library.availability import READ_IT, best, download_command, hidden, in_words, lacks, whole
from hubfold.library.gather import Library
from hubfold.models.names import ModelName, Name, nearest
from hubfold.reports.models import (
    CheckedModel,
    CheckReport,
    Recommendation,
    UnconfiguredModel,
    Wholeness,
    state_of,
)
from hubfold.reports.places import PlaceUse

_STATUS = {Wholeness.WHOLE: "cached", Wholeness.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class Home:
    """The cache that a model is registered at; `called` is its place, `away` that its drive is not there."""

    cache: str
    called: str
    away: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """What models are held against. `cache`: where downloads go and programs load from, None where no layout has one;
    `anywhere`: a model may be whole in any root, and need not be in the cache."""

    cache: str | None
    anywhere: bool = False
    #: The cache was named, so that downloads have to be told of it.
    named: bool = False
    #: Bytes that are to stay free there.
    reserve: int = 0
    #: The names of config.toml.
    configured: tuple[ModelName, ...] = ()
    #: Other caches that somebody has put a model into, naming them: whole there is whole.
    placed: Mapping[Name, Sequence[str]] = field(default_factory=dict)
    #: Caches that programs load from besides, whatever the model.
    besides: tuple[str, ...] = ()
    #: Where models are registered, by the names that were asked for: they have to be whole there.
    homes: Mapping[str, Home] = field(default_factory=dict)
    places: tuple[PlaceUse, ...] = ()


def check(
    everywhere: Library,
    wanted: Sequence[ModelName],
    gate: Gate,
    *,
    duplicates: Iterable[tuple[DuplicateSet, int]],
) -> CheckReport:
    """What is there of each of `wanted` (empty: the configured ones). `duplicates` are the sets of the index with what
    each costs."""
    here = everywhere
    if gate.cache is not None and not gate.anywhere:
        here = everywhere.in_root(gate.cache)
    asked = wanted or gate.configured
    known = [one.name for one in gate.configured]
    known += [model.id for model in everywhere.models if model.repo_id]
    placed = _Placed(everywhere, gate, known)
    checked = [_elsewhere(everywhere, one, placed.checked(one, here)) for one in asked]
    costs = _Copies(duplicates, checked, here)
    report = CheckReport(
        models=tuple(costs.added_to(one) for one in checked),
        cache=gate.cache,
        free_bytes=free_bytes(gate.cache) if gate.cache is not None else None,
        places=gate.places,
        warnings=everywhere.warnings,
    )
    if gate.cache is not None:
        inside = everywhere.in_root(gate.cache)
        report = replace(
            report,
            besides=gate.besides,
            anywhere=gate.anywhere,
            reserve_bytes=gate.reserve,
            disk_bytes=_disk_bytes(inside),
            there=os.path.isdir(gate.cache),
            readable=_may(gate.cache, os.R_OK | os.X_OK),
            writable=_may(gate.cache, os.W_OK | os.X_OK),
            unconfigured=() if wanted else tuple(_unconfigured(inside, gate.configured)),
        )
    return replace(report, recommendations=tuple(_recommendations(asked, report, gate)))


class _Placed:
    """The caches that models are registered at, or were put into by name, each looked at once."""

    def __init__(self, everywhere: Library, gate: Gate, known: Sequence[str]) -> None:
        self._everywhere, self._gate, self._known = everywhere, gate, known
        self._caches: dict[str, Library] = {}

    def checked(self, wanted: ModelName, here: Library) -> CheckedModel:
        """What is there of a model: where it is registered, else `here`, or in another cache that counts for it."""
        home = self._gate.homes.get(wanted.name)
        anywhere = home is None or self._gate.anywhere
        if wanted.layout:
            # Its own program looks for it where its own layout has it, and no other would know the name.
            return _check(self._everywhere, wanted, self._known)
        where = here if home is None or self._gate.anywhere else self._in(home.cache)
        found = _check(where, wanted, self._known)
        if anywhere:
            found = self._or_there(wanted, found)
        if home is None or (anywhere and found.status == "cached"):
            return found
        if home.away and found.root is None:
            found = replace(found, root=home.cache, near=())
        return replace(found, place=home.called, away=home.away)

    def _or_there(self, wanted: ModelName, checked: CheckedModel) -> CheckedModel:
        """What is there of a model, by a cache that was named for it if it is whole there only."""
        if checked.status == "cached" or self._gate.anywhere:
            return checked
        name = wanted.among(self._gate.placed)
        named = self._gate.placed[name] if name is not None else ()
        for cache in (*named, *self._gate.besides):
            found = _check(self._in(cache), wanted, self._known)
            if found.status == "cached":
                return found
        return checked

    def _in(self, cache: str) -> Library:
        if cache not in self._caches:
            self._caches[cache] = self._everywhere.in_root(cache)
        return self._caches[cache]


def _check(library: Library, wanted: ModelName, known: Iterable[str]) -> CheckedModel:
    model = library.find(wanted)
    if model is None:
        near = tuple(name for name in nearest(wanted.name, known) if name != wanted.name)
        return replace(_missing(wanted, wanted.id), near=near, unreadable=hidden(library, wanted))
    found = whole(library, model, wanted) or best(library, model, wanted)
    if found is None or found[1].state is Wholeness.OFFLINE:
        return replace(_missing(wanted, model.id), root=found[0].root if found is not None else None)
    place, revision = found
    expected = revision.expected_bytes if revision.expected_bytes is not None else wanted.expected_bytes
    missing = lacks(revision, wanted)
    missing_bytes = revision.missing_bytes
    if missing_bytes is None or missing != revision.missing:
        missing_bytes = max(expected - revision.bytes, 0) if expected is not None else None
    return CheckedModel(
        name=wanted.name,
        id=model.id,
        revision=wanted.revision,
        status=_STATUS.get(state_of(missing), "incomplete"),
        path=revision.path,
        root=place.root,
        bytes=revision.bytes,
        expected_bytes=expected,
        missing=missing,
        missing_bytes=missing_bytes if missing else 0,
    )


def _missing(wanted: ModelName, id_: str) -> CheckedModel:
    size = wanted.expected_bytes
    return CheckedModel(wanted.name, id_, wanted.revision, "missing", expected_bytes=size, missing_bytes=size)


def _elsewhere(everywhere: Library, wanted: ModelName, checked: CheckedModel) -> CheckedModel:
    """With the place that has all of it, where that is not the one that counts."""
    model = everywhere.find(wanted) if checked.status != "cached" else None
    found = whole(everywhere, model, wanted) if model is not None else None
    return checked if found is None else replace(checked, elsewhere=found[1].path, near=())


# the cache


def _may(cache: str, mode: int) -> bool:
    """Whether this user may read, or write, what is in `cache`; of one that is not there, in the folder around it."""
    effective = {os.access} <= os.supports_effective_ids
    return os.access(existing(cache), mode, effective_ids=effective)


def _disk_bytes(library: Library) -> int:
    """What models and begun downloads take, by allocated blocks, each inode once."""
    taken: dict[tuple[int, int], int] = {}
    for model in library.models:
        for revision in model.revisions:
            for path in (*(one.path for one in revision.files), *(one.path for one in revision.partials)):
                try:
                    st = os.stat(path)
                except OSError:
                    continue
                taken[st.st_dev, st.st_ino] = st.st_blocks * 512
    return sum(taken.values())


def _unconfigured(library: Library, configured: Iterable[ModelName]) -> Iterator[UnconfiguredModel]:
    names = tuple(configured)
    for model in library.models:
        if model.repo_id and not any(one.means(model.repo_type, model.repo_id) for one in names):
            yield UnconfiguredModel(model.id, model.bytes, model.state)


class _Copies:
    """The duplicate sets that files of checked models are in."""

    def __init__(
        self,
        duplicates: Iterable[tuple[DuplicateSet, int]],
        checked: Sequence[CheckedModel],
        library: Library,
    ) -> None:
        self._copies: dict[str, list[str]] = {}
        self._bytes: dict[str, int] = {}
        folders = {model.path for model in checked if model.path is not None}
        owners: dict[str, str] = {}
        for model in library.models:
            for revision in model.revisions:
                if revision.path in folders:
                    owners |= {os.path.realpath(file.path): revision.path for file in revision.files}
        for found, cost in duplicates if owners else ():
            mine = {
                owners[replica.path]: replica.payload for replica in found.replicas if replica.path in owners
            }
            for folder, payload in mine.items():
                copies = [replica.path for replica in found.replicas if replica.payload != payload]
                self._copies.setdefault(folder, []).extend(copies)
                self._bytes[folder] = self._bytes.get(folder, 0) + cost

    def added_to(self, checked: CheckedModel) -> CheckedModel:
        if checked.path not in self._copies:
            return checked
        return replace(
            checked,
            copies=tuple(sorted(self._copies[checked.path])),
            reclaimable_bytes=self._bytes[checked.path],
        )


# what to do


def _recommendations(
    wanted: Sequence[ModelName], report: CheckReport, gate: Gate
) -> Iterator[Recommendation]:
    into = f" --into {shlex.quote(gate.cache)}" if gate.named and gate.cache is not None else ""
    for asked, model in zip(wanted, report.models, strict=True):
        for what in _what_to_do(asked, model, report):
            yield replace(what, command=what.command + into) if what.command else what
    reclaimable = sum(model.reclaimable_bytes for model in report.models)
    if reclaimable:
        copies = sum(len(model.copies) for model in report.models)
        yield Recommendation(
            "duplicate",
            f"{display.count(copies, 'further copy', 'further copies')} of what is there: "
            f"{display.size(reclaimable)} to reclaim",
            "hubfold consolidate --dry-run",
        )
    room = "hubfold consolidate --dry-run" if reclaimable else "hubfold ls --sort size"
    yield from _about_space(report, room)
    yield from _about_limits(report)
    yield from _about_rights(report)


def _about_space(report: CheckReport, room: str) -> Iterator[Recommendation]:
    free, reserve = report.free_bytes, report.reserve_bytes or 0
    if free is None:
        return
    lacking = (model for model in report.models if model.status != "cached" and not model.place)
    needed = sum(model.missing_bytes or 0 for model in lacking)
    kept = f", of which {display.size(reserve)} are kept in reserve" if reserve else ""
    if free < reserve:
        yield Recommendation(
            "reserve",
            f"{display.size(free)} are free at {report.cache}, less than the reserve of {display.size(reserve)}: "
            "nothing is downloaded",
            room,
        )
    elif needed > free - reserve:
        yield Recommendation(
            "space",
            f"{display.size(needed)} are needed and {display.size(free)} are free at {report.cache}{kept}",
            room,
        )


def _about_limits(report: CheckReport) -> Iterator[Recommendation]:
    for place in report.places:
        if place.over and place.used_bytes is not None and place.limit_bytes is not None:
            told = (
                f"{place.name or place.cache} holds {display.size(place.used_bytes)},"
                f" {display.size(place.over)} more than the {display.size(place.limit_bytes)} that it may"
            )
            yield Recommendation("limit", told, "hubfold ls --sort size")


def _about_rights(report: CheckReport) -> Iterator[Recommendation]:
    if report.readable is False:
        yield Recommendation("unreadable", f"this user may not read {report.cache}: {READ_IT}")
    elif report.writable is False:
        yield Recommendation(
            "unwritable", f"this user may not write to {report.cache}: nothing can be downloaded"
        )


def _what_to_do(asked: ModelName, model: CheckedModel, report: CheckReport) -> Iterable[Recommendation]:
    how_much = f" ({display.size(model.missing_bytes)})" if model.missing_bytes else ""
    command = download_command(asked)
    if model.status != "cached" and model.away:
        yield Recommendation("connect", f"{model.id} is on `{model.place}`, which is away", "", model.name)
    elif model.status == "missing" and model.root is not None:
        yield Recommendation(
            "connect", f"{model.id} lies on {model.root}, which is not there", "", model.name
        )
    elif model.status == "missing" and model.unreadable:
        where = model.unreadable[0]
        yield Recommendation("unreadable", f"{model.id} may be there: {where} cannot be read", "", model.name)
    elif model.status == "missing" and model.elsewhere is not None:
        yield Recommendation(
            "elsewhere",
            f"{_all_of(model)}; to have it in the cache without fetching that again",
            command,
            model.name,
        )
    elif model.status == "missing" and asked.layout:
        meant = f"; or did you mean {' or '.join(model.near)}?" if model.near else ""
        yield Recommendation(
            "download", f"{model.id} is not there: {asked.layout} gets it{meant}", "", model.name
        )
    elif model.status == "missing":
        meant = f"; or did you mean {' or '.join(model.near)}?" if model.near else ""
        at = f" at {asked.revision}" if asked.revision is not None else ""
        yield Recommendation("download", f"{model.id} is not there{at}{how_much}{meant}", command, model.name)
    elif unreadable := [file for file in model.missing if file.unreadable]:
        yield Recommendation("unreadable", f"{model.id}: {in_words(unreadable)}; {READ_IT}", "", model.name)
    elif not asked.layout and _is_placed(model, report):
        names = {place.cache: place.name for place in report.places if place.name}
        how = f"the place {names[model.root]}" if model.root in names else "where --into put it"
        told = f"{model.id} is in {model.root}, {how}: programs need its path, or HF_HUB_CACHE"
        yield Recommendation("placed", told, "", model.name)
    elif model.missing:
        wrong = [file for file in model.missing if file.damaged]
        kind = "broken" if wrong else "resume"
        if model.elsewhere is not None:
            yield Recommendation("elsewhere", _all_of(model), "", model.name)
        yield Recommendation(
            kind, f"{model.id}: {in_words(wrong or model.missing)}{how_much}", command, model.name
        )


def _is_placed(model: CheckedModel, report: CheckReport) -> bool:
    """Whether it is whole in a cache that nobody but who put it there knows of."""
    known = {report.cache, *report.besides}
    here = report.anywhere or not report.cache or model.root in known
    return model.status == "cached" and not model.place and not here


def _all_of(model: CheckedModel) -> str:
    return f"{model.id} is whole in {model.elsewhere}, where programs do not look for it by its name"
