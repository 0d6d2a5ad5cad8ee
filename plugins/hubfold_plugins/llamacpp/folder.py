"""A folder of models for ``llama-server --models-dir`` (its README, "Using multiple models")::

    <user>_<repo>_<file>.gguf                  a model of one file: the name that it has in the old cache too
    <user>_<repo>_<model>/<model>.gguf         one that comes with a projector for pictures, which has a folder
    <user>_<repo>_<model>/mmproj….gguf         that projector: its name begins so
    <user>_<repo>_<model>/<model>-00001-of-…   one of several parts, all of them in its folder

The same names are in many repositories, so each begins with the one that it is of.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hubfold_plugins import flat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold.backend.changes import ShownFile
    from hubfold.content import Snapshot

_PROJECTOR = "mmproj"


def shown(snapshot: Snapshot) -> Iterator[ShownFile]:
    """Where the GGUF files of a model belong."""
    if snapshot.repo_type != "model" or not flat.hub_name(snapshot.repo_id):
        return
    prefix = snapshot.repo_id.replace("/", "_")
    names = flat.gguf(snapshot)
    projectors = flat.projectors(names)
    models: dict[str, list[str]] = {}
    for name in names:
        if name not in projectors:
            models.setdefault(_model_of(name), []).append(name)
    projector = projectors[0] if projectors else ""
    for model, files in models.items():
        if len(files) == 1 and not projector and not flat.PART.fullmatch(os.path.basename(files[0])):
            yield flat.shown(f"{prefix}_{model}.gguf", files[0])
            continue
        for file in files:
            yield flat.shown(f"{prefix}_{model}/{os.path.basename(file)}", file)
        if projector:
            yield flat.shown(f"{prefix}_{model}/{_projector_name(projector)}", projector)


def _model_of(name: str) -> str:
    last = os.path.basename(name)
    part = flat.PART.fullmatch(last)
    return part[1] if part else last[: -len(".gguf")]


def _projector_name(name: str) -> str:
    last = os.path.basename(name)
    return last if last.lower().startswith(_PROJECTOR) else f"{_PROJECTOR}-{last}"
