"""`ramalama`: the store of RamaLama.

Layout, as RamaLama 0.25 writes it (``model_store/store.py``)::

    <store>/<transport>/<organisation>/<model>[/<file>]/
      blobs/sha256-<64 hex>           a payload; *.partial
      refs/<tag>.json                 see `hubfold_plugins/ramalama/refs`
      snapshots/<hash>/<path>         a hard link of a blob, else a symlink to it, else a copy

``<store>`` is ``~/.local/share/ramalama/store`` (XDG_DATA_HOME), of root ``/var/lib/ramalama/store``, or ``store`` in
the folder that ``--store`` names.

**The name of a blob says what it is of some only**: of further parts of a split model, of what git has itself and of
what came from an address it is the sha256 of the file's *name*. So a claim is made where a ref says that it is a model
that the program compared with its digest, and nowhere else.

The two names of a payload are one file, and the program makes a hard link of whatever its blob is: so there are hard
links and shared extents only, of both at once. It writes templates that it takes out of a model over the old ones:
those stay as they are. It takes no locks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root, Snapshot
from hubfold_plugins.ramalama.layout import BLOB, NAME, PARTIAL, TRANSPORTS, is_model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, ModelPart, PartPlace, Removal

#: Folders between a store and a model's: the transport's, the organisation's, the repository's, the file's.
_DEEPEST = 6


class RamaLamaBackend(StorageBackend):
    """The blobs of every model, and their names in its snapshots."""

    name = NAME
    capabilities = Capabilities(
        cache=True,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset(),
        claims=frozenset({"sha256"}),
    )
    marks = TRANSPORTS
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        if os.path.basename(path) != "store" or TRANSPORTS.isdisjoint(names):
            return None
        if path.endswith("/ramalama/store"):
            return path
        transports = (os.path.join(path, name) for name in TRANSPORTS.intersection(names))
        return path if any(_holds_a_model(one, _DEEPEST) for one in transports) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        home = environ.get("HOME")
        if environ.get("XDG_DATA_HOME"):
            yield peek.absolute(os.path.join(environ["XDG_DATA_HOME"], "ramalama", "store"))
        if home:
            yield peek.absolute(os.path.join(home, ".local", "share", "ramalama", "store"))
        if peek.is_folder("/var/lib/ramalama/store"):
            yield "/var/lib/ramalama/store"

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins.ramalama.refs import models

        for model in models(root.path, walk):
            rewritten = model.rewritten()
            for path, stat in model.files:
                folder, name = os.path.split(path)
                if name.endswith(PARTIAL):
                    walk.warn(path, "is an interrupted download: left out", kind="interrupted")
                elif path not in rewritten:
                    blob = BLOB.fullmatch(name) if folder == model.blobs else None
                    claims = {"sha256": blob[1]} if blob is not None and name in model.checked else {}
                    yield Replica(path, stat, claims, repo_id=model.name_of(path) or None, repo_type="model")

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        from hubfold_plugins.ramalama.refs import models

        for model in models(root.path, walk):
            yield from model.snapshots()

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        """``transport://path:tag``; without a tag it is ``latest``."""
        from hubfold_plugins.ramalama.refs import named

        name = named(text) if "://" in text else None
        return None if name is None else ("model", name, None)

    def vault_places(self, root: Root) -> Sequence[str]:
        """None: containers see the files of one model alone."""
        return ()

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        if repo_type == "model" and repo_id:
            for removal in self.all_removals(root, walk):
                if removal.repo_id == repo_id and (revisions is None or {*removal.revisions} & {*revisions}):
                    yield removal

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        from hubfold_plugins.ramalama.refs import models

        for model in models(root.path, walk):
            yield from model.removals()

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins.ramalama.refs import models

        for model in models(root.path, walk):
            yield from model.leftovers()

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        from hubfold_plugins.ramalama.refs import models

        found = list(models(root.path, walk))
        return [path for path in paths if not any(one.has(path) and not one.needs(path) for one in found)]

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        from hubfold_plugins.ramalama.refs import models

        for model in walk.once("models", lambda: list(models(root.path, walk))):
            if model.path == snapshot.home:
                yield from model.parts(snapshot)

    def place(self, name: str) -> PartPlace | None:
        from hubfold_plugins.ramalama.refs import place_of

        return place_of(name)


def _holds_a_model(path: str, depth: int) -> bool:
    """Whether the first model below `path`, by the order of names, is RamaLama's: its refs are JSON."""
    while depth:
        names = peek.names_in(path)
        if is_model(names):
            return any(ref.endswith(".json") for ref in peek.names_in(os.path.join(path, "refs")))
        if not names:
            return False
        path, depth = os.path.join(path, min(names)), depth - 1
    return False
