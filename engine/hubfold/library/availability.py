"""Where a model is there as a whole, and what it lacks where it is not."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from hubfold import display
from hubfold.disk.paths import within
from hubfold.errors import HubfoldError
from hubfold.library.gather import Library
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import ModelName, nearest, unknown
from hubfold.models.patterns import may_be_weights
from hubfold.reports.models import (
    Judged,
    MissingFile,
    Model,
    ModelPlace,
    Revision,
    Wholeness,
    state_of,
)

_GOT_ANEW = "`hubfold doctor --fix --download` gets anew what is damaged"
READ_IT = "run hubfold as a user who may read it"
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
            if found[1].state is Wholeness.WHOLE and not lacks(found[1], wanted)
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
                    missing = lacks(asked, wanted)
                    return _told(asked, missing) if missing else None
    return f"is not there: {folder}"


def _told(revision: Revision, missing: Sequence[MissingFile]) -> str:
    unsure = state_of(missing) is Wholeness.UNKNOWN
    how = "is not known to be whole" if unsure else f"is {_how(revision)}"
    again = any(file.damaged for file in missing)
    return f"{how}: {in_words(missing)}{f'; {_GOT_ANEW}' if again else ''}"


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

    Where the files of all models lie in one folder, it is that of the only file, or of the only one with weights.

    `names` are further names to suggest. Raises `UnknownModel`, `NotWhole`.
    """
    model = library.find(wanted)
    if model is None:
        unreadable = hidden(library, wanted)
        if unreadable:
            raise NotWhole(f"{unreadable[0]} cannot be read, and {wanted.name} may be there", READ_IT)
        raise unknown(wanted.name, [*names, *(known.id for known in library.models if known.repo_id)])
    if file is not None:
        return _path_of_file(library, wanted, model, file)
    found = whole(library, model, wanted) or best(library, model, wanted)
    if found is None:
        raise _no_revision(model, wanted)
    place, revision = found
    if revision.state is Wholeness.OFFLINE:
        raise NotWhole(f"{model.id} lies on {place.root}, which is not there", "connect its drive")
    lacking = lacks(revision, wanted)
    if revision.state is not Wholeness.WHOLE or lacking:
        hint = READ_IT if lacking[0].unreadable else _how_to_get(wanted)
        raise NotWhole(f"{model.id} is {_how(revision)} in {revision.path}: {in_words(lacking)}", hint)
    return _only_file(model, revision) if revision.among_others else revision.path


def _only_file(model: Model, revision: Revision) -> str:
    """The file that is meant by a model without a folder of its own. Raises `NotWhole` where that may be several."""
    names = sorted(file.name for file in revision.files)
    weights = [file.path for file in revision.files if len(names) == 1 or may_be_weights(file.name)]
    if len(weights) == 1:
        return weights[0]
    raise NotWhole(
        f"{model.id} has {len(names)} files among those of other models: {', '.join(names)}",
        f"name one: hubfold path {shlex.quote(model.id)} {shlex.quote(names[0])}",
    )


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
        raise NotWhole(f"{file} of {model.id} {lacking[file]}", _how_to_get(wanted))
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
        f"{model.id} is not there at {wanted.revision!r} (known: {known})",
        _how_to_get(wanted),
    )


def _how(revision: Revision) -> str:
    if revision.state is Wholeness.UNKNOWN:
        return "not known to be whole"
    return "broken" if revision.state is Wholeness.BROKEN else "not whole"


def in_words(missing: Sequence[MissingFile]) -> str:
    """What is missing, as the end of a sentence about the revision: the first of it, and how much more."""
    first = missing[0]
    more = f", and {display.count(len(missing) - 1, 'more file')}" if len(missing) > 1 else ""
    return f"{first.name} {first.reason}{more}".lstrip()


def _how_to_get(wanted: ModelName) -> str:
    command = download_command(wanted)
    return f"run `{command}`" if command else f"{wanted.layout} gets it again"


def download_command(wanted: ModelName) -> str:
    """The command that gets a model, as it is typed; "" for one that only its own program can get."""
    if wanted.layout:
        return ""
    revision = ["--revision", wanted.revision] if wanted.revision is not None else []
    return shlex.join(["hubfold", "download", wanted.name, *revision])


# what is not whole


def lacks(revision: Revision, wanted: ModelName) -> tuple[MissingFile, ...]:
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
        return in_words(revision.missing)

    return of
