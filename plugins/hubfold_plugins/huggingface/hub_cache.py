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
        trees/<commit>.json       see `hubfold_plugins/huggingface/hub_metadata`
        .no_exist/<commit>/<path>

A client goes through a symlink in the place of a repository, of its ``blobs/`` or its ``snapshots/``: people move these
to a larger drive and leave a link (`reached`). Relative links of a snapshot lead where the system takes them, from the
place where ``snapshots/`` really is.

What may be done to it follows from what its clients do. They unlink the first hop of a snapshot link, up to
1.31 even what it resolves to, so nothing in ``snapshots/`` may become a link to elsewhere, and between blobs
of one file system only hard links and reflinks are safe. The shared store is swept by clients that know
nothing of links from outside: its payloads stay where they are. Where an ``hf download`` could be writing,
its lock is told.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root, Snapshot
from hubfold_plugins.huggingface.claims import claims_of_etag
from hubfold_plugins.huggingface.hub_linked import linked_parts
from hubfold_plugins.huggingface.hub_metadata import XET_HASH
from hubfold_plugins.huggingface.hub_repository import INCOMPLETE, Repository, Shared

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Gap, Leftover, ModelPart, Offer, PartPlace, Removal
    from hubfold_plugins.huggingface.hub_upkeep import Upkeep

STORE_MARKER = ".huggingface-shared-blobs"

_PREFIXES = ("models--", "datasets--", "spaces--", "kernels--")
_REPOSITORY = re.compile(r"(model|dataset|space|kernel)s--(.+)", re.DOTALL)
_PARTS = frozenset({"blobs", "refs", "snapshots"})
_TWO_HEX = re.compile(r"[0-9a-f]{2}")
#: What an HF_HOME holds beside hub/: no part of a cache, and no model files.
_OF_HF_HOME = frozenset({"assets", "accelerate", "datasets", "evaluate", "metrics", "modules", "xet"})
#: All that a folder holds which can only be an HF_HOME: also tokens, and hubfold's vault.
_BESIDE_HUB = _OF_HF_HOME | {
    "hub",
    "hubfold",
    "token",
    "stored_tokens",
    "CACHEDIR.TAG",
    ".check_for_update_done",
}
#: Variables by which other programs are told of a cache of this layout, and folders of HF_HOME that were some.
_OF_OTHERS = (
    "TRANSFORMERS_CACHE",
    "PYTORCH_TRANSFORMERS_CACHE",
    "PYTORCH_PRETRAINED_BERT_CACHE",
    "DIFFUSERS_CACHE",
    "SENTENCE_TRANSFORMERS_HOME",
    # Since March 2026: llama.cpp's ``common/hf-cache.cpp`` keeps a hub cache there, and renames blobs into snapshots/.
    "LLAMA_CACHE",
)
_LEFT_BEHIND = ("transformers", "diffusers")
_OF_A_CACHE = frozenset({".locks", "CACHEDIR.TAG", "version.txt", "blobs"})


class HubCacheBackend(StorageBackend):
    """The blobs of every repository and the payloads of the shared store; snapshots are views of them."""

    name = "hub-cache"
    capabilities = Capabilities(
        cache=True,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset({LinkKind.SYMLINK}),
        private_objects=True,
        # ``_hf_hub_download_to_local_dir``, all releases to 2.4.0: a copy whose notes are not believed is hashed where
        # its etag is a sha256; any other is overwritten by `shutil.copyfile` of the blob.
        copies_over=frozenset({"git-sha1"}),
        claims=frozenset({"sha256", "git-sha1", "xet"}),
        # ``HF_XET_CACHE`` of huggingface_hub/constants.py: chunks that came once, up to 10 GB where that is wanted.
        beside=(
            "$HF_XET_CACHE",
            "$HF_HOME/xet",
            "$XDG_CACHE_HOME/huggingface/xet",
            "~/.cache/huggingface/xet",
        ),
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
            found = peek.names_in(below)
            if _is_cache(below, found):
                return below
            # An HF_HOME that nothing was downloaded into yet.
            if _BESIDE_HUB.issuperset(names) and peek.is_folder(below) and _OF_A_CACHE.issuperset(found):
                return below
        return None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """The client's own cache first, then what it would be if each variable in turn were not set.

        Last the places of other and earlier programs (transformers before 5, diffusers before 0.14,
        sentence-transformers, llama.cpp), and HF_HOME itself, which is taken for a cache by who gives it as one
        (``cache_dir``): those of them that hold repositories.
        """
        home = _expanded("~", environ)
        caches = [environ.get("HF_HUB_CACHE"), environ.get("HUGGINGFACE_HUB_CACHE")]
        homes = [environ.get("HF_HOME")]
        if environ.get("XDG_CACHE_HOME"):
            homes.append(os.path.join(environ["XDG_CACHE_HOME"], "huggingface"))
        homes.append(os.path.join(home, ".cache", "huggingface"))
        caches += [os.path.join(_expanded(place, environ), "hub") for place in homes if place]
        others = [environ.get(variable) for variable in _OF_OTHERS]
        for home in (_expanded(place, environ) for place in homes if place):
            others += [home, *(os.path.join(home, name) for name in _LEFT_BEHIND)]
        places = [peek.absolute(_expanded(place, environ)) for place in others if place]
        return list(
            dict.fromkeys(
                [
                    *(peek.absolute(_expanded(place, environ)) for place in caches if place),
                    *(place for place in places if _is_cache(place, peek.names_in(place))),
                ]
            )
        )

    @classmethod
    def home_root(cls, home: str) -> str:
        return os.path.join(home, "hub")

    def reached(self, root: Root) -> Iterator[str]:
        """Links in the place of a repository, its ``blobs/`` or ``snapshots/``, to what is one by its names."""
        repository = _repository_of(root.path)
        if repository == root.path:
            yield from linked_parts(repository)
        elif _is_whole(root):
            for cache in (root.path, os.path.join(root.path, "hub")):
                for name in peek.names_in(cache):
                    if _REPOSITORY.fullmatch(name):
                        yield from linked_parts(os.path.join(cache, name))

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        if root.link:
            yield from Repository.behind(root, walk).replicas({})
            return
        repository = _repository_of(root.path)
        if repository is not None:
            yield from Repository(repository, root.path, walk).replicas({})
            return
        if _store_of(root.path) is not None:
            yield from _store_replicas(root.path, walk, {})
            return
        for cache in _caches(root.path, walk):
            shared: Shared = {}
            for name in cache.repositories:
                path = os.path.join(cache.path, name)
                yield from Repository(path, path, walk).replicas(shared)
            if cache.has_store:
                yield from _store_replicas(os.path.join(cache.path, "blobs"), walk, shared)

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        repository = _repository_of(root.path)
        if root.link:
            return  # told by the root that has the link
        if repository == root.path:
            yield from Repository(repository, repository, walk).snapshots()
        elif repository is None and _store_of(root.path) is None:
            for cache in _caches(root.path, walk):
                for name in (*cache.repositories, *cache.linked):
                    path = os.path.join(cache.path, name)
                    yield from Repository(path, path, walk).snapshots()

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        folder, name = os.path.split(path)
        repository = _repository_of(path)
        if repository is not None and folder == os.path.join(repository, "blobs"):
            cache, repository_name = os.path.split(repository)
            # `<etag>.<anything>.incomplete` is downloaded under the lock of its etag.
            etag = name.partition(".")[0]
            return (os.path.join(cache, ".locks", repository_name, f"{etag}.lock"),)
        if (
            XET_HASH.fullmatch(name)
            and os.path.basename(folder) == name[:2]
            and _store_of(folder) is not None
        ):
            return (f"{path}.lock",)
        if "/.locks/" in path and name.endswith(".lock"):
            return (path,)
        return ()

    def vault_places(self, root: Root) -> Sequence[str]:
        if root.link:
            # That of the cache, if it is on the same file system.
            cache = os.path.dirname(_repository_of(root.link) or root.link)
            places = [os.path.join(os.path.dirname(cache), "hubfold"), os.path.join(cache, ".hubfold")]
            return (*places, os.path.join(os.path.dirname(root.path), ".hubfold"))
        part = _repository_of(root.path) or _store_of(root.path)
        cache = os.path.dirname(part) if part is not None else root.path
        return (os.path.join(os.path.dirname(cache), "hubfold"), os.path.join(cache, ".hubfold"))

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        for upkeep in _upkeeps(root, walk, "--".join([f"{repo_type}s", *repo_id.split("/")])):
            removal = upkeep.removal(revisions)
            if removal is not None:
                yield removal

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        for upkeep in _upkeeps(root, walk):
            removal = upkeep.removal(None)
            if removal is not None:
                yield removal

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        caches = [root.path] if _is_whole(root) and not root.link else []
        for upkeep in _upkeeps(root, walk):
            if upkeep.cache:
                caches.append(upkeep.cache)
            yield from upkeep.leftovers()
        for cache in dict.fromkeys(caches):
            yield from _orphans(root.path, cache, walk)
            yield from _locks(root.path, cache, walk)

    def gaps(self, root: Root, walk: Walk) -> Iterator[Gap]:
        for upkeep in _upkeeps(root, walk):
            yield from upkeep.gaps()

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        from hubfold_plugins.huggingface.hub_upkeep import Upkeep, users_of

        needed: set[str] = set()
        for repository in {_repository_of(path) for path in paths}:
            if repository is not None:
                needed |= Upkeep(root.path, repository, walk).needed(paths)
        for path in paths:
            store = _store_of(os.path.dirname(path))
            if store is not None and users_of(path, os.path.dirname(store), walk) != set():
                needed.add(path)
        return needed

    def content_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        etag = digests.get("sha256") or digests.get("git-sha1")
        if etag is None or root.link or not _is_whole(root):
            return None
        name = "--".join([f"{repo_type}s", *repo_id.split("/")])
        return os.path.join(root.path, name, "blobs", etag) if _REPOSITORY.fullmatch(name) else None

    def partial_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        """The name to which clients appended before they gave each attempt one of its own (see `etag_of_partial`)."""
        content = self.content_path(root, repo_type, repo_id, digests)
        return f"{content}{INCOMPLETE}" if content is not None else None

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        from hubfold_plugins.huggingface.hub_upkeep import Upkeep

        repository = _repository_of(snapshot.path)
        if repository is not None:
            upkeep = Upkeep(root.path, repository, walk, snapshot.repo_id, snapshot.repo_type)
            yield from upkeep.parts(snapshot.revision, snapshot.refs)

    def arranged(self, offer: Offer, refs: Collection[str]) -> Iterator[ModelPart]:
        from hubfold_plugins.huggingface.hub_arranged import arranged

        return arranged(offer, refs)

    def place(self, name: str) -> PartPlace | None:
        from hubfold_plugins.huggingface.hub_upkeep import place_of

        return place_of(name)


# changing: what only this needs is imported by it, since every scan imports this module


def _is_whole(root: Root) -> bool:
    """Whether the root is a cache, and not a part of one."""
    return _repository_of(root.path) is None and _store_of(root.path) is None


def _upkeeps(root: Root, walk: Walk, only: str = "") -> Iterator[Upkeep]:
    """One for each repository of the root, and of the caches that lie in it by mistake; `only` for those called so."""
    repository = _repository_of(root.path)
    if root.link:
        return
    if repository == root.path:
        if only in ("", os.path.basename(repository)):
            yield _upkeep(root, repository, "", walk)
    elif _is_whole(root):
        for cache in _caches(root.path, walk):
            for name in (*cache.repositories, *cache.linked):
                if only in ("", name) and _REPOSITORY.fullmatch(name):
                    yield _upkeep(root, os.path.join(cache.path, name), cache.path, walk)


def _upkeep(root: Root, path: str, cache: str, walk: Walk) -> Upkeep:
    from hubfold_plugins.huggingface.hub_upkeep import Upkeep

    known = Repository(path, path, walk)
    return Upkeep(root.path, path, walk, known.repo_id, known.repo_type, cache=cache)


def _orphans(root: str, cache: str, walk: Walk) -> Iterator[Leftover]:
    """Payloads of the shared store that no repository uses, by the store's own rule (`hub_upkeep`)."""
    from hubfold.backend.changes import Leftover, LeftoverKind, Removal, SharedPayload
    from hubfold_plugins.huggingface.hub_upkeep import users_of

    store = os.path.join(cache, "blobs")
    if walk.read_text(os.path.join(store, STORE_MARKER), 16) != "1\n":
        return
    for folder in walk.folders(store):
        prefix = os.path.basename(folder.path)
        for name, st in folder.files:
            path = os.path.join(folder.path, name)
            if XET_HASH.fullmatch(name) and name[:2] == prefix and users_of(path, cache, walk) == set():
                payloads = (SharedPayload(path, f"{path}.refs"),)
                # A client publishes a payload right before it links it.
                touched = max(st.st_mtime_ns, st.st_ctime_ns)
                yield Leftover(
                    LeftoverKind.UNUSED, path, Removal(root, "hub-cache", "", "", payloads=payloads), touched
                )


def _locks(root: str, cache: str, walk: Walk) -> Iterator[Leftover]:
    from hubfold.backend.changes import Leftover, LeftoverKind, Removal

    top = os.path.join(cache, ".locks")
    for folder in walk.folders(top):
        for name, st in folder.files:
            if name.endswith(".lock"):
                path = os.path.join(folder.path, name)
                empty = (folder.path,) if folder.path != top else ()
                removal = Removal(root, "hub-cache", "", "", content=(path,), empty=empty)
                yield Leftover(LeftoverKind.LOCK, path, removal, st.st_mtime_ns)


# where things are


def _is_cache(path: str, names: Collection[str]) -> bool:
    for name in names:
        if name.startswith(_PREFIXES) and any(
            peek.is_folder(os.path.join(path, name, part)) for part in _PARTS
        ):
            return True
    # A cache that was emptied: nothing in it but what a client leaves behind.
    return ".locks" in names and _OF_A_CACHE.issuperset(names)


def _is_store(path: str, names: Collection[str]) -> bool:
    return STORE_MARKER in names or _store_of(path) is not None


def _store_of(path: str) -> str | None:
    """The shared store that `path` is, or is a folder of."""
    for place in (path, os.path.dirname(path) if _TWO_HEX.fullmatch(os.path.basename(path)) else None):
        if place and os.path.basename(place) == "blobs" and peek.exists(os.path.join(place, STORE_MARKER)):
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


class _Cache(NamedTuple):
    """One folder with repositories, and whether it has a shared store beside them."""

    path: str
    repositories: list[str]
    #: Repositories that lie elsewhere, behind a link of this name.
    linked: list[str]
    has_store: bool


def _caches(top: str, walk: Walk) -> Iterator[_Cache]:
    """The cache `top`, and those that lie in it by mistake (``hub/hub``)."""
    found: set[str] = set()
    for folder in walk.folders(top):
        if folder.path in found:
            continue
        if folder.path == top or _is_cache(folder.path, folder.names):
            if found:
                walk.warn(
                    folder.path,
                    f"is a cache inside the cache {top}: a program was given one with `hub` and another without",
                    kind="misplaced",
                )
            found.add(folder.path)
            yield _cache(folder, walk)
        elif os.path.dirname(folder.path) in found:
            walk.warn(folder.path, "is no part of a hub cache: left out, scan it by its own path to fold it")


def _cache(folder: Folder, walk: Walk) -> _Cache:
    repositories = sorted(name for name in folder.folders if name.startswith(_PREFIXES))
    marker = os.path.join(folder.path, "blobs", STORE_MARKER)
    has_store = "blobs" in folder.folders and walk.read_text(marker, 16) == "1\n"
    # What is read by its own rules is not walked into.
    apart = {*repositories, ".locks", *_OF_HF_HOME, *(["blobs"] if has_store else [])}
    folder.folders[:] = [name for name in folder.folders if name not in apart]
    linked = []
    for name in sorted(name for name in folder.links if name.startswith(_PREFIXES)):
        path = os.path.join(folder.path, name)
        if walk.leads_to(path) is not None:
            linked.append(name)
        elif walk.dangles(path):
            walk.warn(path, "is a repository that leads nowhere (is its drive there?)", kind="dangling")
    return _Cache(folder.path, repositories, linked, has_store)


def _store_replicas(top: str, walk: Walk, shared: Shared) -> Iterator[Replica]:
    """The payloads of the shared store, each once however many repositories use it."""
    for folder in walk.folders(top):
        prefix = os.path.basename(folder.path)
        for name, stat in folder.files:
            if not XET_HASH.fullmatch(name) or name[:2] != prefix:
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
