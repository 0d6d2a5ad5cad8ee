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

_STATUS = {Wholeness.WHOLE: "cached", Wholeness.UNKNOWN: "unknown"}


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
    placed = _Placed(everywhere, gate.placed, known)
    checked = [_elsewhere(everywhere, one, placed.or_there(one, _check(here, one, known))) for one in asked]
    costs = _Copies(duplicates, checked, here)
    report = CheckReport(
        models=tuple(costs.added_to(one) for one in checked),
        cache=gate.cache,
        free_bytes=free_bytes(gate.cache) if gate.cache is not None else None,
        warnings=everywhere.warnings,
    )
    if gate.cache is not None:
        inside = everywhere.in_root(gate.cache)
        report = replace(
            report,
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
    """The caches that were named for models, each looked at once."""

    def __init__(
        self, everywhere: Library, placed: Mapping[Name, Sequence[str]], known: Sequence[str]
    ) -> None:
        self._everywhere, self._placed, self._known = everywhere, placed, known
        self._caches: dict[str, Library] = {}

    def or_there(self, wanted: ModelName, checked: CheckedModel) -> CheckedModel:
        """What is there of a model, by a cache that was named for it if it is whole there only."""
        name = wanted.among(self._placed) if checked.status != "cached" else None
        for cache in self._placed[name] if name is not None else ():
            if cache not in self._caches:
                self._caches[cache] = self._everywhere.in_root(cache)
            found = _check(self._caches[cache], wanted, self._known)
            if found.status == "cached":
                return found
        return checked


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
    yield from _about_rights(report)


def _about_space(report: CheckReport, room: str) -> Iterator[Recommendation]:
    free, reserve = report.free_bytes, report.reserve_bytes or 0
    if free is None:
        return
    needed = sum(model.missing_bytes or 0 for model in report.models if model.status != "cached")
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
    if model.status == "missing" and model.root is not None:
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
    elif model.status == "missing":
        meant = f"; or did you mean {' or '.join(model.near)}?" if model.near else ""
        at = f" at {asked.revision}" if asked.revision is not None else ""
        yield Recommendation("download", f"{model.id} is not there{at}{how_much}{meant}", command, model.name)
    elif unreadable := [file for file in model.missing if file.unreadable]:
        yield Recommendation("unreadable", f"{model.id}: {in_words(unreadable)}; {READ_IT}", "", model.name)
    elif model.status == "cached" and report.cache and not report.anywhere and model.root != report.cache:
        told = f"{model.id} is in {model.root}, where --into put it: programs need its path, or HF_HUB_CACHE"
        yield Recommendation("placed", told, "", model.name)
    elif model.missing:
        wrong = [file for file in model.missing if file.damaged]
        kind = "broken" if wrong else "resume"
        if model.elsewhere is not None:
            yield Recommendation("elsewhere", _all_of(model), "", model.name)
        yield Recommendation(
            kind, f"{model.id}: {in_words(wrong or model.missing)}{how_much}", command, model.name
        )


def _all_of(model: CheckedModel) -> str:
    return f"{model.id} is whole in {model.elsewhere}, where programs do not look for it by its name"
