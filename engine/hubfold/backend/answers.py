"""What a backend may answer: every answer is held against the contract before anything of the engine reads it.

Looked at are types, down to the fields of what is answered, that a path is absolute and normalised, and that there is
an end to it. What comes back is the answer itself, or one like it where a list stood for a tuple or a mapping was
somebody's own: what was looked at once cannot change afterwards. Raises `Unfit`, or whatever somebody's class raises
when it is looked at.

Where a path may lie is not asked here but in `territory`, which has the root at hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from hubfold.backend.contract import Capabilities
from hubfold.content import (
    ALGORITHMS,
    TEMPORARY_PREFIX,
    LinkKind,
    Partial,
    Replica,
    Snapshot,
    SnapshotFile,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from hubfold.backend.changes import Gap, Leftover, ModelPart, Offer, PartPlace, Removal, ShownFile

#: Holds a value against the contract, and returns it; the text is what to call it.
Check = Callable[[Any, str], Any]
T = TypeVar("T")
#: Of one answer, however much a plugin has to say. The largest repositories have a tenth of it.
MOST = 1_000_000
#: Of what is held at once (locks), or tried one after the other (places for a vault, roots).
FEW = 100
Record = TypeVar("Record", bound="DataclassInstance")


class Unfit(TypeError):
    """The contract has no such answer; the text says what it is."""


# single values


def text(value: Any, what: str) -> str:
    """A str that the index and the disk can take."""
    if not isinstance(value, str):
        raise Unfit(f"{what} is {_kind(value)}, where a str is asked for")
    if not _is_encodable(value):
        raise Unfit(f"{what} holds characters that no name can have")
    return value


def _is_encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def path(value: Any, what: str) -> str:
    """An absolute path without anything that normalising by its text would take out."""
    if is_normal(text(value, what)):
        return str(value)
    raise Unfit(f"{what} is {value!r}, where an absolute and normalised path is asked for")


def is_normal(value: str) -> bool:
    """Whether a path is absolute and normalised."""
    if value[:1] != "/" or "\0" in value:
        return False
    # Only what has one of these can be another path than it seems.
    if "/." not in value and "//" not in value and value[-1] != "/":
        return True
    return os.path.normpath(value) == value and value[:2] != "//"


def default_root(value: Any, what: str) -> str:
    """An absolute path; slashes too many are forgiven, since it may be what a user wrote into his environment."""
    given = text(value, what)
    slashes = "/" + "/".join(part for part in given.split("/") if part)
    return path(slashes if given.startswith("/") else given, what)


def is_below(value: str, root: str) -> bool:
    """Whether a normalised path lies below `root`, by its text."""
    return value.startswith(root if root.endswith("/") else root + "/") and value != root


def _name(value: Any, what: str) -> str:
    """A path from a root, with ``/``."""
    name = text(value, what)
    if (
        name.startswith("/")
        or "\0" in name
        or os.path.normpath(name) != name
        or name.split("/")[0] in ("..", ".")
    ):
        raise Unfit(f"{what} is {name!r}, where a normalised path from the root is asked for")
    return name


def _size(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise Unfit(f"{what} is {_shown(value)}, where a number of bytes is asked for")
    return value


def number(value: Any, what: str) -> int:
    """An int that is no bool."""
    if type(value) is not int:
        raise Unfit(f"{what} is {_kind(value)}, where an int is asked for")
    return value


def yes_or_no(value: Any, what: str) -> bool:
    if type(value) is not bool:
        raise Unfit(f"{what} is {_kind(value)}, where a bool is asked for")
    return value


def _instance(cls: type[T]) -> Callable[[Any, str], T]:
    def check(value: Any, what: str) -> T:
        if not isinstance(value, cls):
            raise Unfit(f"{what} is {_kind(value)}, where a {cls.__name__} is asked for")
        return value

    return check


def _empty_or(check: Check) -> Check:
    return lambda value, what: "" if isinstance(value, str) and not value else check(value, what)


def optional(check: Check) -> Check:
    """The same, or None."""
    return lambda value, what: None if value is None else check(value, what)


# several


def every(value: Any, check: Check, what: str, most: int | None = None) -> tuple[Any, ...]:
    """Everything that an iterator gives, each held against `check`; nothing of it if one is unfit, or there are more
    than `most` (default: `MOST`)."""
    found = []
    most = MOST if most is None else most
    for number, one in enumerate(items(value, what), 1):
        if number > most:
            raise Unfit(f"there are more than {most:,} of {what}")
        found.append(check(one, f"{what} {number}"))
    return tuple(found)


def items(value: Any, what: str) -> Iterator[Any]:
    """What an iterable gives. A str is none: what it would give are its letters."""
    if isinstance(value, str | bytes):
        raise Unfit(f"{what} is one {type(value).__name__}, where several are asked for")
    if not isinstance(value, Iterable):
        raise Unfit(f"{what} is {_kind(value)}, where several are asked for")
    return iter(value)


def _tuple(check: Check) -> Check:
    def checked(value: Any, what: str) -> Any:
        if not isinstance(value, tuple | list):
            raise Unfit(f"{what} is {_kind(value)}, where a tuple is asked for")
        found = tuple(check(one, f"{what}[{number}]") for number, one in enumerate(value))
        same = type(value) is tuple and all(map(lambda one, other: one is other, found, value))
        return value if same else found

    return checked


def _frozenset(check: Check) -> Check:
    def checked(value: Any, what: str) -> Any:
        if not isinstance(value, AbstractSet):
            raise Unfit(f"{what} is {_kind(value)}, where a frozenset is asked for")
        found = frozenset(check(one, what) for one in value)
        return value if type(value) is frozenset else found

    return checked


def _dict(check: Check) -> Check:
    def checked(value: Any, what: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Unfit(f"{what} is {_kind(value)}, where a mapping is asked for")
        return {text(key, f"a key of {what}"): check(one, f"{what}[{key!r}]") for key, one in value.items()}

    return checked


# records


def _record(value: Any, cls: type[Record], fields: Mapping[str, Check], what: str) -> Record:
    if not isinstance(value, cls):
        raise Unfit(f"{what} is {_kind(value)}, where a {cls.__name__} is asked for")
    changed = {}
    for name, check in fields.items():
        before = getattr(value, name)
        after = check(before, f"{cls.__name__}.{name}")
        if after is not before:
            changed[name] = after
    return replace(value, **changed) if changed else value


def _of(cls: type[Record], fields: Mapping[str, Check]) -> Check:
    return lambda value, what: _record(value, cls, fields, what)


def _one_of(known: Iterable[str]) -> Check:
    names = frozenset(known)

    def check(value: Any, what: str) -> str:
        if text(value, what) in names:
            return str(value)
        raise Unfit(f"{what} is {value!r}, where one of {', '.join(sorted(names))} is asked for")

    return check


def _only_symlinks(value: Any, what: str) -> Any:
    kinds = _LINK_KINDS(value, what)
    if kinds - {LinkKind.SYMLINK}:
        raise Unfit(f"{what} holds what cannot lead to another file system: only a symlink can")
    return kinds


def model_named(value: Any) -> tuple[str, str, str | None]:
    """(repo_type, repo_id, revision) of a model that a user names."""
    parts = _tuple(optional(text))(value, "the model")
    if len(parts) != 3 or not parts[0] or not parts[1]:
        raise Unfit("the model is not its repo type, its repo id and its revision or None")
    return parts[0], parts[1], parts[2]


def marks(value: Any) -> frozenset[str]:
    """The names that a root may be known by."""
    return frozenset(_frozenset(text)(value, "marks"))


_LINK_KINDS = _frozenset(_instance(LinkKind))
_DIGESTS = _frozenset(_one_of(ALGORITHMS))

_CAPABILITIES: Mapping[str, Check] = {
    "cache": yes_or_no,
    "links": _LINK_KINDS,
    "links_across": _only_symlinks,
    "keeps": yes_or_no,
    "private_objects": yes_or_no,
    "claims": _DIGESTS,
    "copies_over": _DIGESTS,
    "vouches": yes_or_no,
    "same_owner": yes_or_no,
    "written_in_place": text,
    "resumes_in_place": yes_or_no,
    "used_by": text,
    "ignored_by_git": yes_or_no,
    "beside": _tuple(text),
}

_REPLICA: Mapping[str, Check] = {
    "path": path,
    "stat": _instance(os.stat_result),
    "claims": _dict(text),
    "repo_id": optional(text),
    "repo_type": optional(text),
    "revision": optional(text),
    "links": optional(_LINK_KINDS),
    "pinned": yes_or_no,
    "latest_mtime_ns": optional(number),
    "vouched": yes_or_no,
    "keeps": optional(yes_or_no),
    "edited": yes_or_no,
}

_SNAPSHOT: Mapping[str, Check] = {
    "repo_id": text,
    "repo_type": text,
    "revision": text,
    "refs": _tuple(text),
    "path": path,
    "files": _tuple(
        _of(SnapshotFile, {"name": text, "path": path, "size": optional(_size), "claims": _dict(text)})
    ),
    "home": _empty_or(path),
    "expected": optional(_dict(_size)),
    "incomplete": _tuple(
        _of(Partial, {"path": path, "size": _size, "name": optional(text), "digests": _dict(text)})
    ),
}


def capabilities(value: Any) -> Capabilities:
    """What a class says that its layout allows."""
    return _record(value, Capabilities, _CAPABILITIES, "capabilities")


_stat_result = os.stat_result


def replica(value: Any, what: str) -> Replica:
    """One replica. Asked of every file of a tree: one that is as most are is looked at by one chain of comparisons."""
    if type(value) is Replica:
        place = value.path
        if (
            type(place) is str
            and place[:1] == "/"
            and "/." not in place
            and "//" not in place
            and "\0" not in place
            and place[-1] != "/"
            and type(value.stat) is _stat_result
            and type(value.claims) is dict
            and (value.links is None or _are_kinds(value.links))
            and (value.pinned is False or value.pinned is True)
            and (value.latest_mtime_ns is None or type(value.latest_mtime_ns) is int)
            and (value.keeps is None or value.keeps is True or value.keeps is False)
            and (value.edited is False or value.edited is True)
            and place.isascii()
            and (not value.claims or _are_texts(value.claims))
            and (value.repo_id is None or _is_plain(value.repo_id))
            and (value.repo_type is None or _is_plain(value.repo_type))
            and (value.revision is None or _is_plain(value.revision))
        ):
            return value
    return _record(value, Replica, _REPLICA, what)


def _is_plain(value: Any) -> bool:
    return type(value) is str and value.isascii()


def _are_kinds(links: Any) -> bool:
    return type(links) is frozenset and all(type(kind) is LinkKind for kind in links)


def _are_texts(claims: dict[Any, Any]) -> bool:
    for name, digest in claims.items():  # noqa: SIM110 - a generator costs twice as much, at every file
        if type(name) is not str or type(digest) is not str:
            return False
    return True


def snapshot(value: Any, what: str) -> Snapshot:
    """One revision as a layout offers it."""
    return _record(value, Snapshot, _SNAPSHOT, what)


# what only changing a root needs: it is imported with it


def removal(value: Any, what: str) -> Removal:
    """What has to go."""
    from hubfold.backend.changes import Removal

    return _record(value, Removal, _of_removal(), what)


@cache
def _of_removal() -> Mapping[str, Check]:
    from hubfold.backend.changes import Kept, SharedContent, SharedPayload

    paths = _tuple(path)
    return {
        **dict.fromkeys(("root", "backend", "repo_id", "repo_type", "kind"), text),
        **dict.fromkeys(("path", "aside"), _empty_or(path)),
        "revisions": _tuple(text),
        **dict.fromkeys(("whole", "notes_stay"), yes_or_no),
        **dict.fromkeys(("links", "refs", "folders", "inside", "records", "content", "empty"), paths),
        "payloads": _tuple(_of(SharedPayload, {"path": path, "record": path})),
        "shared": _tuple(_of(SharedContent, {"path": path, "users": paths})),
        "kept": _tuple(_of(Kept, {"path": path, "reason": text})),
    }


def leftover(value: Any, what: str) -> Leftover:
    """Something that may be cleaned away."""
    from hubfold.backend.changes import Leftover, LeftoverKind

    fields: Mapping[str, Check] = {
        "kind": _instance(LeftoverKind),
        "path": path,
        "removal": removal,
        "mtime_ns": optional(number),
    }
    return _record(value, Leftover, fields, what)


def gap(value: Any, what: str) -> Gap:
    """A link that leads nowhere."""
    from hubfold.backend.changes import Gap

    fields: Mapping[str, Check] = {
        "path": path,
        "digests": _dict(text),
        "content": _empty_or(path),
        "text": text,
        "size": optional(_size),
    }
    return _record(value, Gap, fields, what)


def part(value: Any, what: str) -> ModelPart:
    """One file or link of a model."""
    from hubfold.backend.changes import ModelPart

    texts = dict.fromkeys(("text", "content"), optional(text))
    return _record(value, ModelPart, {"name": _name, "source": _empty_or(path), **texts}, what)


def offer(value: Any, what: str) -> Offer:
    """A model as a folder has it."""
    from hubfold.backend.changes import Offer, OfferedFile

    file = {"name": _name, "path": path, "algorithm": _one_of(("sha256", "git-sha1")), "digests": _dict(text)}
    file["git_object"] = file["pointer"] = text
    texts = ("repo_id", "repo_type", "revision", "ref", "told_by", "against")
    fields: Mapping[str, Check] = {
        "path": path,
        "files": _tuple(_of(OfferedFile, file)),
        **dict.fromkeys(texts, text),
        "missing": _tuple(text),
        "listing": text,
    }
    return _record(value, Offer, fields, what)


def part_place(value: Any, what: str) -> PartPlace:
    """Where a part belongs."""
    from hubfold.backend.changes import PartPlace

    return _record(value, PartPlace, {"stage": number, "unit": _empty_or(_name)}, what)


def shown(value: Any, what: str) -> ShownFile:
    """Where a program expects a file, or a note."""
    from hubfold.backend.changes import ShownFile

    fields = {"name": _name, "file": text, "content": optional(text)}
    found = _record(value, ShownFile, fields, what)
    if any(step.startswith(TEMPORARY_PREFIX) for step in found.name.split("/")):
        raise Unfit(f"{what} is called {found.name!r}: such names are hubfold's own")
    if bool(found.file) == (found.content is not None):
        raise Unfit(f"{what} is not one of a file and a note with content")
    return found


# words for what is not fit


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    """An int as it is; of all else only what it is, since its own words are somebody's code."""
    return str(value) if type(value) is int else _kind(value)
