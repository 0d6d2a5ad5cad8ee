"""`lm-studio`: the models folder of LM Studio.

Layout, by lmstudio.ai's docs and what its command line (``lms import``, ``importCmd.ts``) writes::

    <home>/models/<publisher>/<repo>/<file>      exactly two folders; the files of the Hub's repository of that name
    <home>/settings.json                         {"downloadsFolder": …}: where models/ is moved to

``<home>`` is what ``~/.lmstudio-home-pointer`` says, else ``~/.cache/lm-studio`` where that is there (older releases),
else ``~/.lmstudio`` (``findLMStudioHome`` of lmstudio.js). Nothing is hashed, and what a download is called before it
is whole is told nowhere but by its suffix (``.part``).

The program follows no symlink of a folder, ends in a dialog for one that dangles, and takes what lies in ``models`` for
a publisher: so no symlink and no vault there, whatever the user asks for. ``lms import`` makes hard links itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, Walk
from hubfold.content import LinkKind, Replica, Root
from hubfold_plugins import settings
from hubfold_plugins.flat_store import FlatStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, PartPlace, ShownFile
    from hubfold.content import Snapshot
    from hubfold_plugins.flat import FlatModel

#: What a home of LM Studio has beside its models.
_OF_A_HOME = frozenset({".internal", "settings.json"})
_HOMES = (".lmstudio", os.path.join(".cache", "lm-studio"))
_POINTER = ".lmstudio-home-pointer"
_PARTIAL = (".part", ".partial", ".download", ".tmp")


class LmStudioBackend(FlatStore):
    """The files of ``<publisher>/<repo>``; whatever lies elsewhere in the folder is no model to the program."""

    name = "lm-studio"
    capabilities = Capabilities(
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}), links_across=frozenset(), used_by="LM Studio"
    )
    marks = frozenset({"models"})
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """`path` for the models of a home of LM Studio; ``path/models`` for such a home."""
        if path.endswith(tuple(f"/{home}/models" for home in _HOMES)):
            return path
        called_so = path.endswith(("/.lmstudio", "/.cache/lm-studio"))
        if "models" not in names or not (called_so or _OF_A_HOME.issubset(names)):
            return None
        models = os.path.join(path, "models")
        # A symlink is found where it leads.
        return models if peek.link_text(models) is None and peek.is_folder(models) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        home = environ.get("HOME") or os.path.expanduser("~")
        pointer = (peek.text(os.path.join(home, _POINTER), behind_links=True) or "").strip()
        places = [pointer] if pointer.startswith("/") else []
        for place in dict.fromkeys([*places, *(os.path.join(home, name) for name in _HOMES)]):
            told = peek.text(os.path.join(place, "settings.json"), 1 << 18, behind_links=True)
            moved = settings.text_of(told, "downloadsFolder")
            if moved:
                yield peek.absolute(os.path.join(place, moved))
            yield peek.absolute(os.path.join(place, "models"))

    def vault_places(self, root: Root) -> Sequence[str]:
        return ()

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins.flat import hub_name, tell_partial

        for folder in _repositories(root.path, walk):
            repo_id = hub_name(os.path.relpath(folder.path, root.path))
            for name, stat in folder.files:
                path = os.path.join(folder.path, name)
                if _is_partial(name):
                    tell_partial(path, stat.st_size, walk)
                elif not name.startswith("."):
                    yield Replica(path, stat, repo_id=repo_id or None, repo_type="model" if repo_id else None)

    def models(self, root: Root, walk: Walk) -> Iterator[FlatModel]:
        return _models(root.path, walk)

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins.flat import interrupted

        for model in _models(root.path, walk):
            for path in sorted(model.incomplete):
                yield interrupted(root.path, self.name, path, walk)

    def place(self, name: str) -> PartPlace | None:
        return super().place(name) if name.count("/") == 2 else None

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        """``<publisher>/<repo>/<file>`` of each GGUF file: folders in the repository are no folders to the program."""
        from hubfold_plugins import flat

        if snapshot.repo_type == "model" and flat.hub_name(snapshot.repo_id):
            for name in flat.gguf(snapshot):
                yield flat.shown(f"{snapshot.repo_id}/{os.path.basename(name)}", name)


def _repositories(top: str, walk: Walk) -> Iterator[Folder]:
    """The folders that are two below `top`."""
    depth = top.rstrip("/").count("/")
    for folder in walk.folders(top):
        level = folder.path.count("/") - depth if folder.path != top else 0
        folder.folders[:] = [name for name in folder.folders if level < 2 and not name.startswith(".")]
        if level == 2:
            yield folder


def _models(top: str, walk: Walk) -> Iterator[FlatModel]:
    """One for each repository with a file, or a link in the place of one that somebody else made."""
    from hubfold_plugins.flat import FlatModel

    found: dict[str, set[str]] = {}
    for folder in _repositories(top, walk):
        # A very large folder comes in parts.
        names = found.setdefault(folder.path, set())
        names.update(name for name, _ in folder.files)
        # Links to folders the program does not follow.
        names.update(name for name in folder.links if os.path.splitext(name)[1])
    for path, there in found.items():
        files = {name: os.path.join(path, name) for name in there if not name.startswith(".")}
        waited = {place: _becomes(name) for name, place in files.items() if _is_partial(name)}
        whole = {name: place for name, place in files.items() if not _is_partial(name)}
        if whole or waited:
            yield FlatModel(path, whole, os.path.relpath(path, top), incomplete=waited)


def _is_partial(name: str) -> bool:
    return name.endswith(_PARTIAL)


def _becomes(name: str) -> str:
    return os.path.splitext(name)[0].removeprefix("downloading_")
