"""The contract of a storage backend: a plugin that knows one storage layout.

A backend reads, and only through the `Walk` it is handed; it never changes a file. What it can say about its layout
it says as data (`Capabilities`, the fields of `Replica`), and the planner reads that data: nobody asks a backend's
type. The defaults here are slow but right for any folder of files, so a new backend is a `name` and what its layout
knows better (below).

What a backend answers is held against this page before anybody reads it (`hubfold.backend.boundary`); what does not
keep to it is told with the plugin's name, and the root that was asked about is left out. So:

* Paths are absolute, normalised, and lie below the root that was asked about, also on the disk: no folder on the way
  may be a symlink. A file that goes, or a part that is read, may be one itself; a lock, a vault and a root may not.
  Names from a manifest are somebody's text: hold them against the root before they are joined to it.
* A root that a backend finds by itself is not ``/`` and nobody's home.
* An answer has an end: a million of anything, a hundred locks, places for a vault, or roots.
* What is printed goes to stderr; stdout is the command's.

::

    class OllamaBackend(StorageBackend):
        name = "ollama"
        capabilities = Capabilities(claims=frozenset({"sha256"}))

        @classmethod
        def recognise(cls, path, names):
            return path if "blobs" in names and "manifests" in names else None

        def replica(self, root, folder, name, stat):
            algorithm, _, digest = name.partition("-")
            claims = {"sha256": digest} if algorithm == "sha256" else {}
            return Replica(os.path.join(folder.path, name), stat, claims)
"""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from hubfold.content import LinkKind, Replica, Root, Snapshot

if TYPE_CHECKING:
    from hubfold.backend.changes import Gap, Leftover, ModelPart, Offer, PartPlace, Removal, ShownFile

ALL_LINKS = frozenset(LinkKind)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the planner may do with files of a layout.

    cache: the layout is a cache that programs fetch from: its copies are kept before those of other folders.
    links: link kinds that may stand in place of a file within one file system.
    links_across: link kinds that may stand in place of a file whose keeper is on another file system (only a
        symlink can).
    keeps: files of this layout may be keepers.
    private_objects: some client of this layout unlinks what its links resolve to, so a symlink in its place gets a
        vault object of its own (FACTS: huggingface_hub up to 1.31 resolves a blob fully before deleting it).
    claims: algorithms of the digests that names or metadata of this layout can state.
    copies_over: of a cache: a client copies its file over a local copy that it does not trust, where all that it
        could check it by is a digest of one of these algorithms. The two must not be one file: copying one onto
        itself is an error.
    vouches: whatever a backend yields is content of its layout. Else only what `Replica.vouched` says so of and
        what looks like a model file is: for folders in which anything may lie.
    same_owner: a program of this layout sets times or modes of its files as their owner, and fails where they are
        another's: no file of it is linked with one of another owner, whatever the user asks for.
    written_in_place: the program that writes into files of this layout where they lie, also through a link, by its
        name; "" for none. Then shared extents are the one fold without a risk. Else the kept file is read-only from
        then on, and the plan says so; a file that the program may still have to write to must allow no links of its
        own (`Replica.links`).
    resumes_in_place: that program goes on with a file that is too short by writing to its end, and nothing beside the
        file says that it is whole. Links may stand for such a file only where its bytes were read and are what the
        layout states, or where a layout of which this is not so states what they are.
    used_by: the program that has its models here and looks for them nowhere else, by its name; "" for none. That a
        cache has the same is no reason for a model here to go (`hubfold rm --redundant-copies`).
    ignored_by_git: the repository that a root lies in ignores its files (``models/`` of a program that is run from a
        clone of it), so that a symlink in place of one is no change to git.
    beside: folders in which programs of this layout keep what is no model, as ``$NAME`` and ``~`` have it (a cache
        of chunks): hubfold tells what they take, and touches none of it.
    """

    cache: bool = False
    links: frozenset[LinkKind] = ALL_LINKS
    links_across: frozenset[LinkKind] = frozenset({LinkKind.SYMLINK})
    keeps: bool = True
    private_objects: bool = False
    claims: frozenset[str] = field(default_factory=frozenset)
    copies_over: frozenset[str] = field(default_factory=frozenset)
    vouches: bool = True
    same_owner: bool = False
    written_in_place: str = ""
    resumes_in_place: bool = False
    used_by: str = ""
    ignored_by_git: bool = False
    beside: tuple[str, ...] = ()


@dataclass(slots=True)
class Folder:
    """One directory as the walk read it.

    `files` holds only the regular files that are new or changed since the last scan: rows whose signature is
    unchanged are not touched again. `names` holds every name in the directory, whatever its type.

    path: absolute.
    names: every name in it, whatever its type: what `StorageBackend.recognise` is asked with.
    files: (name, what `lstat` said of it) of regular files that are new or changed since the last scan.
    links: names of symlinks, which the walk never follows.
    folders: names of sub-directories that the walk will visit: those that are removed from it are not.
    """

    path: str
    names: Collection[str]
    files: list[tuple[str, os.stat_result]]
    links: list[str]
    folders: list[str]


class Walk(Protocol):
    """How a backend reads a tree. Handed to `StorageBackend.replicas` by the scan."""

    def folders(self, path: str) -> Iterator[Folder]:
        """`path` and every directory below it, top down; symlinks are never followed, other file systems are.

        While a scan asks for replicas, `Folder.files` holds what is new or changed; else, every file.

        A caller may remove names from `Folder.folders` to keep the walk out of them. Sub-trees that another backend
        recognises, hubfold's own vaults and temporaries are left out. Errors are noted and passed over.
        """
        ...

    def listing(self, path: str) -> list[str]:
        """The names in `path`, sorted; empty, with a warning, where it cannot be read; empty where it is missing."""
        ...

    def read_text(self, path: str, limit: int = 1 << 20) -> str | None:
        """The text of a small metadata file (at most `limit` bytes; UTF-8), None where it cannot be had.

        Not counted as content: `bytes_read` is about payloads.
        """
        ...

    def read_bytes(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """As `read_text`, for a metadata file that is no text."""
        ...

    def read_json(self, path: str, limit: int = 1 << 20) -> object:
        """What a small JSON file holds; None, with a warning, where it is none, and where it cannot be had."""
        ...

    def query(
        self, path: str, sql: str, parameters: Sequence[object] = (), limit: int = 1 << 28
    ) -> list[tuple[object, ...]]:
        """The rows that a SELECT gives of an SQLite database of at most `limit` bytes, as it lies on the disk.

        Read as any file is, so nothing is locked or made beside it, and what its program has only in its write-ahead
        log is not seen. Empty where there is no such file, and, with a warning, where it cannot be read or asked: also
        for one text in it that is not UTF-8 (``CAST(… AS BLOB)`` gives that as bytes).
        """
        ...

    def stat(self, path: str) -> os.stat_result | None:
        """`lstat`, or None, with a warning unless the path is simply missing."""
        ...

    def readlink(self, path: str) -> str | None:
        """The text of a symlink, or None where it is none or cannot be read."""
        ...

    def leads_to(self, path: str) -> str | None:
        """The folder that a symlink of the layout leads to (see `StorageBackend.reached`), None for any other path.

        Where models and removals are told, `folders` enters it and shows what is there by paths through the link;
        where replicas are told it does not, since these are told by the folder's own root.
        """
        ...

    def real(self, path: str) -> str:
        """`path` with every symlink among the folders above it resolved, as the system does; itself not followed."""
        ...

    def dangles(self, path: str) -> bool:
        """Whether the symlink at `path` leads to nothing, wherever it points; False, with a warning, if unknown."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes by length of the file that reading `path` gives, symlinks followed; None where there is none."""
        ...

    def warn(self, path: str, message: str, *, kind: str = "notice") -> None:
        """Tell the user about something at `path`; the text may hold anything, it is escaped when shown.

        `kind` lets `hubfold doctor` sort what it finds: interrupted, dangling, damaged, misplaced, unreadable.
        """
        ...

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What `make` gives, worked out once for all that is asked with this walk; `what` is the backend's name for it.

        `StorageBackend.parts` is asked of one model after the other with one walk: what had to be read of the whole
        root for the first serves the others.
        """
        ...

    def commit_repo(self, revision: str) -> tuple[str, str] | None:
        """(repo_id, repo_type) of a commit hash that some scanned cache has told of, by `note_commit`."""
        ...

    def note_commit(self, revision: str, repo_id: str, repo_type: str) -> None:
        """A cache tells that `revision` is a commit of `repo_id`, for layouts that only record the commit."""
        ...


class StorageBackend(ABC):
    """Base class of every backend. Subclass it, set `name`, return the class from `hubfold_storage_backends`.

    name: what the layout is called, for users too: lower-case words.
    capabilities: what the planner may do with its files.
    fallback: whether a folder that no backend recognises is scanned as this layout. The first that says so takes it.
    priority: backends of a higher number are asked first whether a folder is theirs; among equals, hubfold's own, then
        by the names of their distributions.
    marks: names of which every root of this layout has one or more in the folder that `recognise` is asked about. It is
        not asked of others, which is most folders of a disk; empty: it is asked of all.
    exclusive: all that lies below a root of this layout is of this layout: no other is looked for in it, also where a
        user names a folder in it. For layouts whose programs bear less than others do (no symlink, no vault).
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()
    fallback: ClassVar[bool] = False
    priority: ClassVar[int] = 0
    marks: ClassVar[frozenset[str]] = frozenset()
    exclusive: ClassVar[bool] = False

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """The root of this layout that `path` stands for, or None.

        `names` are the entries of the directory `path`. Called for every directory given to a scan and every one met
        below it, so decide by names; look further (a marker file) only when the names fit. A backend may answer with
        a directory *below* `path` (``HF_HOME`` stands for ``HF_HOME/hub``), but not with a symlink: what one leads to
        is found where it lies. A home is a root only where a user named it.
        """
        return None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """Directories this layout uses on this machine by its own rules; those that do not exist are passed over.

        ``/``, a home, and what the user's home lies in are refused.
        """
        return ()

    @classmethod
    def home_root(cls, home: str) -> str | None:
        """The root that the layout's programs keep in `home` where a variable names that (``HF_HOME``).

        Below `home`, whether it is there or not. None where no variable names more than the root itself.
        """
        return None

    def further(self, root: Root, environ: Mapping[str, str]) -> Iterable[str]:
        """Folders elsewhere that the settings beside `root` name as such ones of its programs too.

        Asked without a walk. Each that is there becomes a root of its own, of this layout where no other knows it; what
        is refused of `default_roots` is refused here.
        """
        return ()

    def reached(self, root: Root) -> Iterable[str]:
        """Symlinks to folders, below the root, behind which a part of it lies: the layout's programs go through them.

        Asked without a walk. What such a link leads to gets a root of its own, whose `Root.link` it is: the replicas
        in it are told by that root. Models, removals and locks are told by this one, by paths through the link; the
        engine changes what they name where it lies. Name nothing that is not of the layout by what is in it. Only the
        layouts of hubfold's own are asked: a plugin of somebody else changes nothing outside of its root.
        """
        return ()

    def notes(self, root: Root, walk: Walk) -> Iterable[str]:
        """Files of the root by which what this layout says of others changes: an index, a list of models.

        The walk shows files that are new or changed, and all files of a folder in which something changed. Where one of
        these is another than at the last scan (by `lstat`), it shows every file of the root again.
        """
        return ()

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        """Every replica below `root.path` that is new or changed. The default walks and asks `replica` of each file."""
        for folder in walk.folders(root.path):
            for name, stat in folder.files:
                replica = self.replica(root, folder, name, stat)
                if replica is not None:
                    yield replica

    def replica(self, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        """One regular file as a replica, or None where it is bookkeeping and no content."""
        return Replica(os.path.join(folder.path, name), stat)

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        """The models of this root as programs see them, where the layout knows models. Reads names, no content."""
        return iter(())

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        """(repo_type, repo_id, revision or None) that a user asks for by `text`, where models of this layout have names
        which no repo id of the Hub can have (``llama3:8b``); None for any other text.

        The repo id is the one that `snapshots` gives. The text may hold anything.
        """
        return None

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        """Lock files (flock) that this layout's own programs take before they replace `path`; they are made if missing.

        Below the root. (hubfold's own layouts may have them beside one that is a part of a cache.)
        """
        return ()

    def vault_places(self, root: Root) -> Sequence[str]:
        """Folders that may become the vault for keepers of this root, best first.

        The first that is on the keeper's file system and writable is taken. Below the root. (As with `lock_paths`.)
        None (an empty answer) where a folder of hubfold's would trouble the layout's programs: then a keeper gets its
        object in the vault of a cache on its file system, or hard links.
        """
        return (os.path.join(root.path, ".hubfold"),)

    # -- changing a root. What a layout does not know how to change is left alone.

    def removal(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Removal | None:
        """What has to go so that these revisions (None: the whole model) are gone from the root.

        None where the root has nothing of them, or where the layout cannot tell.
        """
        return None

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        """A `removal` for each place of the root that has the model, for layouts where that can be several.

        An empty `repo_id` asks for the copies of which the layout does not know the name.
        """
        one = self.removal(root, repo_type, repo_id, revisions, walk) if repo_id else None
        if one is not None:
            yield one

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal] | None:
        """The `removals` of every model of the root, of each all of its revisions, by one walk.

        None (the default) where the layout answers for one model at a time: then it is asked about one after the
        other, and what that costs is the number of models times whatever `removals` walks for each.
        """
        return None

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        """What programs of this layout left behind in the root, whatever its age."""
        return iter(())

    def gaps(self, root: Root, walk: Walk) -> Iterator[Gap]:
        """Links that lead nowhere, of which the layout can say what should be read there."""
        return iter(())

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        """Those of `paths` (content or payloads of a `Removal`) that something in the root needs now.

        Asked under the locks of `lock_paths`; what is not sure is needed. Where `walk` meets what cannot be read, all
        are, whatever the answer.
        """
        return paths

    def content_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        """Where this layout's client looks for content of a repository before it downloads it.

        None where it would not look, or not by any of `digests`.
        """
        return None

    def partial_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        """Where a download of this content that was begun can be gone on with: in the folder of its `content_path`.

        The beginning of the content may be put there and what is missing appended; a name by which `snapshots` and
        `leftovers` tell of it. None where there is no such place.
        """
        return None

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        """Everything that makes `snapshot` work at another place, so that `place` could put it there.

        Files that can be read at their `source`, each name once, links from one part to another. A model of which this
        is not so is not backed up.
        """
        return iter(())

    def place(self, name: str) -> PartPlace | None:
        """Where a part of this name (see `ModelPart`) belongs in any root; None if it belongs in none.

        The name comes from a file that anybody may have written. A `unit` is a folder above it.
        """
        return None

    # -- taking a model in that was no part of any layout

    def offers(self, root: Root, walk: Walk) -> Iterator[Offer]:
        """The models that the folder `root` holds as its user has them, for a layout that takes such a one in.

        What the folder tells of where they came from, and no more. Links among the files are read through.
        """
        return iter(())

    def arranged(self, offer: Offer, refs: Collection[str]) -> Iterator[ModelPart]:
        """Everything that makes a model of this layout of `offer`, named by `refs`; nothing where it takes none in.

        The offer is complete: repo id, commit, and of each file the digest of its `algorithm`.
        """
        return iter(())

    # -- giving the layout's program what a cache has

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        """Where files of a model of some cache would lie in a root of this layout, so that its program lists and loads
        them. The root may have to be made yet.

        Nothing for a model that the program has no use for, and nothing of the files that it does not read. Links by
        `Capabilities.links` and `links_across` are put there, and the notes once these are there. Each name is given
        once, and none lies below another; one file may have several. A layout that does not have this method is no
        choice of ``farm --for``.
        """
        return iter(())
