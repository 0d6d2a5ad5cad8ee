"""`ollama`: the models of Ollama.

Layout, as Ollama 0.1.33 to 0.17.4 write it (``manifest/paths.go``, ``types/model/name.go``)::

    <store>/                              OLLAMA_MODELS, else ~/.ollama/models; a service has it in its own home
      blobs/sha256-<64 hex>               a payload by the sha256 of its bytes, which Ollama checked
            sha256-<hex>-partial          a download that goes on, or was interrupted; -partial-<n> tell how far it came
      manifests/<host>/<namespace>/<model>/<tag>     see `hubfold_plugins/ollama/manifests`

What may be done to it follows from what the program does:

* A blob is read, and found by a pull, through a hard link and through a symlink. ``ollama rm`` unlinks the name alone.
* ``ollama create`` of some releases sets the times of a blob, and fails where that is another user's file: what is
  linked with a blob has its owner.
* A service has a home of its own, and no way into that of a user: a blob becomes a symlink only where its content is on
  another file system.
* When the server starts it removes what is in ``blobs/`` by any other name, and the blobs that no manifest names (of
  releases up to 0.17.4 at once, of later ones after an hour), unless a manifest is damaged. hubfold's temporary names
  lie there for an instant, and none is ever the only name of a content: what they were made from is there, compared
  and on the disk, before the first of them is made.
* It takes no locks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root, Snapshot
from hubfold_plugins.ollama.layout import BLOB, BLOBS, MANIFESTS, NAME, PARTIAL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Gap, Leftover, ModelPart, PartPlace, Removal, ShownFile

#: Where the package of Linux has the home of its service (scripts/install.sh).
_SERVICE = "/usr/share/ollama/.ollama/models"
#: What other stores have beside their blobs and manifests.
_NOT_OLLAMAS = frozenset({"layout.json", "oci-layout", "index.json", "models.json", "refs", "snapshots"})


class OllamaBackend(StorageBackend):
    """The blobs; what the manifests name them for is what `snapshots` shows."""

    name = NAME
    capabilities = Capabilities(
        cache=True,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset({LinkKind.SYMLINK}),
        claims=frozenset({"sha256"}),
        same_owner=True,
    )
    marks = frozenset({MANIFESTS})
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        if BLOBS not in names or MANIFESTS not in names or not _NOT_OLLAMAS.isdisjoint(names):
            return None
        found = peek.names_in(os.path.join(path, BLOBS))
        return path if not found or any(name.startswith("sha256-") for name in found) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """What the user's variable says, what it would be without that, and the store of the machine's service."""
        # As ``Var`` of envconfig/config.go reads it.
        named = environ.get("OLLAMA_MODELS", "").strip().strip("\"'")
        if named:
            yield peek.absolute(named)
        if environ.get("HOME"):
            yield peek.absolute(os.path.join(environ["HOME"], ".ollama", "models"))
        if peek.is_folder(_SERVICE):
            yield _SERVICE

    def reached(self, root: Root) -> Iterable[str]:
        """``blobs/`` where it is a link to a folder of blobs: people have these on a larger drive."""
        blobs = os.path.join(root.path, BLOBS)
        if not root.link and peek.link_text(blobs) is not None:
            found = peek.names_in(blobs)
            if found and all(name.startswith((".", "sha256-")) for name in found):
                yield blobs

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        blobs = root.path if root.link else os.path.join(root.path, BLOBS)
        used: Mapping[str, str] | None = None
        for folder in walk.folders(blobs):
            folder.folders.clear()
            self._tell_of(folder, walk)
            for name, stat in folder.files:
                digest = BLOB.fullmatch(name)
                if digest is not None:
                    used = _uses(root, walk) if used is None else used
                    sha256 = digest[1].lower()
                    model = used.get(sha256)
                    yield Replica(
                        os.path.join(blobs, name),
                        stat,
                        {"sha256": sha256},
                        repo_id=model,
                        repo_type="model" if model is not None else None,
                    )

    def _tell_of(self, folder: Folder, walk: Walk) -> None:
        for name in sorted(folder.names):
            partial = PARTIAL.fullmatch(name)
            if partial is not None and not partial[2]:
                path = os.path.join(folder.path, name)
                walk.warn(path, "is an interrupted download: left out", kind="interrupted")
        for name in sorted(folder.links):
            path = os.path.join(folder.path, name)
            if BLOB.fullmatch(name) and walk.dangles(path):
                walk.warn(path, "is a blob that leads nowhere (is its drive there?)", kind="dangling")

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        from hubfold_plugins.ollama.manifests import Store

        return iter(()) if root.link else Store.read(root.path, walk).snapshots()

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        """``model:tag``, ``namespace/model:tag``, and what begins with a registry; without a tag it is ``latest``."""
        if ":" not in text and not (text.count("/") == 2 and "." in text.partition("/")[0]):
            return None
        from hubfold_plugins.ollama.names import parse

        name = parse(text)
        return None if name is None else ("model", name.shown, None)

    def vault_places(self, root: Root) -> Sequence[str]:
        """None: what needs content of this store outside of it gets a name of its own."""
        return ()

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        if repo_type == "model" and repo_id and not root.link:
            from hubfold_plugins.ollama.manifests import Store

            for removal in Store.read(root.path, walk).removals():
                if removal.repo_id == repo_id and (revisions is None or {*removal.revisions} & {*revisions}):
                    yield removal

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        from hubfold_plugins.ollama.manifests import Store

        return iter(()) if root.link else Store.read(root.path, walk).removals()

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins.ollama.manifests import Store

        return iter(()) if root.link else Store.read(root.path, walk).leftovers()

    def gaps(self, root: Root, walk: Walk) -> Iterator[Gap]:
        """Blobs that lead nowhere."""
        from hubfold.backend.changes import Gap

        for folder in () if root.link else walk.folders(os.path.join(root.path, BLOBS)):
            folder.folders.clear()
            for name in sorted(folder.links):
                digest = BLOB.fullmatch(name)
                path = os.path.join(folder.path, name)
                if digest is not None and walk.dangles(path):
                    yield Gap(path, {"sha256": digest[1].lower()})

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        from hubfold_plugins.ollama.manifests import Store

        # What lies behind a link is asked about by the store that has the link.
        return paths if root.link else Store.read(root.path, walk).needed(paths)

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        from hubfold_plugins.ollama.manifests import Store

        return walk.once("store", lambda: Store.read(root.path, walk)).parts(snapshot)

    def place(self, name: str) -> PartPlace | None:
        from hubfold_plugins.ollama.manifests import place_of

        return place_of(name)

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        from hubfold_plugins.ollama import given

        return given.shown(snapshot)


def _uses(root: Root, walk: Walk) -> Mapping[str, str]:
    """By the sha256 of a blob, the first model that it is a part of; nothing behind a link."""
    if root.link:
        return {}
    from hubfold_plugins.ollama.manifests import Store

    return Store.read(root.path, walk).uses()
