"""`docker-model`: the models of Docker Model Runner.

Layout, as ``pkg/distribution/internal/{store,bundle}`` of docker/model-runner write it (store version 1.0.0)::

    <store>/layout.json  models.json      see `hubfold_plugins/docker_model/index`
      manifests/sha256/<hex>              the manifest of a model, whose id that is
      blobs/<sha256|sha512>/<hex>         a payload by its digest, checked before it gets this name; *.incomplete
      bundles/sha256/<hex>/config.json    what is made of a model for its runtime, anew whenever it is not whole
                           model/<file>   a hard link of a blob (``os.Link``), or a file out of an archive

Docker Desktop has it at ``~/.docker/models``, a container where MODELS_PATH says.

What may be done to it follows from what the program does. A bundle is made by ``os.Link``, which would make a second
name of a symlink; a virtual machine or a container sees the store alone, so a symlink would lead out of it. So there
are hard links and shared extents only, of all names of a payload at once, and no vault. ``.incomplete`` is appended to,
and goes after seven days; blobs are never written again. It takes no locks. What a model is stands in one file for all
models, which hubfold does not write: ``docker model rm`` removes them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root, Snapshot
from hubfold_plugins.docker_model.layout import INCOMPLETE, INDEX, LAYOUT, NAME, is_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover


class DockerModelBackend(StorageBackend):
    """The blobs, and their names in the bundles."""

    name = NAME
    capabilities = Capabilities(
        cache=True,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset(),
        claims=frozenset({"sha256"}),
    )
    marks = frozenset({INDEX})
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return path if INDEX in names and LAYOUT in names else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """What the variable of its container names, and that of Docker Desktop."""
        if environ.get("MODELS_PATH"):
            yield peek.absolute(environ["MODELS_PATH"])
        if environ.get("HOME"):
            yield peek.absolute(os.path.join(environ["HOME"], ".docker", "models"))

    def replica(self, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        part, *below = os.path.relpath(os.path.join(folder.path, name), root.path).split("/")
        path = os.path.join(folder.path, name)
        if part == "blobs" and len(below) == 2 and is_digest(*below):
            return Replica(path, stat, {"sha256": name.lower()} if below[0] == "sha256" else {})
        # <algorithm>/<hex>/model/<file>
        if part == "bundles" and len(below) > 3 and is_digest(*below[:2]) and below[2] == "model":
            return Replica(path, stat)
        return None

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for folder in walk.folders(root.path):
            if folder.path == root.path:
                folder.folders[:] = [name for name in folder.folders if name in ("blobs", "bundles")]
            for name in sorted(folder.names):
                if name.endswith(INCOMPLETE) and f"{root.path}/blobs/" in folder.path + "/":
                    path = os.path.join(folder.path, name)
                    walk.warn(path, "is an interrupted download: left out", kind="interrupted")
            for name, stat in folder.files:
                replica = self.replica(root, folder, name, stat)
                if replica is not None:
                    yield replica

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        from hubfold_plugins.docker_model.index import Store

        return Store.read(root.path, walk).snapshots()

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        """``[host/]path:tag``, without the name of Docker Hub; without a tag it is ``latest``."""
        if ":" not in text and not (text.count("/") >= 2 and "." in text.partition("/")[0]):
            return None
        from hubfold_plugins.docker_model.index import shown

        name = shown(text)
        return None if name is None else ("model", name, None)

    def vault_places(self, root: Root) -> Sequence[str]:
        """None: a container or a virtual machine sees the store alone."""
        return ()

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins.docker_model.index import Store

        return Store.read(root.path, walk).leftovers()

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        from hubfold_plugins.docker_model.index import Store

        return Store.read(root.path, walk).needed(paths)
