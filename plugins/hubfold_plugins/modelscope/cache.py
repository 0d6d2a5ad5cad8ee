"""`modelscope`: the cache of the clients of modelscope.cn.

Layouts; ``<cache>`` is ``MODELSCOPE_CACHE``, else ``~/.cache/modelscope``. Since 1.38
(``modelscope_hub/_download.py``)::

    <cache>/models/<owner>--<name>/snapshots/<revision>/<file>     plain files: each revision is a whole copy
    <cache>/datasets/…                                             the same
    <cache>/.lock/file_<sha256 of what is downloaded>.lock         see `lock_paths`

Up to 1.37 (``modelscope/hub/snapshot_download.py``), in ``<cache>/hub`` where the variable is not set; later clients go
on with what is there::

    <cache>[/hub]/models/<owner>/<name>/<file>                     ``.`` in the names is ``___``
      .msc .mdl .mv                                                pickles, and "Revision:master,CreatedAt:…"
    <cache>[/hub]/models/<owner>/<name with dots>                  a symlink to it
    <cache>[/hub]/<owner>/<name>                                   before 2023, and with ``cache_dir=``
    <cache>[/hub]/.lock/<owner>___<name>

No digest is written down: nothing is believed unread. The later clients hash what is there at each download, keep a
link whose bytes fit, and replace any other; nothing is written in place. The pickles are somebody's: they are files
that go with the model, and nothing reads them here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Root, Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, ModelPart, PartPlace, Removal

_SEGMENTS = ("models", "datasets")
#: So many folders are looked into to tell whether one is a cache.
_FEW = 8


class ModelScopeBackend(StorageBackend):
    """The files of each revision, which are one file where they are the same."""

    name = "modelscope"
    capabilities = Capabilities(
        used_by="ModelScope's client", links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK})
    )
    marks = frozenset({"models", "datasets", "hub", ".lock"})
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        if path.endswith("/.cache/modelscope") and not cls.marks.isdisjoint(names):
            return path
        places = [os.path.join(path, name) for name in _SEGMENTS if name in names]
        if "hub" in names:
            places += [os.path.join(path, "hub", name) for name in ("", *_SEGMENTS)]
        return path if any(map(_holds_repositories, places)) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        home = environ.get("HOME") or os.path.expanduser("~")
        given = environ.get("MODELSCOPE_CACHE")
        if given:
            yield peek.absolute(home + given[1:] if given == "~" or given.startswith("~/") else given)
        yield peek.absolute(os.path.join(home, ".cache", "modelscope"))

    def vault_places(self, root: Root) -> Sequence[str]:
        return ()

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins.modelscope.repository import is_partial, repositories

        for repository in repositories(root.path, walk):
            for folder in repository.folders(walk):
                for name, st in folder.files:
                    path = os.path.join(folder.path, name)
                    if is_partial(name):
                        text = f"is an interrupted download of {st.st_size} bytes: left out"
                        walk.warn(path, text, kind="interrupted")
                    elif not repository.is_note(path):
                        yield Replica(path, st, repo_id=repository.repo_id, repo_type=repository.repo_type)

    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        from hubfold_plugins.modelscope.repository import repositories

        for repository in repositories(root.path, walk):
            for model in repository.revisions(walk):
                yield model.snapshot(walk)

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        from hubfold_plugins import flat
        from hubfold_plugins.modelscope.repository import repositories

        for repository in repositories(root.path, walk):
            if (repository.repo_type, repository.repo_id) == (repo_type, repo_id):
                found = list(repository.revisions(walk))
                going = [one for one in found if revisions is None or one.revision in revisions]
                if going:
                    yield flat.removal(going, root.path, self.name, walk, whole=len(going) == len(found))

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        from hubfold_plugins import flat
        from hubfold_plugins.modelscope.repository import repositories

        for repository in repositories(root.path, walk):
            if found := list(repository.revisions(walk)):
                yield flat.removal(found, root.path, self.name, walk)

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins.modelscope import upkeep

        return upkeep.leftovers(root.path, self.name, walk)

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        return ()

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        """Of the later clients for a file, and of the earlier ones for its model."""
        from hubfold_plugins.modelscope import upkeep
        from hubfold_plugins.modelscope.repository import repository_of

        found = repository_of(root.path, path)
        return [] if found is None else upkeep.locks(root.path, found)

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        from hubfold_plugins.modelscope.repository import repositories

        for repository in walk.once("repositories", lambda: list(repositories(root.path, walk))):
            if repository.repo_id == snapshot.repo_id:
                for model in repository.revisions(walk):
                    if model.path == snapshot.path:
                        yield from model.parts(root.path)

    def place(self, name: str) -> PartPlace | None:
        from hubfold_plugins.flat import place_of

        return place_of(name) if not name.startswith(".") else None


def _holds_repositories(folder: str) -> bool:
    """Whether a folder has repositories of either layout in it."""
    for name in sorted(peek.names_in(folder))[:_FEW]:
        place = os.path.join(folder, name)
        if "--" in name and not name.startswith(("models--", "datasets--", "spaces--", "kernels--")):
            if peek.is_folder(os.path.join(place, "snapshots")):
                return True
        elif any(
            peek.exists(os.path.join(place, below, ".msc")) for below in sorted(peek.names_in(place))[:_FEW]
        ):
            return True
    return False
