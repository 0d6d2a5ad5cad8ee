"""`hub-cache`: the cache of huggingface_hub.

Layout, as huggingface_hub 0.23.5 to 2.4.0 write it::

    <cache>/                      HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
      CACHEDIR.TAG  .locks/<repository>/<etag>.lock
      blobs/                      the shared store (1.32.0 and later), marked .huggingface-shared-blobs
        <2 hex>/<xet hash>        a payload, with <xet hash>.refs and <xet hash>.lock beside
      models--<org>--<name>/      also datasets--, spaces--, kernels--
        blobs/<etag>              the payloads, or relative symlinks into the shared store; *.incomplete
        refs/<ref>                a commit hash; nested for refs/pr/1
        snapshots/<commit>/<path> relative symlink to ../../blobs/<etag>; a plain file where symlinks are off
        trees/<commit>.json       see `hub_metadata`
        .no_exist/<commit>/<path>

What may be done to it follows from what its clients do. They unlink the first hop of a snapshot link, up to
1.31 even what it resolves to, so nothing in ``snapshots/`` may become a link to elsewhere, and between blobs
of one file system only hard links and reflinks are safe. The shared store is swept by clients that know
nothing of links from outside: its payloads stay where they are. Where an ``hf download`` could be writing,
its lock is told.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold.backend import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root

from hubfold_plugins.hub_metadata import COMMIT, TreeFile, claims_of_etag, read_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

STORE_MARKER = ".huggingface-shared-blobs"

_PREFIXES = ("models--", "datasets--", "spaces--", "kernels--")
_REPOSITORY = re.compile(r"(model|dataset|space|kernel)s--(.+)", re.DOTALL)
_PARTS = frozenset({"blobs", "refs", "snapshots"})
_XET = re.compile(r"[0-9a-f]{64}")
_TWO_HEX = re.compile(r"[0-9a-f]{2}")
_INCOMPLETE = ".incomplete"
#: What an HF_HOME holds beside hub/: no part of a cache, and no model files.
_OF_HF_HOME = frozenset({"assets", "accelerate", "datasets", "evaluate", "metrics", "modules", "xet"})
_OF_A_CACHE = frozenset({".locks", "CACHEDIR.TAG", "version.txt", "blobs"})
#: A plain file in snapshots/ may become no symlink: a client would delete what that points to.
_NO_SYMLINK = frozenset({LinkKind.REFLINK, LinkKind.HARDLINK})


@dataclass(slots=True)
class _Reference:
    """A repository's blob that is a symlink to a payload of the shared store."""

    etag: str
    repo_id: str
    repo_type: str
    revision: str | None


_Shared = dict[str, list[_Reference]]


class HubCacheBackend(StorageBackend):
    """The blobs of every repository and the payloads of the shared store; snapshots are views of them."""

    name = "hub-cache"
    capabilities = Capabilities(
        cache=True,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset({LinkKind.SYMLINK}),
        private_objects=True,
        claims=frozenset({"sha256", "git-sha1", "xet"}),
    )

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` for a cache, one of its repositories or a folder inside one; ``path/hub`` for an HF_HOME."""
        if _is_cache(path, names) or _is_store(path, names):
            return path
        repository = _repository_of(path)
        if repository is not None and (repository != path or not _PARTS.isdisjoint(names)):
            return path
        if "hub" in names:
            below = os.path.join(path, "hub")
            if _is_cache(below, _names(below)):
                return below
        return None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """The client's own cache first, then what it would be if each variable in turn were not set."""
        home = _expanded("~", environ)
        caches = [environ.get("HF_HUB_CACHE"), environ.get("HUGGINGFACE_HUB_CACHE")]
        homes = [environ.get("HF_HOME")]
        if environ.get("XDG_CACHE_HOME"):
            homes.append(os.path.join(environ["XDG_CACHE_HOME"], "huggingface"))
        homes.append(os.path.join(home, ".cache", "huggingface"))
        caches += [os.path.join(_expanded(place, environ), "hub") for place in homes if place]
        return list(dict.fromkeys(os.path.abspath(_expanded(place, environ)) for place in caches if place))

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        repository = _repository_of(root.path)
        if repository is not None:
            yield from _Repository(repository, root.path, walk).replicas({})
        elif _store_of(root.path) is not None:
            yield from _store_replicas(root.path, walk, {})
        else:
            yield from _below(root.path, walk)

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        folder, name = os.path.split(path)
        repository = _repository_of(path)
        if repository is not None and folder == os.path.join(repository, "blobs"):
            cache, repository_name = os.path.split(repository)
            return (os.path.join(cache, ".locks", repository_name, f"{name}.lock"),)
        if _XET.fullmatch(name) and os.path.basename(folder) == name[:2] and _store_of(folder) is not None:
            return (f"{path}.lock",)
        return ()

    def vault_places(self, root: Root) -> Sequence[str]:
        part = _repository_of(root.path) or _store_of(root.path)
        cache = os.path.dirname(part) if part is not None else root.path
        return (os.path.join(os.path.dirname(cache), "hubfold"), os.path.join(cache, ".hubfold"))


# where things are


def _names(path: str) -> Collection[str]:
    try:
        return os.listdir(path)
    except OSError:
        return ()


def _is_cache(path: str, names: Collection[str]) -> bool:
    for name in names:
        if name.startswith(_PREFIXES) and any(
            os.path.isdir(os.path.join(path, name, part)) for part in _PARTS
        ):
            return True
    # A cache that was emptied: nothing in it but what a client leaves behind.
    return ".locks" in names and _OF_A_CACHE.issuperset(names)


def _is_store(path: str, names: Collection[str]) -> bool:
    return STORE_MARKER in names or _store_of(path) is not None


def _store_of(path: str) -> str | None:
    """The shared store that `path` is, or is a folder of."""
    for place in (path, os.path.dirname(path) if _TWO_HEX.fullmatch(os.path.basename(path)) else None):
        if (
            place
            and os.path.basename(place) == "blobs"
            and os.path.lexists(os.path.join(place, STORE_MARKER))
        ):
            return place
    return None


def _repository_of(path: str) -> str | None:
    """The folder ``<cache>/<type>s--<id>`` that `path` is or lies in, by its text."""
    if "s--" not in path:
        return None
    parts = path.split("/")
    for at, part in enumerate(parts):
        if _REPOSITORY.fullmatch(part) and (at + 1 == len(parts) or parts[at + 1] in _PARTS):
            return "/".join(parts[: at + 1])
    return None


def _expanded(place: str, environ: Mapping[str, str]) -> str:
    """`place` with ``~`` and ``$NAME`` filled in from `environ`, as the client does with its own."""
    if place == "~" or place.startswith("~/"):
        place = (environ.get("HOME") or os.path.expanduser("~")) + place[1:]

    def value(match: re.Match[str]) -> str:
        return environ.get(match[1].strip("{}"), match[0])

    return re.sub(r"\$(\w+|\{[^}]*\})", value, place)


# reading


def _below(top: str, walk: Walk) -> Iterator[Replica]:
    """The cache `top`, and those that lie in it by mistake (``hub/hub``)."""
    caches: set[str] = set()
    for folder in walk.folders(top):
        if folder.path in caches:
            continue
        if folder.path == top or _is_cache(folder.path, folder.names):
            caches.add(folder.path)
            yield from _cache(folder, walk)
        elif os.path.dirname(folder.path) in caches:
            walk.warn(
                folder.path, "is no part of a hub cache: left out here, scan it by its own path to fold it"
            )


def _cache(folder: Folder, walk: Walk) -> Iterator[Replica]:
    repositories = [name for name in folder.folders if name.startswith(_PREFIXES)]
    store = os.path.join(folder.path, "blobs")
    has_store = "blobs" in folder.folders and walk.read_text(os.path.join(store, STORE_MARKER), 16) == "1\n"
    read_here = {*repositories, ".locks", *_OF_HF_HOME, *(["blobs"] if has_store else [])}
    folder.folders[:] = [name for name in folder.folders if name not in read_here]
    for name in folder.links:
        path = os.path.join(folder.path, name)
        if name.startswith(_PREFIXES) and walk.dangles(path):
            walk.warn(path, "is a repository that leads nowhere (is its drive there?)")
    shared: _Shared = {}
    for name in repositories:
        path = os.path.join(folder.path, name)
        yield from _Repository(path, path, walk).replicas(shared)
    if has_store:
        yield from _store_replicas(store, walk, shared)


def _store_replicas(top: str, walk: Walk, shared: _Shared) -> Iterator[Replica]:
    """The payloads of the shared store, each once however many repositories use it."""
    for folder in walk.folders(top):
        prefix = os.path.basename(folder.path)
        for name, stat in folder.files:
            if not _XET.fullmatch(name) or name[:2] != prefix:
                continue
            path = os.path.join(folder.path, name)
            references = shared.get(name, [])
            claims = {"xet": name}
            etags = {reference.etag for reference in references}
            if len(etags) == 1:
                claims |= claims_of_etag(*etags)
            elif etags:
                walk.warn(
                    path,
                    "is used under names that contradict each other: one of these blobs is not what it says",
                )
            # The first by name of revision, so that the answer is the same at every scan.
            user = min(references, key=lambda one: (one.revision is None, one.repo_id), default=None)
            replica = Replica(path, stat, claims, pinned=True)
            if user is not None:
                replica.repo_id, replica.repo_type, replica.revision = (
                    user.repo_id,
                    user.repo_type,
                    user.revision,
                )
            yield replica


@dataclass(slots=True)
class _Repository:
    """One ``models--<org>--<name>`` folder; `top` is it, or the one folder inside it that is to be read."""

    path: str
    top: str
    walk: Walk
    #: Names in blobs/, whatever they are, and those of them that are wanted: new or changed, or a symlink.
    blobs: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    #: How good a revision is to name a blob by: one that `main` names, one that any ref names, a detached
    #: one.
    ranks: dict[str, int] = field(default_factory=dict)
    uses: dict[str, str] = field(default_factory=dict)
    #: By commit: the files of its listing by path, and by etag.
    trees: dict[str, tuple[dict[str, TreeFile], dict[str, TreeFile]]] = field(default_factory=dict)
    leaving: int = 0

    @property
    def repo_id(self) -> str:
        return os.path.basename(self.path).partition("--")[2].replace("--", "/")

    @property
    def repo_type(self) -> str:
        return os.path.basename(self.path).partition("--")[0].removesuffix("s")

    def replicas(self, shared: _Shared) -> Iterator[Replica]:
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
        path = os.path.join(self.path, name)
        if self.top == self.path:
            return self.walk.folders(path)
        return self.walk.folders(self.top) if f"{self.top}/".startswith(f"{path}/") else iter(())

    def _read_blobs(self) -> tuple[list[tuple[str, os.stat_result]], list[str]]:
        files: list[tuple[str, os.stat_result]] = []
        links: dict[str, None] = {}
        for folder in self._part("blobs"):
            folder.folders.clear()
            self.blobs.update(folder.names)
            files += [(name, stat) for name, stat in folder.files if not name.endswith(_INCOMPLETE)]
            links |= dict.fromkeys(name for name in folder.links if not name.startswith("."))
        for name in sorted(name for name in self.blobs if name.endswith(_INCOMPLETE)):
            path = os.path.join(self.path, "blobs", name)
            stat = self.walk.stat(path)
            if stat is not None:
                self.walk.warn(path, f"is an interrupted download of {stat.st_size} bytes: left out")
        self.wanted = {name for name, _ in files} | links.keys()
        return files, list(links)

    def _read_refs(self) -> None:
        for folder in self._part("refs"):
            for name in set(folder.names).difference(folder.folders, folder.links):
                path = os.path.join(folder.path, name)
                text = self.walk.read_text(path, 256)
                if text is None:
                    continue
                commit = text.strip()
                if COMMIT.fullmatch(commit):
                    is_main = path == os.path.join(self.path, "refs", "main")
                    self.ranks[commit] = min(self.ranks.get(commit, 1), 0 if is_main else 1)
                    self.walk.note_commit(commit, self.repo_id, self.repo_type)
                else:
                    self.walk.warn(path, "is a ref that names no commit: left out")

    def _read_snapshots(self) -> Iterator[Replica]:
        snapshots = os.path.join(self.path, "snapshots")
        broken: dict[str, list[str]] = {}
        for folder in self._part("snapshots"):
            if folder.path == snapshots:
                continue
            commit, _, below = folder.path[len(snapshots) + 1 :].partition("/")
            if not below and COMMIT.fullmatch(commit):
                self.walk.note_commit(commit, self.repo_id, self.repo_type)
            for name in folder.links:
                if not self._link(folder.path, name, commit):
                    broken.setdefault(commit, []).append(os.path.join(folder.path, name))
            for name, stat in folder.files:
                if not name.endswith(_INCOMPLETE):
                    yield self._plain_file(
                        os.path.join(folder.path, name), stat, commit, f"{below}/{name}".lstrip("/")
                    )
        for paths in broken.values():
            more = f", like {len(paths) - 1} more of this snapshot" if len(paths) > 1 else ""
            self.walk.warn(min(paths), f"leads nowhere: its blob is missing{more}")

    def _link(self, folder: str, name: str, commit: str) -> bool:
        """Note which blob a snapshot link uses; whether it leads anywhere."""
        path = os.path.join(folder, name)
        text = self.walk.readlink(path)
        if text is None:
            return True
        target = os.path.normpath(os.path.join(folder, text))
        blobs, etag = os.path.split(target)
        if blobs == os.path.join(self.path, "blobs"):
            if self.top == self.path and etag not in self.blobs:
                return False
            if etag in self.wanted and self._rank(commit) < self._rank(self.uses.get(etag)):
                self.uses[etag] = commit
            return True
        if self.leaving == 0:
            self.walk.warn(path, "leaves its repository: `hf cache rm` would delete what it points to")
        self.leaving += 1
        return not self.walk.dangles(path)

    def _rank(self, commit: str | None) -> tuple[int, str]:
        return (3, "") if commit is None else (self.ranks.get(commit, 2), commit)

    def _tree(self, commit: str | None) -> tuple[dict[str, TreeFile], dict[str, TreeFile]]:
        if commit is None or self.top != self.path or not COMMIT.fullmatch(commit):
            return {}, {}
        if commit not in self.trees:
            files = read_tree(self.walk, os.path.join(self.path, "trees", f"{commit}.json"))
            self.trees[commit] = files, {file.etag: file for file in files.values()}
        return self.trees[commit]

    def _blob(self, name: str, stat: os.stat_result) -> Replica:
        path = os.path.join(self.path, "blobs", name)
        revision = self.uses.get(name)
        claims = claims_of_etag(name)
        known = self._tree(revision)[1].get(name)
        if known is not None:
            if known.size == stat.st_size:
                claims.update(known.claims)
            else:
                self.walk.warn(
                    path, f"has {stat.st_size} bytes, its repository says {known.size}: it is damaged"
                )
        return Replica(path, stat, claims, self.repo_id, self.repo_type, _commit_or_none(revision))

    def _plain_file(self, path: str, stat: os.stat_result, commit: str, name: str) -> Replica:
        """A file in the place of a snapshot's symlink: symlinks were off, or somebody put it there."""
        known = self._tree(commit)[0].get(name)
        claims = dict(known.claims) if known is not None and known.size == stat.st_size else {}
        revision = _commit_or_none(commit)
        return Replica(path, stat, claims, self.repo_id, self.repo_type, revision, links=_NO_SYMLINK)

    def _blob_link(self, name: str, shared: _Shared) -> None:
        """A blob that is a symlink is a view: of the shared store, or of a vault on another drive."""
        path = os.path.join(self.path, "blobs", name)
        text = self.walk.readlink(path)
        if text is None:
            return
        target = os.path.normpath(os.path.join(os.path.dirname(path), text))
        folder, payload = os.path.split(target)
        if os.path.dirname(folder) == os.path.join(os.path.dirname(self.path), "blobs") and _XET.fullmatch(
            payload
        ):
            revision = _commit_or_none(self.uses.get(name))
            shared.setdefault(payload, []).append(_Reference(name, self.repo_id, self.repo_type, revision))
        if self.walk.dangles(path):
            self.walk.warn(path, "is a blob that leads nowhere (is its drive there?)")


def _commit_or_none(revision: str | None) -> str | None:
    return revision if revision is not None and COMMIT.fullmatch(revision) else None
