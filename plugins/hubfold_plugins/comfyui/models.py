"""`comfyui`: the models folder of ComfyUI, and the folders that its settings name besides.

Layout (``folder_paths.py``)::

    <ComfyUI>/models/<type>/[<folder>/]<file>      checkpoints, loras, vae, diffusion_models, text_encoders, …
    <ComfyUI>/extra_model_paths.yaml               see `hubfold_plugins/comfyui/model_paths`
    <base>/{models,custom_nodes,input,output,user} of the desktop app, which has its settings in ~/.config/ComfyUI

Files are found by walking through links, each file by its own name, so a link may stand for a file. A folder must stay
one: the checkout has placeholders in it, and its update fails over a link. ComfyUI-Manager opens the final name of what
it downloads and writes there. No digest is in the tree: nothing is believed unread.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Folder, Walk
from hubfold.content import Replica, Root
from hubfold_plugins import settings
from hubfold_plugins.flat_store import FlatStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, PartPlace, ShownFile
    from hubfold.content import Snapshot
    from hubfold_plugins.flat import FlatModel

_EXTRA = "extra_model_paths.yaml"
_DESKTOP = "extra_models_config.yaml"


class ComfyUiBackend(FlatStore):
    """Files of weights on the shelves of ComfyUI."""

    name = "comfyui"
    capabilities = Capabilities(
        vouches=False, written_in_place="ComfyUI-Manager", used_by="ComfyUI", ignored_by_git=True
    )
    marks = frozenset({"folder_paths.py", "custom_nodes"})

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """``path/models`` for a checkout, and for the folder that the desktop app works in."""
        if path.endswith("/models") and cls.marks.isdisjoint(names):
            above = os.path.dirname(path)
            return cls.recognise(above, peek.names_in(above))
        is_checkout = "folder_paths.py" in names and "comfy" in names
        is_base = "custom_nodes" in names and sum(name in names for name in ("input", "output", "user")) > 1
        models = os.path.join(path, "models")
        if "models" not in names or not (is_checkout or is_base) or peek.link_text(models) is not None:
            return None
        return models if peek.is_folder(models) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """What the desktop app works in, and what its settings name."""
        place = _of_the_desktop(environ)
        text = peek.text(os.path.join(place, _DESKTOP))
        if text is not None:
            yield from _model_paths(text, place, environ)
        base = settings.folder_of(peek.text(os.path.join(place, "config.json")), "basePath")
        if base:
            yield os.path.join(base, "models")

    def further(self, root: Root, environ: Mapping[str, str]) -> Iterable[str]:
        """What the settings of a checkout name."""
        above = os.path.dirname(root.path)
        text = peek.text(os.path.join(above, _EXTRA))
        return () if text is None else _model_paths(text, above, environ)

    def vault_places(self, root: Root) -> Sequence[str]:
        # What lies in a checkout is git's to clean away, and what lies on a shelf is listed as one.
        return ()

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        from hubfold_plugins import flat, shelves

        for folder in walk.folders(root.path):
            names = set(folder.names)
            for name, st in folder.files:
                path = os.path.join(folder.path, name)
                if shelves.is_partial(name, names):
                    flat.tell_partial(path, st.st_size, walk)
                elif not name.endswith(shelves.ARIA2):
                    yield Replica(path, st)

    def models(self, root: Root, walk: Walk) -> Iterator[FlatModel]:
        return _models(root.path, walk)

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        from hubfold_plugins import shelves

        return shelves.model_named(text)

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins import flat, shelves

        for path in shelves.partials(walk.folders(root.path)):
            yield flat.interrupted(root.path, self.name, path, walk)

    def place(self, name: str) -> PartPlace | None:
        return super().place(name) if "/" in name else None

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        """``<type>/<org>/<name>/<file>``: `hubfold_plugins/kinds` says which file is of which type."""
        from hubfold_plugins import flat, kinds

        for kind, path, name in kinds.on_shelves(snapshot):
            yield flat.shown(f"{kind}/{path}", name)


def _models(top: str, walk: Walk) -> Iterator[FlatModel]:
    from hubfold_plugins import shelves

    # A folder that the settings name is a shelf itself.
    base = top if os.path.basename(top) == "models" else os.path.dirname(top)

    def folders() -> Iterator[Folder]:
        return walk.folders(top)

    return shelves.models(top, walk, folders, lambda path: os.path.relpath(path, base))


def _model_paths(text: str, place: str, environ: Mapping[str, str]) -> list[str]:
    from hubfold_plugins.comfyui import model_paths

    return model_paths.folders(text, place, environ)


def _of_the_desktop(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support", "ComfyUI")
    if sys.platform == "win32":
        return os.path.join(environ.get("APPDATA") or os.path.join(home, "AppData", "Roaming"), "ComfyUI")
    return os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "ComfyUI")
