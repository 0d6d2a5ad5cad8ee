"""How a layout can be changed, as data: what has to go, what is left over, what a model is made of.

A backend computes these (`StorageBackend.removal`, `leftovers`, `parts`), the engine executes them; neither needs to
know what the other knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubfold.content import LEFTOVER_AGE as LEFTOVER_AGE
from hubfold.content import LeftoverKind as LeftoverKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Kept:
    """A path that would stay behind, and why.

    path: absolute, below the root.
    reason: why, for people: half a sentence without a full stop.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class SharedPayload:
    """A payload that several repositories of a root use, and the record beside it of who does.

    path: the payload, absolute.
    record: the record, absolute: who it names is asked right before both go.
    """

    path: str
    record: str


@dataclass(frozen=True, slots=True)
class SharedContent:
    """A file with content that several models of a root need: it goes with the last of them.

    path: the file, absolute.
    users: `Removal.path` of each of them.
    """

    path: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """What has to go so that a part of a root is gone, in an order in which nothing left looks whole and is not.

    The stages are the fields in their order; a stage is on the disk before the next one begins. All paths are absolute
    and lie below `root`, with no symlink on the way but those of the layout (`StorageBackend.reached`): the engine has
    the path there instead (`moved`), and adds `links` that lie elsewhere.

    root: the path of the root that was asked about.
    backend: the name of the backend that answers.
    repo_id: as `Snapshot.repo_id` has it.
    repo_type: as `Snapshot.repo_type` has it.
    kind: what sort of thing goes, for people; "" for a model or its revisions.
    path: the folder of the model that it is about, with all its revisions; "" where it is about something else.
    revisions: the revisions that go; empty where it is about something else.
    whole: everything that the root has of this repository goes.
    links: symlinks elsewhere that read the content and that the user wants gone with it.
    refs: names that lead to a revision: while one is there, a program may be given the folder.
    folders: folders that programs take for whole while they are there: renamed into `aside` in one step, then
        emptied.
    inside: every file and link below `folders`: what is not listed here was not named, and stays.
    aside: a folder on the same file system where a name of hubfold's own troubles no program.
    records: the layout's own notes about what goes.
    content: files with content, or links to it, that nothing else in the root needs. Asked again (`still_needed`)
        under the layout's locks right before they go.
    shared: what is no `content` of it only since other models need it, too: it is that where these go with it. Where
        a layout does not say so, it is what snapshots of these models show and nobody else's.
    notes_stay: the layout's notes about `content` stay, and say then that it is missing: it is not asked again.
    payloads: payloads that other repositories may use: each goes once its record names nobody else.
    empty: folders that go if they are empty by then, the deepest first.
    kept: what stays, though somebody may expect it to go; alone, why nothing of the model may go.
    """

    root: str
    backend: str
    repo_id: str
    repo_type: str
    kind: str = ""
    path: str = ""
    revisions: tuple[str, ...] = ()
    whole: bool = False
    links: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    aside: str = ""
    records: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    shared: tuple[SharedContent, ...] = ()
    payloads: tuple[SharedPayload, ...] = ()
    empty: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    notes_stay: bool = False

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
    """A link of a layout that leads nowhere, and by what its content can be known anywhere else.

    path: the link, absolute.
    digests: algorithm → hex, stated by the layout.
    content: where the layout has the content, at which there is nothing or just that; "" where any place will do.
    text: the text with which the link would lead to `content`; "" where it has it.
    size: bytes by length, None where the layout does not know.
    """

    path: str
    digests: Mapping[str, str]
    content: str = ""
    text: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that may be cleaned away, with the removal that does it.

    kind: what it is, for the list and for ``--only``.
    path: what people know it by, absolute.
    removal: what goes with it, as for a model.
    mtime_ns: when it was last touched, ns since the epoch; None where its age does not matter.
    """

    kind: LeftoverKind
    path: str
    removal: Removal
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One file or link that a model is made of in its layout.

    `name` is relative to the root, with ``/``. A link keeps its `text`; a file is read at `source`, or has `content`.

    name: its path from the root, with ``/``.
    source: where a file is read, absolute; "" for a link, and for a file with `content`.
    text: what a link says; None for a file.
    content: what a file holds that nobody has to be read for: a note of the layout's own.
    """

    name: str
    source: str = ""
    text: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file of an `Offer`. `name` is its path in the repository, with ``/``; `path` is where it is read.

    name: its path in the repository, with ``/``.
    path: where it is read, absolute.
    algorithm: what programs know such a file by: ``sha256`` or ``git-sha1``.
    digests: what it is: as the folder's own notes have it, and as it was read once the engine hands the offer on.
    git_object: of a work tree of git's: the object that git has for it, which is its own git-sha1 or that of its
        `pointer` (then programs know it by its sha256, whatever `algorithm` says). "" for none.
    pointer: the text that git may have in place of such a file, with ``{sha256}`` and ``{size}`` for those of the file.
        "" where git has the file itself.
    """

    name: str
    path: str
    algorithm: str
    digests: Mapping[str, str] = field(default_factory=dict)
    git_object: str = ""
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that lies in a folder as its user has it, and what the folder tells of where it came from.

    Another layout makes a model of its own of that (`StorageBackend.arranged`). What the folder does not tell is empty:
    nothing of it is guessed.

    path: the folder, absolute.
    files: all of its files that are of the model, each name once.
    repo_id: ``org/name``; "" where the folder does not tell.
    repo_type: ``model``, ``dataset``, ``space`` or ``kernel``.
    revision: the commit hash.
    ref: a branch or tag that is this revision.
    told_by: by what that is known, for people.
    missing: names of files that the revision has and the folder has not.
    against: what speaks against it, for people: it is no model of this revision.
    listing: the text of a note of the layout that lists the files of the revision, "" for none; it goes along.
    """

    path: str
    files: tuple[OfferedFile, ...]
    repo_id: str = ""
    repo_type: str = "model"
    revision: str = ""
    ref: str = ""
    told_by: str = ""
    missing: tuple[str, ...] = ()
    against: str = ""
    listing: str = ""


@dataclass(frozen=True, slots=True)
class ShownFile:
    """Where a program expects a file of a model, or a note of its own about it: see `StorageBackend.shown`.

    name: its path from the root of the program's layout, with ``/``.
    file: the name of the snapshot's file that is to be read there; "" for a note.
    content: what a note holds; None for a file.
    """

    name: str
    file: str = ""
    content: str | None = None


@dataclass(frozen=True, slots=True)
class PartPlace:
    """Where a `ModelPart` belongs when it is put into a root: see `StorageBackend.place`.

    stage: parts of a lower stage are on the disk before the first of a higher one.
    unit: the folder (relative to the root) that has to appear as a whole with everything in it; "" for none.
    """

    stage: int
    unit: str = ""


#: The name that plugins have imported so far.
Place = PartPlace
