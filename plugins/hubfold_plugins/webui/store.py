"""`webui`: what AUTOMATIC1111's web interface, Forge and SD.Next keep, and Stability Matrix and InvokeAI.

Layouts::

    <webui>/models/{Stable-diffusion,Lora,VAE,ESRGAN,ControlNet,…}/[<folder>/]<file>, <webui>/embeddings/<file>,
    <webui>/extensions/<name>/models/<file>
      cache.json, cache/hashes/cache.db            sha256 of files: see `hubfold_plugins/webui/hashes`
    <Data>/Models/<Type>/<file>                    Stability Matrix; Packages/* beside it have links to these folders
      <file without suffix>.cm-info.json           what Civitai says the file is
    <INVOKEAI_ROOT>/models/<uuid>/…                InvokeAI
      databases/invokeai.db, invokeai.yaml         names and sources of models; its hashes are blake3, no claim of ours

A link may stand for a file: all of them read through it, and replace or unlink the name alone. Links to folders are the
programs' own, made and moved by them: they are never gone through. AUTOMATIC1111 hashes a file again whose mtime is
later than that of the sha256 that it noted (`Replica.latest_mtime_ns`). A model that InvokeAI has in its database is
removed there: hubfold removes none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, Walk
from hubfold.content import Replica, Root, Snapshot
from hubfold_plugins import settings
from hubfold_plugins.flat_store import FlatStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, ModelPart, PartPlace, Removal, ShownFile
    from hubfold_plugins.flat import FlatModel
    from hubfold_plugins.webui.hashes import Hashes

_INVOKE = "invokeai.yaml"
_OF_MATRIX = frozenset({"settings.json", ".sm-portable", "Assets", "Tags", "Images"})
_OF_OTHERS = frozenset({"models", "embeddings", "extensions", _INVOKE})
#: Where AUTOMATIC1111, Forge and SD.Next look for what is on a shelf of ComfyUI (paths_internal.py, modelloader.py).
_SHELVES = {
    "checkpoints": "models/Stable-diffusion",
    "controlnet": "models/ControlNet",
    "diffusion_models": "models/Stable-diffusion",
    "embeddings": "embeddings",
    "hypernetworks": "models/hypernetworks",
    "loras": "models/Lora",
    "text_encoders": "models/text_encoder",
    "upscale_models": "models/ESRGAN",
    "vae": "models/VAE",
}
#: The same of Stability Matrix (SharedFolderType.cs).
_OF_MATRIX_SHELVES = {
    "checkpoints": "StableDiffusion",
    "controlnet": "ControlNet",
    "diffusion_models": "DiffusionModels",
    "embeddings": "Embeddings",
    "hypernetworks": "Hypernetwork",
    "loras": "Lora",
    "text_encoders": "TextEncoders",
    "upscale_models": "ESRGAN",
    "vae": "VAE",
}
#: What InvokeAI has in models/ for itself while it installs.
_UNDER_WAY = ("tmpinstall_", ".download_cache", ".")


class WebUiBackend(FlatStore):
    """Files of weights, with the sha256 that the programs noted while it is still that of the file."""

    name = "webui"
    capabilities = Capabilities(
        vouches=False, claims=frozenset({"sha256"}), used_by="the web interface", ignored_by_git=True
    )
    marks = frozenset({"extensions-builtin", "ui-config.json", "Packages", _INVOKE})

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        if "models" in names:
            if (
                "ui-config.json" in names
                or {"extensions-builtin", "launch.py"}.issubset(names)
                or _INVOKE in names
            ):
                return path
        elif {"Models", "Packages"}.issubset(names) and not _OF_MATRIX.isdisjoint(names):
            place = os.path.join(path, "Models")
            return place if peek.link_text(place) is None and peek.is_folder(place) else None
        elif path.endswith("/Models") and cls.marks.isdisjoint(names):
            above = os.path.dirname(path)
            return cls.recognise(above, peek.names_in(above))
        return None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """Where their installers put them by themselves, and what variables and settings name."""
        home = environ.get("HOME") or os.path.expanduser("~")
        if environ.get("INVOKEAI_ROOT"):
            yield peek.absolute(environ["INVOKEAI_ROOT"])
        config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        told = peek.text(os.path.join(config, "StabilityMatrix", "library.json"))
        library = settings.folder_of(told, "LibraryPath")
        if library:
            yield os.path.join(library, "Models")
        for name in ("stable-diffusion-webui", "invokeai", os.path.join("StabilityMatrix", "Models")):
            yield os.path.join(home, name)

    def vault_places(self, root: Root) -> Sequence[str]:
        # What lies in a checkout is git's to clean away, and what lies on a shelf is listed as one.
        return ()

    def notes(self, root: Root, walk: Walk) -> Sequence[str]:
        """What the programs keep of all files in one; a note of one file comes with that."""
        return [os.path.join(root.path, *name.split("/")) for name in ("cache.json", "cache/hashes/cache.db")]

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins import flat, shelves

        hashes: Hashes | None = None
        for folder in _folders(root.path, walk):
            names = set(folder.names)
            for name, st in folder.files:
                path = os.path.join(folder.path, name)
                if shelves.is_partial(name, names):
                    flat.tell_partial(path, st.st_size, walk)
                elif shelves.is_weights(name):
                    hashes = _hashes(root.path, walk) if hashes is None else hashes
                    replica = Replica(path, st, hashes.of(folder, name, st, walk))
                    replica.latest_mtime_ns = hashes.latest_mtime_ns(name, st)
                    yield replica
                elif not name.endswith((shelves.ARIA2, ".cm-info.json")):
                    yield Replica(path, st)

    def models(self, root: Root, walk: Walk) -> Iterator[FlatModel]:
        return _models(root.path, walk)

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        from hubfold_plugins import shelves

        return shelves.model_named(text)

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        found = (
            () if _is_invoke(root.path, walk) else super().removals(root, repo_type, repo_id, revisions, walk)
        )
        yield from found

    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        yield from () if _is_invoke(root.path, walk) else super().all_removals(root, walk)

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins import flat, shelves

        for path in shelves.partials(_folders(root.path, walk)):
            yield flat.interrupted(root.path, self.name, path, walk)

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        # Without its row in the database InvokeAI has no such model.
        yield from () if _is_invoke(root.path, walk) else super().parts(root, snapshot, walk)

    def place(self, name: str) -> PartPlace | None:
        return super().place(name) if "/" in name else None

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        """On the shelf that each program has for it; InvokeAI reads what is in its database and nothing else."""
        from hubfold_plugins import flat, kinds

        if _is_invoke(root.path, walk):
            return
        is_matrix = os.path.basename(root.path) == "Models"
        places = {kind: _OF_MATRIX_SHELVES.get(kind) for kind in _SHELVES} if is_matrix else _SHELVES
        for kind, path, name in kinds.on_shelves(snapshot):
            if places.get(kind):
                yield flat.shown(f"{places[kind]}/{path}", name)


def _is_matrix(top: str, walk: Walk) -> bool:
    """Whether the shelves lie right in the root."""
    return _OF_OTHERS.isdisjoint(walk.listing(top))


def _is_invoke(top: str, walk: Walk) -> bool:
    return _INVOKE in walk.listing(top)


def _folders(top: str, walk: Walk) -> Iterator[Folder]:
    """The folders in which models lie."""
    if _is_matrix(top, walk):
        yield from walk.folders(top)
        return
    for folder in walk.folders(top):
        if folder.path == top:
            folder.folders[:] = [
                name for name in folder.folders if name in ("models", "embeddings", "extensions")
            ]
            continue
        steps = folder.path[len(top) + 1 :].split("/")
        if steps[0] == "extensions" and len(steps) < 3:
            folder.folders[:] = [name for name in folder.folders if len(steps) == 1 or name == "models"]
            continue
        if steps == ["models"]:
            folder.folders[:] = [name for name in folder.folders if not name.startswith(_UNDER_WAY)]
        yield folder


def _hashes(top: str, walk: Walk) -> Hashes:
    from hubfold_plugins.webui import hashes

    return hashes.Hashes() if _is_matrix(top, walk) else hashes.read(top, walk)


def _models(top: str, walk: Walk) -> Iterator[FlatModel]:
    from hubfold_plugins import shelves

    def folders() -> Iterator[Folder]:
        return _folders(top, walk)

    return shelves.models(top, walk, folders, _called(top, walk))


def _called(top: str, walk: Walk) -> Callable[[str], str]:
    names: Mapping[str, str] = {}
    if _is_invoke(top, walk):
        from hubfold_plugins.webui import invoke

        names = invoke.names(top, walk)

    def called(path: str) -> str:
        return names.get(path) or os.path.relpath(path, top).removeprefix("models/")

    return called
