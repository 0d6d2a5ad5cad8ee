"""`text-generation-webui`: the folders of models of that program.

Layout, as its ``download-model.py`` writes it::

    <checkout>/user_data/models/<user>_<repo>[_<branch>]/      the files of a repository, all in one folder
      huggingface-metadata.txt                                 what they are (`hubfold_plugins/textgen/metadata`)
    <checkout>/user_data/models/<file>.gguf                    a file that was asked for by its name: no notes
    <checkout>/user_data/loras/<user>_<repo>/                  as models/; mmproj/, image_models/ too
    <checkout>/models/…                                        before 2025

Files are downloaded under their final names. One that is there and shorter than on the Hub is gone on with by writing
to its end, through whatever link stands there; nothing says that one is whole but the sha256 in the notes, which were
written before. So a link may stand only for what is known to be whole (`Capabilities.resumes_in_place`).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Walk
from hubfold.content import Replica, Root
from hubfold_plugins.flat_store import FlatStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hubfold.backend.contract import Folder
    from hubfold_plugins.flat import FlatModel
    from hubfold_plugins.textgen.metadata import Metadata

METADATA = "huggingface-metadata.txt"
_CHECKOUT = frozenset({"server.py", "download-model.py"})
_SHELVES = frozenset({"models", "loras", "mmproj", "image_models"})
#: What user_data has beside its models, in every release that has one.
_OF_USER_DATA = "instruction-templates"
#: ``<name>-00001-of-00003.gguf``
_SPLIT = re.compile(r"(?P<name>.+)-\d{5}-of-\d{5}(?P<suffix>\.gguf)")
_LIMIT = 1 << 22


class TextGenerationBackend(FlatStore):
    """The files of its models, with what the program noted of them."""

    name = "text-generation-webui"
    capabilities = Capabilities(
        claims=frozenset({"sha256"}),
        vouches=False,
        written_in_place="text-generation-webui",
        resumes_in_place=True,
        used_by="text-generation-webui",
    )
    marks = frozenset({"download-model.py", _OF_USER_DATA, METADATA})
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        """The folder of a checkout that has its models; a folder of a model, wherever somebody keeps these."""
        if METADATA in names:
            return path
        if _OF_USER_DATA in names and "models" in names and path.endswith("/user_data"):
            return path
        if _CHECKOUT.issubset(names):
            for name in ("user_data", "models"):
                place = os.path.join(path, name)
                if name in names and peek.is_folder(place) and peek.link_text(place) is None:
                    return place
        return None

    def vault_places(self, root: Root) -> list[str]:
        # The program lists each folder beside its models as one.
        return []

    def notes(self, root: Root, walk: Walk) -> Iterator[str]:
        """The notes of each model; of one whose folder is the root, those in it."""
        yield os.path.join(root.path, METADATA)
        is_user_data = os.path.basename(root.path) == "user_data"
        for shelf in sorted(_SHELVES) if is_user_data else ("",):
            place = os.path.join(root.path, shelf) if shelf else root.path
            for name in walk.listing(place):
                yield os.path.join(place, name, METADATA)

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for folder in _folders(root.path, walk):
            metadata = _metadata(folder, walk) if folder.files else None
            for name, stat in folder.files:
                if name == METADATA:
                    continue
                replica = Replica(os.path.join(folder.path, name), stat)
                if metadata is not None:
                    replica.claims = metadata.claims(name)
                    replica.vouched = bool(replica.claims)
                    replica.repo_id, replica.repo_type = metadata.repo_id or None, "model"
                yield replica

    def models(self, root: Root, walk: Walk) -> Iterator[FlatModel]:
        return _models(root.path, walk)


def _folders(top: str, walk: Walk) -> Iterator[Folder]:
    """The folders that models lie in."""
    is_user_data = os.path.basename(top) == "user_data"
    for folder in walk.folders(top):
        if folder.path == top and is_user_data:
            folder.folders[:] = [name for name in folder.folders if name in _SHELVES]
        else:
            yield folder


def _metadata(folder: Folder, walk: Walk) -> Metadata | None:
    if METADATA not in folder.names:
        return None
    from hubfold_plugins.textgen.metadata import parse

    return parse(walk.read_text(os.path.join(folder.path, METADATA), _LIMIT) or "")


def _models(top: str, walk: Walk) -> Iterator[FlatModel]:
    """What has notes is the model that these name; a GGUF file without any is known by its own name."""
    there: dict[str, tuple[Metadata | None, dict[str, str]]] = {}
    for folder in _folders(top, walk):
        if folder.path not in there:
            there[folder.path] = (_metadata(folder, walk), {})
        # Of links the program reads what they lead to; one to a folder has no suffix that a file of a model has.
        links = [name for name in folder.links if os.path.splitext(name)[1]]
        names = [*(name for name, _ in folder.files), *links]
        there[folder.path][1].update((name, os.path.join(folder.path, name)) for name in names)
    for path, (metadata, files) in there.items():
        if metadata is not None and metadata.repo_id:
            yield _noted(path, metadata, files)
        else:
            yield from _single(path, files)


def _noted(path: str, metadata: Metadata, files: dict[str, str]) -> FlatModel:
    from hubfold_plugins.flat import FlatModel

    record = files.pop(METADATA, "")
    return FlatModel(
        path,
        files,
        metadata.repo_id,
        refs=(metadata.branch,) if metadata.branch else (),
        records=(record,) if record else (),
        claims={name: metadata.claims(name) for name in files},
        shelf=os.path.dirname(path),
    )


def _single(path: str, files: dict[str, str]) -> Iterator[FlatModel]:
    from hubfold_plugins.flat import FlatModel

    models: dict[str, dict[str, str]] = {}
    for name, place in files.items():
        if name.endswith(".gguf"):
            split = _SPLIT.fullmatch(name)
            models.setdefault(split["name"] + split["suffix"] if split else name, {})[name] = place
    for name, of_it in models.items():
        yield FlatModel(path, of_it, name, shelf=path)
