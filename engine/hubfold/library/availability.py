"""Whether the models that a user counts on are there, where, what they lack, and what to do about it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from hubfold import display
from hubfold.content import DuplicateSet
from hubfold.disk.paths import free_bytes, within
from hubfold.errors import HubfoldError
from hubfold.library.gather import Library
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import ModelName, nearest, unknown
from hubfold.reports.models import (
    CheckedModel,
    CheckReport,
    Judged,
    MissingFile,
    Model,
    ModelPlace,
    Recommendation,
    Revision,
    Wholeness,
    state_of,
)

_GOT_ANEW = "`hubfold doctor --fix --download` gets anew what is damaged"
_READ_IT = "run hubfold as a user who may read it"
_STATUS = {Wholeness.WHOLE: "cached", Wholeness.UNKNOWN: "unknown"}
#: A size that a user states is a round one: without a listing, a model of less than this part of it is not whole.
_STATED_SIZE_PART = 0.95

Found = tuple[ModelPlace, Revision]


class NotWhole(HubfoldError):
    """A model, or the file that was asked for, is not there as a whole."""


def best(library: Library, model: Model, wanted: ModelName) -> Found | None:
    """The first place that has what is wanted whole, else the one that lacks least; None where no place knows it."""
    found = library.candidates(model, wanted)
    return min(
        found,
        key=lambda one: (
            one[1].state is not Wholeness.WHOLE,
            one[1].state is Wholeness.OFFLINE,
            one[1].state is not Wholeness.UNKNOWN,
            one[1].missing_bytes is None,
            one[1].missing_bytes or 0,
        ),
        default=None,
    )


def whole(library: Library, model: Model, wanted: ModelName) -> Found | None:
    """The first place that has what is wanted, and all of it; None where none has."""
    return next(
        (
            found
            for found in library.candidates(model, wanted)
            if found[1].state is Wholeness.WHOLE and not _lacking(found[1], wanted)
        ),
        None,
    )


def lack_at(library: Library, folder: str, wanted: ModelName) -> str | None:
    """How the revision at `folder` is not whole by what is wanted, and what helps; None if it is."""
    for model in library.models:
        for place in model.places:
            for revision in place.revisions:
                if revision.path == folder:
                    asked = revision.only((wanted.selection,)) if wanted.selection else revision
                    missing = _lacking(asked, wanted)
                    return _told(asked, missing) if missing else None
    return f"is not there: {folder}"


def _told(revision: Revision, missing: Sequence[MissingFile]) -> str:
    unsure = state_of(missing) is Wholeness.UNKNOWN
    how = "is not known to be whole" if unsure else f"is {_how(revision)}"
    again = any(file.damaged for file in missing)
    return f"{how}: {_lack(missing)}{f'; {_GOT_ANEW}' if again else ''}"


def hidden(library: Library | Holdings, wanted: ModelName) -> tuple[str, ...]:
    """What could not be read, and may be the model or hold it: a root, or what has the model's name in its own."""
    name = wanted.repo_id.rpartition("/")[2].lower()
    roots = [root.path for root in library.roots]
    below = {
        path: max((root for root in roots if within(path, root)), key=len) for path in library.unreadable
    }
    return tuple(path for path, root in below.items() if path == root or name in path[len(root) :].lower())


# path


def path(library: Library, wanted: ModelName, file: str | None, names: Iterable[str]) -> str:
    """The folder of a whole revision, or the path of one file of it, which has to be whole itself only.

    `names` are further names to suggest. Raises `UnknownModel`, `NotWhole`.
    """
    model = library.find(wanted)
    if model is None:
        unreadable = hidden(library, wanted)
        if unreadable:
            raise NotWhole(f"{unreadable[0]} cannot be read, and {wanted.name} may be there", _READ_IT)
        raise unknown(wanted.name, [*names, *(known.id for known in library.models if known.repo_id)])
    download = _download(wanted)
    if file is not None:
        return _path_of_file(library, wanted, model, file)
    found = whole(library, model, wanted) or best(library, model, wanted)
    if found is None:
        raise _no_revision(model, wanted)
    place, revision = found
    if revision.state is Wholeness.OFFLINE:
        raise NotWhole(f"{model.id} lies on {place.root}, which is not there", "connect its drive")
    lacking = _lacking(revision, wanted)
    if revision.state is not Wholeness.WHOLE or lacking:
        hint = _READ_IT if lacking[0].unreadable else f"run `{download}`"
        raise NotWhole(f"{model.id} is {_how(revision)} in {revision.path}: {_lack(lacking)}", hint)
    return revision.path


def _path_of_file(library: Library, wanted: ModelName, model: Model, file: str) -> str:
    found = library.candidates(model, wanted)
    if not found:
        raise _no_revision(model, wanted)
    lacking: dict[str, str] = {}
    for _, revision in found:
        reasons = {missing.name: missing.reason for missing in revision.missing}
        for one in revision.files:
            if one.name == file and one.bytes is not None and file not in reasons:
                return one.path
        lacking = {**reasons, **lacking}
    if file in lacking:
        raise NotWhole(f"{file} of {model.id} {lacking[file]}", f"run `{_download(wanted)}`")
    near = nearest(file, {one.name for _, revision in found for one in revision.files})
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"see `hubfold ls {shlex.quote(wanted.name)} --files`"
    )
    raise NotWhole(f"{model.id} has no file {file!r}", hint)


def _no_revision(model: Model, wanted: ModelName) -> NotWhole:
    known = ", ".join(model.refs) or "none by name"
    return NotWhole(
        f"{model.id} is not there at {wanted.revision!r} (known: {known})", f"run `{_download(wanted)}`"
    )


def _how(revision: Revision) -> str:
    if revision.state is Wholeness.UNKNOWN:
        return "not known to be whole"
    return "broken" if revision.state is Wholeness.BROKEN else "not whole"


def _lack(missing: Sequence[MissingFile]) -> str:
    first = missing[0]
    more = f", and {display.count(len(missing) - 1, 'more file')}" if len(missing) > 1 else ""
    return f"{first.name} {first.reason}{more}".lstrip()


def _download(wanted: ModelName) -> str:
    revision = ["--revision", wanted.revision] if wanted.revision is not None else []
    return shlex.join(["hubfold", "download", wanted.name, *revision])


# check


def check(
    library: Library,
    wanted: Sequence[ModelName],
    *,
    duplicates: Iterable[tuple[DuplicateSet, int]],
    cache: str | None,
    names: Iterable[str] = (),
) -> CheckReport:
    """What is there of each of `wanted`. `duplicates` are the sets of the index with what each costs, `cache` is where
    a download would go."""
    known = [*names, *(model.id for model in library.models if model.repo_id)]
    checked = [_check(library, one, known) for one in wanted]
    costs = _Copies(duplicates, checked, library)
    checked = [costs.added_to(one) for one in checked]
    free = free_bytes(cache) if cache is not None else None
    return CheckReport(
        tuple(checked),
        cache,
        free,
        tuple(_recommendations(library, wanted, checked, free, cache)),
        library.warnings,
    )


def _check(library: Library, wanted: ModelName, known: Iterable[str]) -> CheckedModel:
    model = library.find(wanted)
    if model is None:
        near = tuple(name for name in nearest(wanted.name, known) if name != wanted.name)
        return CheckedModel(
            wanted.name,
            wanted.id,
            wanted.revision,
            "missing",
            expected_bytes=wanted.expected_bytes,
            missing_bytes=wanted.expected_bytes,
            near=near,
            unreadable=hidden(library, wanted),
        )
    found = whole(library, model, wanted) or best(library, model, wanted)
    if found is None or found[1].state is Wholeness.OFFLINE:
        return CheckedModel(
            wanted.name,
            model.id,
            wanted.revision,
            "missing",
            root=found[0].root if found is not None else None,
            expected_bytes=wanted.expected_bytes,
            missing_bytes=wanted.expected_bytes,
        )
    place, revision = found
    expected = revision.expected_bytes if revision.expected_bytes is not None else wanted.expected_bytes
    missing = _lacking(revision, wanted)
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


def _lacking(revision: Revision, wanted: ModelName) -> tuple[MissingFile, ...]:
    """What the revision lacks; the stated size of a model counts where nothing better is known."""
    stated = wanted.expected_bytes
    if revision.missing or stated is None or revision.judged is Judged.LISTING:
        return revision.missing
    if revision.bytes >= stated * _STATED_SIZE_PART:
        return ()
    reason = f"{display.size(revision.bytes)} are there of the {display.size(stated)} that it should take"
    return (MissingFile("", stated - revision.bytes, reason),)


def lacking(library: Library) -> Callable[[HeldRevision], str | None]:
    """What a revision in a root lacks, in words; None for one that is whole, or of which nobody can tell."""
    found = {
        (place.root, revision.path, revision.revision): revision
        for model in library.models
        for place in model.places
        for revision in place.revisions
    }

    def of(held: HeldRevision) -> str | None:
        revision = found.get((held.root.path, held.snapshot.path, held.snapshot.revision))
        if revision is None or revision.state in (Wholeness.WHOLE, Wholeness.UNKNOWN):
            return None
        return _lack(revision.missing)

    return of


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


def _recommendations(
    library: Library,
    wanted: Sequence[ModelName],
    checked: Sequence[CheckedModel],
    free: int | None,
    cache: str | None,
) -> Iterable[Recommendation]:
    for asked, model in zip(wanted, checked, strict=True):
        yield from _what_to_do(library, asked, model)
    needed = sum(model.missing_bytes or 0 for model in checked if model.status != "cached")
    reclaimable = sum(model.reclaimable_bytes for model in checked)
    if reclaimable:
        copies = sum(len(model.copies) for model in checked)
        yield Recommendation(
            "duplicate",
            f"{display.count(copies, 'further copy', 'further copies')} of what is there: "
            f"{display.size(reclaimable)} to reclaim",
            "hubfold consolidate --dry-run",
        )
    if free is not None and needed > free:
        yield Recommendation(
            "space",
            f"{display.size(needed)} are needed and {display.size(free)} are free at {cache}",
            "hubfold consolidate --dry-run" if reclaimable else "hubfold ls --sort size",
        )


def _what_to_do(library: Library, asked: ModelName, model: CheckedModel) -> Iterable[Recommendation]:
    how_much = f" ({display.size(model.missing_bytes)})" if model.missing_bytes else ""
    command = _download(asked)
    if model.status == "missing" and model.root is not None:
        yield Recommendation(
            "connect", f"{model.id} lies on {model.root}, which is not there", "", model.name
        )
    elif model.status == "missing" and model.unreadable:
        where = model.unreadable[0]
        yield Recommendation("unreadable", f"{model.id} may be there: {where} cannot be read", "", model.name)
    elif model.status == "missing":
        meant = f"; or did you mean {' or '.join(model.near)}?" if model.near else ""
        at = f" at {asked.revision}" if asked.revision is not None else ""
        yield Recommendation("download", f"{model.id} is not there{at}{how_much}{meant}", command, model.name)
    elif unreadable := [file for file in model.missing if file.unreadable]:
        yield Recommendation("unreadable", f"{model.id}: {_lack(unreadable)}; {_READ_IT}", "", model.name)
    elif model.missing:
        wrong = [file for file in model.missing if file.damaged]
        kind = "broken" if wrong else "resume"
        yield Recommendation(
            kind, f"{model.id}: {_lack(wrong or model.missing)}{how_much}", command, model.name
        )
