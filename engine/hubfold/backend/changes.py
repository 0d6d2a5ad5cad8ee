"""How a layout can be changed, as data: what has to go, what is left over, what a model is made of.

A backend computes these (`StorageBackend.removal`, `leftovers`, `parts`), the engine executes them; neither needs to
know what the other knows.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubfold.content import LEFTOVER_AGE as LEFTOVER_AGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Kept:
    """A path that would stay behind, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class SharedPayload:
    """A payload that several repositories of a root use, and the record beside it of who does."""

    path: str
    record: str


@dataclass(frozen=True, slots=True)
class SharedContent:
    """A file with content that several models of a root need: it goes with the last of them."""

    path: str
    #: `Removal.path` of each of them.
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """What has to go so that a part of a root is gone, in an order in which nothing left looks whole and is not.

    The stages are the fields in their order; a stage is on the disk before the next one begins. All paths are absolute
    and lie below `root`, with no symlink on the way but those of the layout (`StorageBackend.reached`): the engine has
    the path there instead (`moved`), and adds `links` that lie elsewhere.
    """

    root: str
    backend: str
    repo_id: str
    repo_type: str
    #: What sort of thing goes, for people; "" for a model or its revisions.
    kind: str = ""
    #: The folder of the model that it is about, with all its revisions; "" where it is about something else.
    path: str = ""
    #: The revisions that go; empty where it is about something else.
    revisions: tuple[str, ...] = ()
    #: Everything that the root has of this repository goes.
    whole: bool = False
    #: Symlinks elsewhere that read the content and that the user wants gone with it.
    links: tuple[str, ...] = ()
    #: Names that lead to a revision: while one is there, a program may be given the folder.
    refs: tuple[str, ...] = ()
    #: Folders that programs take for whole while they are there: renamed into `aside` in one step, then emptied.
    folders: tuple[str, ...] = ()
    #: Every file and link below `folders`: what is not listed here was not named, and stays.
    inside: tuple[str, ...] = ()
    #: A folder on the same file system where a name of hubfold's own troubles no program.
    aside: str = ""
    #: The layout's own notes about what goes.
    records: tuple[str, ...] = ()
    #: Files with content, or links to it, that nothing else in the root needs. Asked again (`still_needed`) under the
    #: layout's locks right before they go.
    content: tuple[str, ...] = ()
    #: What is no `content` of it only since other models need it, too: it is that where these go with it.
    shared: tuple[SharedContent, ...] = ()
    payloads: tuple[SharedPayload, ...] = ()
    #: Folders that go if they are empty by then, the deepest first.
    empty: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()

    def moved(self, to: Callable[[str], str]) -> Removal:
        """The same, with `to` of every path that is to be changed; `path` stays what people know the model by."""

        def all_of(paths: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(map(to, paths))

        return replace(
            self,
            refs=all_of(self.refs),
            folders=all_of(self.folders),
            inside=all_of(self.inside),
            aside=to(self.aside) if self.aside else "",
            records=all_of(self.records),
            content=all_of(self.content),
            shared=tuple(SharedContent(to(one.path), one.users) for one in self.shared),
            payloads=tuple(SharedPayload(to(one.path), to(one.record)) for one in self.payloads),
            empty=all_of(self.empty),
        )

    @property
    def files(self) -> tuple[str, ...]:
        """Everything that is no folder, in the order in which it goes."""
        shared = [path for payload in self.payloads for path in (payload.path, payload.record)]
        return (*self.links, *self.refs, *self.inside, *self.records, *self.content, *shared)


@dataclass(frozen=True, slots=True)
class Gap:
    """A link of a layout that leads nowhere, and by what its content can be known anywhere else."""

    path: str
    #: Algorithm → hex, stated by the layout.
    digests: Mapping[str, str]
    #: Where the layout has the content, at which there is nothing or just that; "" where any place will do.
    content: str = ""
    #: The text with which the link would lead to `content`; "" where it has it.
    text: str = ""
    #: Bytes by length, None where the layout does not know.
    size: int | None = None


class LeftoverKind(enum.StrEnum):
    """What a layout's programs leave behind."""

    INTERRUPTED = "interrupted download"
    LOCK = "stale lock"
    UNUSED = "content that no revision uses"
    DETACHED = "detached revision"
    EMPTY = "empty repository"
    DANGLING = "dangling link of hubfold"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that may be cleaned away, with the removal that does it."""

    kind: LeftoverKind
    path: str
    removal: Removal
    #: When it was last touched, ns since the epoch; None where its age does not matter.
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One file or link that a model is made of in its layout.

    `name` is relative to the root, with ``/``. A link keeps its `text`; a file is read at `source`, or has `content`.
    """

    name: str
    source: str = ""
    text: str | None = None
    #: What a file holds that nobody has to be read for: a note of the layout's own.
    content: str | None = None


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file of an `Offer`. `name` is its path in the repository, with ``/``; `path` is where it is read."""

    name: str
    path: str
    #: What programs know such a file by: ``sha256`` or ``git-sha1``.
    algorithm: str
    #: What it is: as the folder's own notes have it, and as it was read once the engine hands the offer on.
    digests: Mapping[str, str] = field(default_factory=dict)
    #: Of a work tree of git's: the object that git has for it, which is its own git-sha1 or that of its LFS pointer
    #: (then programs know it by its sha256, whatever `algorithm` says). "" for none.
    git_object: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that lies in a folder as its user has it, and what the folder tells of where it came from.

    Another layout makes a model of its own of that (`StorageBackend.arranged`). What the folder does not tell is empty:
    nothing of it is guessed.
    """

    path: str
    files: tuple[OfferedFile, ...]
    repo_id: str = ""
    repo_type: str = "model"
    #: The commit hash.
    revision: str = ""
    #: A branch or tag that is this revision.
    ref: str = ""
    #: By what that is known, for people.
    told_by: str = ""
    #: Names of files that the revision has and the folder has not.
    missing: tuple[str, ...] = ()
    #: What speaks against it, for people: it is no model of this revision.
    against: str = ""
    #: The text of a note of the layout that lists the files of the revision, "" for none; it goes along.
    listing: str = ""


@dataclass(frozen=True, slots=True)
class PartPlace:
    """Where a `ModelPart` belongs when it is put into a root: see `StorageBackend.place`."""

    #: Parts of a lower stage are on the disk before the first of a higher one.
    stage: int
    #: The folder (relative to the root) that has to appear as a whole with everything in it; "" for none.
    unit: str = ""


#: The name that plugins have imported so far.
Place = PartPlace
