"""What is announced before it happens: the records that undo and recovery work with (the format: see `journal`)."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hubfold.content import TEMPORARY_PREFIX, LinkKind
from hubfold.disk.held import Attributes
from hubfold.disk.seen import Seen

#: The fields of an `Intent` that are texts, and those that are numbers.
_TEXTS = (
    "path", "root", "backend", "text", "target", "temporary", "keeper", "keeper_root", "xxh3_128", "payload",
    "reason", "mount",
)  # fmt: skip
_NUMBERS = (
    "number", "keeper_inode", "keeper_mtime_ns", "keeper_mode", "size", "inode", "mode", "uid", "gid", "atime_ns",
    "mtime_ns", "allocated", "bytes",
)  # fmt: skip


class Record:
    """Base of what the journal holds of one thing under one word."""

    __slots__: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Its fields as `Journal.append` takes them."""
        return {name: getattr(self, name) for name in type(self).__slots__}


@dataclass(frozen=True, slots=True)
class Intent(Record):
    """One replacement as announced. `inode`, `mtime_ns` … are the victim's; device numbers may change at a reboot,
    so files are known again by inode, size and mtime on the file system of their path."""

    number: int
    path: str
    root: str
    backend: str
    link: LinkKind
    #: What the path reads afterwards: a vault object (symlink) or the keeper's path.
    target: str
    #: The text of the symlink, "" for the other kinds.
    text: str
    #: The name, beside `path`, under which the link is made and the displaced file is kept for a moment.
    temporary: str
    keeper: str
    keeper_root: str
    keeper_inode: int
    #: The keeper's mtime once the run is through with it.
    keeper_mtime_ns: int
    size: int
    #: xxh3_128 of the bytes that victim and keeper had in common when they were compared.
    xxh3_128: str
    #: What else was known of the content; a hint for repairs, not a proof.
    digests: Mapping[str, str]
    #: Names with the same `payload` were one inode before the run.
    payload: str
    inode: int
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]
    #: What the victim took, and what replacing it frees, in bytes by allocated blocks.
    allocated: int
    bytes: int
    reason: str
    #: Where the file system of `path` was mounted: while it is not, a missing path says nothing (invariant 5).
    mount: str
    #: Lock files that the layout's own programs take before they replace `path`.
    locks: tuple[str, ...] = ()
    #: The keeper's mode once the run is through with it; -1 in older journals.
    keeper_mode: int = -1

    @property
    def attributes(self) -> Attributes:
        return Attributes(
            mode=self.mode,
            uid=self.uid,
            gid=self.gid,
            atime_ns=self.atime_ns,
            mtime_ns=self.mtime_ns,
            xattrs=self.xattrs,
        )

    def as_record(self) -> dict[str, Any]:
        record = Record.as_record(self)
        record["digests"] = dict(self.digests)
        record["xattrs"] = _as_texts(self.xattrs)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Intent:
        """Raises `ValueError`, `TypeError` or `KeyError` for anything hubfold would not have written."""
        values: dict[str, Any] = {"keeper_mode": -1, **record}
        values = {name: values[name] for name in cls.__slots__}
        for name in _TEXTS:
            expect(values[name], str)
        for name in _NUMBERS:
            expect(values[name], int)
        values["link"] = LinkKind(values["link"])
        values["xattrs"] = _of_texts(values["xattrs"])
        values["digests"] = {
            expect(name, str): expect(value, str) for name, value in values["digests"].items()
        }
        values["locks"] = tuple(expect(lock, str) for lock in values["locks"])
        intent = cls(**values)
        paths = (intent.path, intent.root, intent.target, intent.keeper, intent.keeper_root)
        absolute(*paths, *intent.locks)
        if not is_temporary(intent.temporary):
            raise ValueError(f"{intent.temporary!r} is no temporary name of hubfold")
        return intent


@dataclass(frozen=True, slots=True)
class KeeperChange(Record):
    """A keeper whose mode or mtime was changed, [before, after] each."""

    path: str
    root: str
    inode: int
    mode: tuple[int, int]
    mtime_ns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shared(Record):
    """A file or folder of a group's cache that is opened to the group, [before, after] each."""

    path: str
    root: str
    mode: tuple[int, int]
    gid: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FarmLink(Record):
    """A symlink that a farm was given. `before` is the text of the link that it replaced, "" for none."""

    path: str
    root: str
    text: str
    target: str
    temporary: str
    before: str = ""


#: Commands of which every path that they make is a `Put`, or else a `FarmLink`: what their keepers are needed for is
#: known.
PUTTING = frozenset({"adopt", "migrate", "farm"})


@dataclass(frozen=True, slots=True)
class Before(Record):
    """A note that another one takes the place of: all that is needed to make it again."""

    text: str
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]

    @classmethod
    def of(cls, text: str, attributes: Attributes) -> Before:
        return cls(text, *attributes)

    @property
    def attributes(self) -> Attributes:
        return Attributes(self.mode, self.uid, self.gid, self.atime_ns, self.mtime_ns, xattrs=self.xattrs)

    def as_record(self) -> dict[str, Any]:
        return {**Record.as_record(self), "xattrs": _as_texts(self.xattrs)}

    @classmethod
    def from_record(cls, record: Any) -> Before:
        """Raises `ValueError`, `TypeError` or `KeyError` for anything hubfold would not have written."""
        values = {name: expect(record, dict)[name] for name in cls.__slots__}
        expect(values["text"], str)
        for name in ("mode", "uid", "gid", "atime_ns", "mtime_ns"):
            expect(values[name], int)
        values["xattrs"] = _of_texts(values["xattrs"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Put(Record):
    """A file or link that was made for a root out of what lies elsewhere: a folder of the user's, a cache."""

    path: str
    root: str
    backend: str
    #: A symlink has this text; a file, whose `text` is "", is known by inode and size.
    text: str
    inode: int
    size: int
    #: Where its bytes are too; "" for what was made out of nothing but what is known of it, and for links.
    source: str
    #: Where the file system of `path` is mounted.
    mount: str
    #: What it is a part of, all of which stays where a content of it has to; "": the folder of the root it lies in.
    of: str = ""
    #: Of a note that its user may edit: the sha256 of what was put there.
    digest: str = ""
    #: Of a note: the one in whose place it was put, which undo makes again.
    before: Before | None = None

    def as_record(self) -> dict[str, Any]:
        record = Record.as_record(self)
        del record["before"]
        return record if self.before is None else {**record, "before": self.before.as_record()}


@dataclass(frozen=True, slots=True)
class Repointed(Record):
    """A symlink of an earlier run that gets another text, since its vault moved."""

    path: str
    root: str
    #: The text that it had, and the one that it gets; the object that it leads to then.
    before: str
    text: str
    target: str
    temporary: str
    #: Where the file system of `path` is mounted.
    mount: str


@dataclass(frozen=True, slots=True)
class Released(Record):
    """A vault object that goes once the links that it is for are led to a copy of its content."""

    path: str
    #: (root, path) of a name that the content has beside it, or that a link takes the place of; "" for none.
    root: str
    name: str
    mtime_ns: int
    #: xxh3_128 of its bytes, when they were compared with those of the copy; "" where no link read it.
    xxh3_128: str


@dataclass(frozen=True, slots=True)
class Removed(Record):
    """A path that was announced to be removed, with what it was then; older journals have the first two only."""

    path: str
    bytes: int
    #: A file by inode and mtime, a symlink by its text.
    inode: int = 0
    mtime_ns: int = 0
    text: str = ""
    #: The folder of the local copy that it is a part of, its root and that root's backend; "" for anything else.
    copy: str = ""
    root: str = ""
    backend: str = ""
    #: It is a note of the layout about the copy, and no content.
    note: bool = False

    def as_record(self) -> dict[str, Any]:
        """As `Record.as_record`, without what is empty."""
        record = Record.as_record(self)
        return {name: value for name, value in record.items() if value} | {"bytes": self.bytes}

    def is_still(self, seen: Seen) -> bool:
        """Whether that is what was to be removed. An older journal knows the path only."""
        if not (self.inode or self.text):
            return not self.copy
        if seen.text is not None or self.text:
            return seen.text == self.text
        return (seen.inode, seen.size, seen.mtime_ns) == (self.inode, self.bytes, self.mtime_ns)


class Temporary(NamedTuple):
    """A name of hubfold's own under which something is on its way in (made whole first) or out (emptied first)."""

    root: str
    path: str
    temporary: str
    out: bool
    #: Lock files in it that were taken for it.
    locks: tuple[str, ...] = ()
    #: Where its file system was mounted; "" in older journals.
    mount: str = ""


@dataclass(frozen=True, slots=True)
class Mend(Record):
    """A name that `doctor --fix` is about to give other bytes, by an exchange with `temporary` beside it."""

    number: int
    path: str
    root: str
    temporary: str
    #: What lies there until then: an inode, or, where `text` is not empty, a symlink with this text.
    inode: int
    text: str
    #: The inode that it gets, 0 until that is made.
    new: int
    #: One more name, in a vault, of the inode with the changed bytes.
    kept: str
    #: Where the right bytes come from.
    source: str
    #: Where the file system of `path` was mounted; "" in older journals.
    mount: str = ""


@dataclass(frozen=True, slots=True)
class Moved(Record):
    """A model whose content moves from one root to another: copied there, then linked to from where it was."""

    #: The root that it leaves and the one that it goes to, and the backend of both.
    source: str
    target: str
    backend: str
    repo_type: str
    repo_id: str
    #: The folder of the model in `source`.
    home: str
    #: The revisions that `target` did not have: they go again when the move is taken back.
    made: tuple[str, ...] = ()


def expect(value: Any, kind: type) -> Any:
    """`value`, if it is of this very type; else raises `TypeError`."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def absolute(*paths: str) -> None:
    """Raise `ValueError` for a path that is not absolute, or that leads upwards."""
    for path in paths:
        if not os.path.isabs(path) or "\0" in path or os.pardir in path.split(os.sep):
            raise ValueError(f"{path!r} is no absolute path")


def is_temporary(name: str) -> bool:
    """Whether hubfold gives names like this to what it is about to swap in: one component, with its prefix."""
    return name.startswith(TEMPORARY_PREFIX) and os.sep not in name and "\0" not in name and len(name) < 100


def _as_texts(xattrs: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in xattrs.items()}


def _of_texts(xattrs: Mapping[str, str]) -> dict[str, bytes]:
    """Raises `ValueError` or `TypeError` for what is not base64."""
    return {str(name): base64.b64decode(value, validate=True) for name, value in xattrs.items()}
