"""One repository of a hub cache: its blobs, its refs and the snapshots that make files of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from hubfold.backend.contract import Folder, Walk
from hubfold.content import LinkKind, Partial, Replica, Root, Snapshot, SnapshotFile
from hubfold_plugins.huggingface.claims import claims_of_etag
from hubfold_plugins.huggingface.hub_linked import own_blob
from hubfold_plugins.huggingface.hub_metadata import (
    COMMIT,
    XET_HASH,
    TreeFile,
    etag_of_partial,
    read_tree,
)

INCOMPLETE = ".incomplete"
#: A plain file in snapshots/ may become no symlink: a client would delete what that points to.
_NO_SYMLINK = frozenset({LinkKind.REFLINK, LinkKind.HARDLINK})


@dataclass(slots=True)
class Reference:
    """A repository's blob that is a symlink to a payload of the shared store."""

    etag: str
    repo_id: str
    repo_type: str
    revision: str | None


Shared = dict[str, list[Reference]]


@dataclass(slots=True)
class Repository:
    """One ``models--<org>--<name>`` folder; `top` is it, or the one folder inside it that is to be read."""

    path: str
    top: str
    walk: Walk
    #: Names in blobs/, whatever they are, and those of them that are wanted: new or changed, or a symlink.
    blobs: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    #: By commit: the branches and tags that name it.
    refs: dict[str, list[str]] = field(default_factory=dict)
    #: By blob: the revision to name it by.
    uses: dict[str, str] = field(default_factory=dict)
    #: By commit: the files of its listing by path, and by etag.
    trees: dict[str, tuple[dict[str, TreeFile], dict[str, TreeFile]]] = field(default_factory=dict)
    leaving: int = 0
    #: The folder that programs know the repository by, where a link of that name leads here.
    name: str = ""
    #: Where its blobs/ and snapshots/ lie, for one of these that is behind a link of its own.
    places: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def behind(cls, root: Root, walk: Walk) -> Repository:
        """The repository, or the part of one, that lies in a root behind a link."""
        above, part = os.path.split(root.link)
        if part in ("blobs", "snapshots"):
            return cls(above, root.path, walk, name=above, places={part: root.path})
        return cls(root.path, root.path, walk, name=root.link)

    @property
    def repo_id(self) -> str:
        _, _, name = os.path.basename(self.name or self.path).partition("--")
        return name.replace("--", "/")

    @property
    def repo_type(self) -> str:
        kind, _, _ = os.path.basename(self.name or self.path).partition("--")
        return kind.removesuffix("s")

    def replicas(self, shared: Shared) -> Iterator[Replica]:
        files, links = self._read_blobs()
        self._read_refs()
        # Snapshots say which revision uses a blob, so the blobs are told after them.
        yield from self._read_snapshots()
        for name, stat in files:
            yield self._blob(name, stat)
        for name in links:
            self._blob_link(name, shared)

    def _part(self, name: str) -> Iterator[Folder]:
        """The folders of one part of the repository, as far as they lie in `top`."""
        path = self._place(name)
        if self.places:
            return self.walk.folders(path) if name in self.places else iter(())
        if self.top == self.path:
            return self.walk.folders(path)
        return self.walk.folders(self.top) if f"{self.top}/".startswith(f"{path}/") else iter(())

    def _place(self, part: str) -> str:
        """Where a part of the repository is read."""
        return self.places.get(part) or os.path.join(self.path, part)

    def _read_blobs(self) -> tuple[list[tuple[str, os.stat_result]], list[str]]:
        files: list[tuple[str, os.stat_result]] = []
        links: dict[str, None] = {}
        for folder in self._part("blobs"):
            folder.folders.clear()
            self.blobs.update(folder.names)
            files += [(name, stat) for name, stat in folder.files if not name.endswith(INCOMPLETE)]
            links |= dict.fromkeys(name for name in folder.links if not name.startswith("."))
        if not self.blobs and not self.places:
            # Behind a link there is another root's content, but it is there.
            self.blobs.update(self.walk.listing(os.path.join(self.path, "blobs")))
        for name in sorted(name for name in self.blobs if name.endswith(INCOMPLETE)):
            path = os.path.join(self._place("blobs"), name)
            stat = self.walk.stat(path)
            if stat is not None:
                self.walk.warn(
                    path, f"is an interrupted download of {stat.st_size} bytes: left out", kind="interrupted"
                )
        self.wanted = {name for name, _ in files} | links.keys()
        return files, list(links)

    def _read_refs(self) -> None:
        refs = os.path.join(self.path, "refs")
        for folder in self._part("refs"):
            for name in sorted(set(folder.names).difference(folder.folders, folder.links)):
                path = os.path.join(folder.path, name)
                text = self.walk.read_text(path, 256)
                if text is None:
                    continue
                commit = text.strip()
                if COMMIT.fullmatch(commit):
                    self.refs.setdefault(commit, []).append(os.path.relpath(path, refs))
                    self.walk.note_commit(commit, self.repo_id, self.repo_type)
                else:
                    self.walk.warn(path, "is a ref that names no commit: left out")

    def snapshots(self) -> Iterator[Snapshot]:
        """The revisions, each with every file it offers; those of one without a ref too, and those not begun yet."""
        self._read_refs()
        top = os.path.join(self.path, "snapshots")
        files: dict[str, list[SnapshotFile]] = {}
        for folder in self._part("snapshots"):
            if folder.path == top:
                continue
            commit, _, below = folder.path[len(top) + 1 :].partition("/")
            if commit not in files and COMMIT.fullmatch(commit):
                self.walk.note_commit(commit, self.repo_id, self.repo_type)
            found = files.setdefault(commit, [])
            for name in set(folder.names).difference(folder.folders):
                path = os.path.join(folder.path, name)
                if not name.endswith(INCOMPLETE):
                    inside = f"{below}/{name}".lstrip("/")
                    claims = self._claims(commit, inside, path if name in folder.links else None)
                    found.append(SnapshotFile(inside, path, self.walk.size(path), claims))
        for commit in self.refs:
            files.setdefault(commit, [])
        blobs = self.walk.listing(os.path.join(self.path, "blobs"))
        partials = self._partials(blobs, files)
        if not files and blobs:
            # A download that did not come as far as its first ref, or that of a client which wrote none.
            yield Snapshot(
                repo_id=self.repo_id,
                repo_type=self.repo_type,
                revision="",
                refs=(),
                path=self.path,
                files=(),
                home=self.path,
                incomplete=tuple(partials.get("", ())),
            )
        for commit in sorted(files):
            listing = {name: file.size for name, file in self._tree(commit)[0].items()}
            yield Snapshot(
                repo_id=self.repo_id,
                repo_type=self.repo_type,
                revision=commit,
                refs=tuple(sorted(self.refs.get(commit, ()))),
                path=os.path.join(top, commit),
                files=tuple(sorted(files[commit], key=lambda file: file.name)),
                home=self.path,
                expected=listing or None,
                incomplete=tuple(partials.get(commit, ())),
            )

    def _claims(self, commit: str, name: str, link: str | None) -> Mapping[str, str]:
        """What a file of a snapshot should be: by the listing, else by the name of the blob that its link leads to."""
        known = self._tree(commit)[0].get(name)
        if known is not None:
            return known.claims
        text = self.walk.readlink(link) if link is not None else None
        return claims_of_etag(os.path.basename(text)) if text is not None else {}

    def _partials(
        self, blobs: Collection[str], files: Mapping[str, list[SnapshotFile]]
    ) -> dict[str, list[Partial]]:
        """Interrupted downloads by the revisions that wait for them; what is there whole by now is left out.

        One that no listing knows belongs to the revisions without a listing, the named ones if there are any.
        """
        found: dict[str, list[Partial]] = {}
        for name in blobs:
            etag = etag_of_partial(name) if name.endswith(INCOMPLETE) else None
            path = os.path.join(self.path, "blobs", name)
            stat = self.walk.stat(path) if name.endswith(INCOMPLETE) and etag not in blobs else None
            if stat is None:
                continue
            digests = claims_of_etag(etag) if etag else {}
            for commit in files:
                names = [file for file, known in self._tree(commit)[0].items() if known.etag == etag]
                found.setdefault(commit, []).extend(
                    Partial(path, stat.st_size, file, digests) for file in names
                )
            if not any(partial.path == path for partials in found.values() for partial in partials):
                unlisted = [commit for commit in files if not self._tree(commit)[0]] or list(files) or [""]
                for commit in [commit for commit in unlisted if commit in self.refs] or unlisted:
                    found.setdefault(commit, []).append(Partial(path, stat.st_size, None, digests))
        return found

    def _read_snapshots(self) -> Iterator[Replica]:
        snapshots = self._place("snapshots")
        broken: dict[str, list[str]] = {}
        for folder in self._part("snapshots"):
            if folder.path == snapshots:
                continue
            commit, _, below = folder.path[len(snapshots) + 1 :].partition("/")
            if not below and COMMIT.fullmatch(commit):
                self.walk.note_commit(commit, self.repo_id, self.repo_type)
            blobs = os.path.relpath(os.path.join(self.path, "blobs"), folder.path) + "/"
            for name in folder.links:
                if not self._link(folder.path, name, commit, blobs):
                    broken.setdefault(commit, []).append(os.path.join(folder.path, name))
            for name, stat in folder.files:
                if not name.endswith(INCOMPLETE):
                    yield self._plain_file(
                        os.path.join(folder.path, name), stat, commit, f"{below}/{name}".lstrip("/")
                    )
        for paths in broken.values():
            more = f", like {len(paths) - 1} more of this snapshot" if len(paths) > 1 else ""
            self.walk.warn(min(paths), f"leads nowhere: its blob is missing{more}", kind="dangling")

    def _link(self, folder: str, name: str, commit: str, blobs: str) -> bool:
        """Note which blob a snapshot link uses; whether it leads anywhere. `blobs`: how a link begins that stays."""
        path = os.path.join(folder, name)
        text = self.walk.readlink(path)
        if text is None:
            return True
        etag = text.removeprefix(blobs)
        if len(etag) == len(text) or "/" in etag:
            # Not as the client writes it; it may mean the same.
            etag = os.path.basename(own_blob(self.path, path, text, self.walk) or "")
        if etag not in ("", "..", "."):
            if self.top == self.path and etag not in self.blobs:
                return False
            if self.places:
                return not self.walk.dangles(path)
            if etag in self.wanted and self._rank(commit) < self._rank(self.uses.get(etag)):
                self.uses[etag] = commit
            return True
        if self.leaving == 0:
            self.walk.warn(path, "leaves its repository: `hf cache rm` would delete what it points to")
        self.leaving += 1
        return not self.walk.dangles(path)

    def _rank(self, commit: str | None) -> tuple[bool, bool, bool, str]:
        """How good a revision is to name a blob by: what `main` names, what any ref names, a detached one."""
        refs = self.refs.get(commit, ()) if commit is not None else ()
        return commit is None, "main" not in refs, not refs, commit or ""

    def _tree(self, commit: str | None) -> tuple[dict[str, TreeFile], dict[str, TreeFile]]:
        if commit is None or self.top != self.path or not COMMIT.fullmatch(commit):
            return {}, {}
        if commit not in self.trees:
            files = read_tree(self.walk, os.path.join(self.path, "trees", f"{commit}.json"))
            self.trees[commit] = files, {file.etag: file for file in files.values()}
        return self.trees[commit]

    def _blob(self, name: str, stat: os.stat_result) -> Replica:
        path = os.path.join(self._place("blobs"), name)
        revision = self.uses.get(name)
        claims = claims_of_etag(name)
        known = self._tree(revision)[1].get(name)
        if known is not None:
            if known.size == stat.st_size:
                claims.update(known.claims)
            else:
                self.walk.warn(
                    path,
                    f"has {stat.st_size} bytes, its repository says {known.size}: it is damaged",
                    kind="damaged",
                )
        return Replica(
            path,
            stat,
            claims,
            repo_id=self.repo_id,
            repo_type=self.repo_type,
            revision=_commit_or_none(revision),
        )

    def _plain_file(self, path: str, stat: os.stat_result, commit: str, name: str) -> Replica:
        """A file in the place of a snapshot's symlink: symlinks were off, or somebody put it there."""
        known = self._tree(commit)[0].get(name)
        claims = dict(known.claims) if known is not None and known.size == stat.st_size else {}
        return Replica(
            path,
            stat,
            claims,
            repo_id=self.repo_id,
            repo_type=self.repo_type,
            revision=_commit_or_none(commit),
            links=_NO_SYMLINK,
        )

    def _blob_link(self, name: str, shared: Shared) -> None:
        """A blob that is a symlink is a view: of the shared store, or of a vault on another drive."""
        path = os.path.join(self._place("blobs"), name)
        text = self.walk.readlink(path)
        if text is None:
            return
        target = os.path.normpath(os.path.join(os.path.dirname(path), text))
        folder, payload = os.path.split(target)
        if os.path.dirname(folder) == os.path.join(
            os.path.dirname(self.path), "blobs"
        ) and XET_HASH.fullmatch(payload):
            revision = _commit_or_none(self.uses.get(name))
            shared.setdefault(payload, []).append(Reference(name, self.repo_id, self.repo_type, revision))
        if self.walk.dangles(path):
            self.walk.warn(path, "is a blob that leads nowhere (is its drive there?)", kind="dangling")


def _commit_or_none(revision: str | None) -> str | None:
    return revision if revision is not None and COMMIT.fullmatch(revision) else None
