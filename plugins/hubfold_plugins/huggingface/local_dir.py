"""`local-dir`: folders that ``hf download --local-dir`` filled, and any plain folder.

Layout, as huggingface_hub writes it (`hubfold_plugins/huggingface/hub_metadata` has the formats)::

    <dir>/<path>                                              the files, plain
    <dir>/.cache/huggingface/download/<path>.metadata         commit, etag, time; <path>.lock; *.incomplete
    <dir>/.cache/huggingface/trees/<commit>.json              (newer clients)
    <dir>/.huggingface/download/…                             the same, up to 0.23

The repository's name is not written down; a cache that has the commit knows it. A folder may hold several
such downloads at any depth. The client goes by the mtime of what a path *reads*, so a file that is folded
into an inode with a later mtime than its metadata allows is fetched again: `Replica.latest_mtime_ns` says
what is allowed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import LinkKind, Partial, Replica, Root, Snapshot, SnapshotFile
from hubfold_plugins.huggingface.claims import claims_of_etag, claims_of_link
from hubfold_plugins.huggingface.hub_metadata import (
    COMMIT,
    TREE_LIMIT,
    Download,
    TreeFile,
    etag_of_partial,
    read_download,
    read_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Gap, Leftover, Offer, Removal

_HOMES = (os.path.join(".cache", "huggingface"), ".huggingface")
_INCOMPLETE = ".incomplete"
_METADATA = ".metadata"

#: Programs resolve such a file and want it where the model is, so no symlink may stand in its place.
_BESIDE_MODEL = frozenset({LinkKind.REFLINK, LinkKind.HARDLINK})
#: git compares and prunes its objects by rules of its own; sharing extents is all it cannot notice.
_OF_GIT = frozenset({LinkKind.REFLINK})
_EXTERNAL_DATA = (".data", "_data", ".weight")
_SELF_CONTAINED = (
    ".ckpt",
    ".gguf",
    ".h5",
    ".json",
    ".md",
    ".model",
    ".msgpack",
    ".pt",
    ".pth",
    ".safetensors",
    ".txt",
    ".xml",
    ".zip",
)


class LocalDirBackend(StorageBackend):
    """Every file of a folder; those that a client downloaded with what it wrote down about them."""

    name = "local-dir"
    capabilities = Capabilities(vouches=False, claims=frozenset({"sha256", "git-sha1", "xet"}))
    fallback = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` if a client has downloaded into it. (Any other folder can be scanned as this layout too.)"""
        downloads = (os.path.join(path, home, "download") for home in _homes(names))
        return path if any(peek.is_folder(place) for place in downloads) else None

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        copies: dict[str, tuple[_Copy, ...]] = {}
        for folder in walk.folders(root.path):
            if folder.path.endswith(_BOOKKEEPING):
                # A home's ~/.cache/huggingface is HF_HOME as well: let the walk find the cache in it.
                folder.folders[:] = [name for name in folder.folders if name == "hub"]
                continue
            here = [_Copy(folder.path, home, walk) for home in _homes(folder.names)]
            around = (
                *copies.get(os.path.dirname(folder.path), ()),
                *(copy for copy in here if copy.is_one()),
            )
            if around:
                copies[folder.path] = around
            yield from _files(folder, around, walk)

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        """The downloads; a folder that no client filled has nothing that says which model it is."""
        for copy in _copies(root, walk):
            snapshot = copy.snapshot()
            if snapshot is not None:
                yield snapshot

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        def wanted(snapshot: Snapshot) -> bool:
            return (snapshot.repo_type, snapshot.repo_id) == (repo_type, repo_id) and (
                revisions is None or snapshot.revision in revisions
            )

        return _removals(root, walk, wanted)

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        return _removals(root, walk, lambda snapshot: True)

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        """Downloads that were interrupted, in every folder that a client downloaded into."""
        from hubfold_plugins.huggingface import local_upkeep

        for copy in _copies(root, walk):
            for path in copy.partials():
                yield local_upkeep.interrupted(root.path, path, walk)

    def gaps(self, root: Root, walk: Walk) -> Iterator[Gap]:
        """Links of a snapshot that was copied out of its cache, or whose cache is gone."""
        from hubfold.backend.changes import Gap

        for folder in walk.folders(root.path):
            for path, text in _leading_nowhere(folder, walk):
                if digests := claims_of_link(text):
                    yield Gap(path, digests)

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        """What a client has noted anew since the notes were taken away: it downloads there again."""
        return {path for path in paths if any(map(peek.exists, _notes_on(path, _METADATA, root.path)))}

    def offers(self, root: Root, walk: Walk) -> Iterator[Offer]:
        """What a client downloaded into the folder itself, or an earlier one cached in it; else a clone or a copy."""
        from hubfold_plugins.huggingface import legacy_offers, local_offers

        for home in _homes(walk.listing(root.path)):
            copy = _Copy(root.path, home, walk)
            snapshot = copy.snapshot() if copy.is_one() else None
            if snapshot is not None and snapshot.revision:
                text = walk.read_text(copy.tree_path(snapshot.revision), TREE_LIMIT) or ""
                yield local_offers.of_download(snapshot, copy.downloads, copy.tree(snapshot.revision), text)
                return
        is_noted = legacy_offers.is_noted(root.path, walk)
        yield from (legacy_offers.of_notes if is_noted else local_offers.each)(root.path, walk)

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        if path.endswith(_INCOMPLETE):
            from hubfold_plugins.huggingface import local_upkeep

            return local_upkeep.locks_of_partial(path)
        return next((locks for locks in _notes_on_each(path, ".lock", root.path) if locks), [])


def _copies(root: Root, walk: Walk) -> Iterator[_Copy]:
    """Every folder of a root that a client downloaded into."""
    for folder in walk.folders(root.path):
        if folder.path.endswith(_BOOKKEEPING):
            # A home's ~/.cache/huggingface is HF_HOME as well: let the walk find the cache in it.
            folder.folders[:] = [name for name in folder.folders if name == "hub"]
            continue
        for copy in (_Copy(folder.path, home, walk) for home in _homes(folder.names)):
            if copy.is_one():
                yield copy


def _removals(root: Root, walk: Walk, wanted: Callable[[Snapshot], bool]) -> Iterator[Removal]:
    from hubfold_plugins.huggingface import local_upkeep

    for folder in walk.folders(root.path):
        for copy in (_Copy(folder.path, home, walk) for home in _homes(folder.names)):
            snapshot = copy.snapshot() if copy.is_one() else None
            if snapshot is not None and wanted(snapshot):
                yield local_upkeep.removal(
                    root.path, snapshot, copy.home, walk, downloads=copy.downloads, notes=copy.notes
                )


def _notes_on(path: str, suffix: str, root: str) -> Iterator[str]:
    """Where clients note something about the file `path`, whichever folder at or below `root` was downloaded into."""
    for notes in _notes_on_each(path, suffix, root):
        yield from notes


def _notes_on_each(path: str, suffix: str, root: str) -> Iterator[list[str]]:
    folder, name = os.path.split(path)
    below = ""
    while True:
        places = [os.path.join(folder, home, "download", below) for home in _HOMES]
        yield [os.path.join(place, f"{name}{suffix}") for place in places if peek.is_folder(place)]
        if len(folder) <= len(root):
            return
        below = os.path.join(os.path.basename(folder), below)
        folder = os.path.dirname(folder)


_BOOKKEEPING = tuple(f"/{home}" for home in _HOMES)


def _homes(names: Collection[str]) -> list[str]:
    return [home for home in _HOMES if home.partition("/")[0] in names]


@dataclass(slots=True)
class _Copy:
    """One ``local_dir`` that a client filled: where its bookkeeping lies, and what was read of it."""

    path: str
    home: str
    walk: Walk
    trees: dict[str, dict[str, TreeFile]] = field(default_factory=dict)
    #: What `snapshot` read: what the client noted by the file's name, and the path of every note.
    downloads: dict[str, Download] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def is_one(self) -> bool:
        return "download" in self.walk.listing(os.path.join(self.path, self.home))

    def metadata_folder(self, folder: str) -> str:
        place = os.path.join(self.path, self.home, "download")
        return place if folder == self.path else os.path.join(place, os.path.relpath(folder, self.path))

    def tree(self, commit: str) -> dict[str, TreeFile]:
        if commit not in self.trees:
            self.trees[commit] = read_tree(self.walk, self.tree_path(commit))
        return self.trees[commit]

    def tree_path(self, commit: str) -> str:
        return os.path.join(self.path, self.home, "trees", f"{commit}.json")

    def tree_file(self, commit: str, path: str) -> TreeFile | None:
        return self.tree(commit).get(os.path.relpath(path, self.path))

    def snapshot(self) -> Snapshot | None:
        """The revision that was downloaded last, with those of its files that are there; None where none was."""
        partials = self._read()
        downloads = self.downloads
        if not downloads and not partials:
            return None
        latest = max(downloads.values(), key=lambda download: download.timestamp, default=None)
        commit = latest.commit if latest is not None else self._only_tree()
        listing = self.tree(commit) if commit else {}
        # A file of an earlier revision is this one's too if its etag is; without a listing nobody can tell.
        ours = {
            name
            for name, download in downloads.items()
            if (listing[name].etag == download.etag if name in listing else not listing)
            and (listing or download.commit == commit)
        }
        files = tuple(
            SnapshotFile(
                name, path, self.walk.size(path), self._claims(downloads[name], listing.get(name), path)
            )
            for name in sorted(ours)
            for path in [os.path.join(self.path, *name.split("/"))]
        )
        waited = {file.etag: name for name, file in listing.items() if name not in ours}
        repo_id, repo_type = self.walk.commit_repo(commit) or ("", "model")
        return Snapshot(
            repo_id=repo_id,
            repo_type=repo_type,
            revision=commit,
            refs=(),
            path=self.path,
            files=files,
            home=self.path,
            expected={name: file.size for name, file in listing.items()} or None,
            incomplete=tuple(
                Partial(path, size, waited.get(etag or ""), claims_of_etag(etag) if etag else {})
                for path, size, etag in partials
                if not listing or etag in waited
            ),
        )

    def _claims(self, download: Download, listed: TreeFile | None, path: str) -> Mapping[str, str]:
        """What the file should be, if the client itself would believe that it is."""
        stat = self.walk.stat(path)
        if stat is None or not download.believes(stat):
            return {}
        return download.claims if listed is None else listed.claims

    def _read(self) -> list[tuple[str, int, str | None]]:
        """Fill in what the client noted; (path, bytes, etag) of what it did not finish."""
        top = os.path.join(self.path, self.home, "download")
        partials = []
        for folder in self.walk.folders(top):
            for name in sorted(set(folder.names).difference(folder.folders)):
                path = os.path.join(folder.path, name)
                self.notes.append(path)
                if name.endswith(_METADATA):
                    download = read_download(self.walk, path)
                    if download is not None:
                        self.downloads[os.path.relpath(path, top).removesuffix(_METADATA)] = download
                elif name.endswith(_INCOMPLETE):
                    stat = self.walk.stat(path)
                    if stat is not None:
                        partials.append((path, stat.st_size, etag_of_partial(name)))
        return partials

    def partials(self) -> list[str]:
        """The files of downloads that are not at their end."""
        return [path for path, _, _ in self._read()]

    def _only_tree(self) -> str:
        """The revision of a download that has no file yet, by its listing; empty where that does not tell."""
        names = self.walk.listing(os.path.join(self.path, self.home, "trees"))
        commits = [commit for name in names if COMMIT.fullmatch(commit := name.removesuffix(".json"))]
        return commits[0] if len(commits) == 1 else ""

    def describe(self, replica: Replica, metadata: str) -> None:
        """Put on a replica what `metadata` says of it, if the client itself would believe that."""
        download = read_download(self.walk, metadata)
        if download is None or not download.believes(replica.stat):
            return
        known = self.tree_file(download.commit, replica.path)
        if known is not None and known.etag == download.etag and known.size != replica.stat.st_size:
            self.walk.warn(
                replica.path,
                f"has {replica.stat.st_size} bytes, the repository says {known.size}: an unknown file, then",
            )
            return
        replica.vouched = True
        replica.claims = download.claims
        if known is not None and known.etag == download.etag:
            replica.claims = known.claims
        replica.revision = download.commit
        replica.latest_mtime_ns = download.latest_mtime_ns(replica.stat)
        repository = self.walk.commit_repo(download.commit)
        if repository is not None:
            replica.repo_id, replica.repo_type = repository


def _files(folder: Folder, copies: tuple[_Copy, ...], walk: Walk) -> Iterator[Replica]:
    # The nearest download first: it is the one that knows a file that lies in two.
    places = [(copy, copy.metadata_folder(folder.path)) for copy in reversed(copies)]
    metadata = [(copy, place, set(walk.listing(place))) for copy, place in places]
    _warn_of_incomplete(folder.path, folder.names, walk)
    _warn_of_nowhere(folder, walk)
    for _, place, names in metadata:
        _warn_of_incomplete(place, names, walk)
    if not folder.files:
        return
    links = _Links(folder)
    for name, stat in folder.files:
        if name.endswith(_INCOMPLETE):
            continue
        replica = Replica(os.path.join(folder.path, name), stat, links=links.tolerated(name))
        for copy, place, names in metadata:
            if f"{name}{_METADATA}" in names:
                copy.describe(replica, os.path.join(place, f"{name}{_METADATA}"))
                break
        yield replica


def _leading_nowhere(folder: Folder, walk: Walk) -> Iterator[tuple[str, str]]:
    """(path, text) of the links that once led into a hub cache and lead nowhere; others are no business of ours."""
    for name in folder.links:
        path = os.path.join(folder.path, name)
        text = walk.readlink(path) or ""
        if claims_of_link(text) and walk.dangles(path):
            yield path, text


def _warn_of_nowhere(folder: Folder, walk: Walk) -> None:
    paths = sorted(path for path, _ in _leading_nowhere(folder, walk))
    if paths:
        more = f", like {len(paths) - 1} more of this folder" if len(paths) > 1 else ""
        message = (
            f"leads nowhere: what it names is in no cache beside it{more}; `hubfold doctor` looks for it"
        )
        walk.warn(paths[0], message, kind="dangling")


def _warn_of_incomplete(place: str, names: Collection[str], walk: Walk) -> None:
    for name in sorted(name for name in names if name.endswith(_INCOMPLETE)):
        path = os.path.join(place, name)
        stat = walk.stat(path)
        if stat is not None:
            walk.warn(
                path, f"is an interrupted download of {stat.st_size} bytes: left out", kind="interrupted"
            )


class _Links:
    """Which link kinds the files of one folder tolerate."""

    def __init__(self, folder: Folder) -> None:
        self._of_git = "/.git/" in f"{folder.path}/"
        self._models = tuple(name for name in folder.names if name.endswith(".onnx"))
        self._has_data = bool(self._models) and any(self._is_data(name) for name in folder.names)

    def tolerated(self, name: str) -> frozenset[LinkKind] | None:
        """None for all kinds. onnxruntime refuses external data that resolves outside the model's folder."""
        if self._of_git:
            return _OF_GIT
        if name.endswith(".onnx"):
            # The model is resolved too: as a symlink it would be looked for its data where the link leads.
            return _BESIDE_MODEL if self._has_data else None
        return _BESIDE_MODEL if self._is_data(name) or self._may_be_data(name) else None

    def _is_data(self, name: str) -> bool:
        if ".onnx_data" in name or ".onnx.data" in name:
            return True
        beside = bool(self._models) and not name.endswith(".onnx")
        return beside and (name.endswith(_EXTERNAL_DATA) or name.startswith(self._models))

    def _may_be_data(self, name: str) -> bool:
        """Exporters name external data as they like, so what is not known to hold none may."""
        known = name.startswith((".", "pytorch_model")) or name.endswith((*_SELF_CONTAINED, ".onnx"))
        return bool(self._models) and not known
