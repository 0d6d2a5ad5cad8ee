"""What the backends of stores with plain files have in common: a subclass says which files are a model.

Imported at start-up with them: what makes use of the models is imported when it is asked for (`flat`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from hubfold.backend.contract import StorageBackend, Walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hubfold.backend.changes import ModelPart, PartPlace, Removal
    from hubfold.content import Root, Snapshot
    from hubfold_plugins.flat import FlatModel


class FlatStore(StorageBackend):
    """A store of `flat.FlatModel`. Each is there in one revision, and nothing but itself needs its files."""

    @abstractmethod
    def models(self, root: Root, walk: Walk) -> Iterator[FlatModel]:
        """The models of the root."""

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        for model in self.models(root, walk):
            yield model.snapshot(walk)

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        if not revisions:
            for model in self.models(root, walk):
                if (model.repo_type, model.repo_id) == (repo_type, repo_id):
                    yield model.removal(root.path, self.name, walk)

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        for model in self.models(root, walk):
            yield model.removal(root.path, self.name, walk)

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        return ()

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        models = walk.once("models", lambda: list(self.models(root, walk)))
        for model in models:
            if (model.path, model.repo_id) == (snapshot.path, snapshot.repo_id):
                yield from model.parts(root.path)

    def place(self, name: str) -> PartPlace | None:
        from hubfold_plugins.flat import place_of

        return place_of(name)
