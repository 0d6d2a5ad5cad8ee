"""Stores whose models are single files on shelves, ``<top>/<type>/[<folder>/]<file>``, as programs for images have.

A model is one file with what lies beside it under its name (previews, notes), or a folder that holds the files of one
repository of the Hub: that which has ``config.json`` or ``model_index.json``. It is called ``<type>/<file>``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold_plugins.flat import FlatModel, hub_name

if TYPE_CHECKING:
    from hubfold.backend.contract import Folder, Walk

#: ``supported_pt_extensions`` of ComfyUI's folder_paths.py, with those of the others.
WEIGHTS = (".bin", ".ckpt", ".gguf", ".onnx", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".sft")
#: Endings of what programs write beside a file of weights, under its name without its suffix.
_BESIDE = (
    *(".cm-info.json", ".civitai.info", ".metadata.json", ".json", ".txt", ".yaml", ".sha256", ".swarm.json"),
    *(f"{preview}{suffix}" for preview in ("", ".preview") for suffix in (".png", ".jpg", ".jpeg", ".webp")),
)
_OF_A_REPOSITORY = frozenset({"config.json", "model_index.json"})
#: Endings of files that are being downloaded; aria2 keeps one beside the file itself until that is whole.
_PARTIAL = (".part", ".partial", ".tmp", ".download", ".downloading", ".crdownload", ".incomplete")
ARIA2 = ".aria2"


def is_partial(name: str, beside: frozenset[str] | set[str]) -> bool:
    """Whether a file with these names beside it is not at its end."""
    return name.endswith(_PARTIAL) or f"{name}{ARIA2}" in beside


def is_weights(name: str) -> bool:
    return name.lower().endswith(WEIGHTS)


def model_named(text: str) -> tuple[str, str, str | None] | None:
    """A model by a name that no repo id can have: of a file in a folder of its shelf, or with blanks in it."""
    plain = text.isprintable() and ".." not in text.split("/") and not text.startswith(("/", "~", "."))
    if plain and "/" in text and is_weights(text) and not hub_name(text):
        return "model", text, None
    return None


@dataclass(slots=True)
class _There:
    """What was found in one folder."""

    weights: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    partials: list[str] = field(default_factory=list)
    is_repository: bool = False


def models(
    top: str,
    walk: Walk,
    folders: Callable[[], Iterator[Folder]],
    called: Callable[[str], str],
    claims: Callable[[str], Mapping[str, str]] = lambda path: {},
) -> Iterator[FlatModel]:
    """The models in `folders`; `called` gives the name of what lies at a path, `claims` what is stated of a file."""
    there: dict[str, _There] = {}
    for folder in folders():
        _note(there.setdefault(folder.path, _There()), folder)
    repositories = {path for path, found in there.items() if found.is_repository and path != top}
    gathered: dict[str, dict[str, str]] = {}
    for path in sorted(there):
        home = _home(path, top, repositories)
        if not home:
            yield from _singles(path, there[path], called, claims)
        else:
            found = there[path]
            named = {**found.weights, **found.others}
            gathered.setdefault(home, {}).update(
                (os.path.relpath(place, home), place) for place in named.values()
            )
    for home, files in gathered.items():
        if any(map(is_weights, files)):
            stated = {name: claims(path) for name, path in files.items()}
            name = called(home)
            yield FlatModel(home, files, name, claims=stated, shelf=_shelf(home, name))


def _note(found: _There, folder: Folder) -> None:
    names = set(folder.names)
    found.is_repository = found.is_repository or not _OF_A_REPOSITORY.isdisjoint(names)
    links = [name for name in folder.links if os.path.splitext(name)[1]]
    for name in (*(name for name, _ in folder.files), *links):
        path = os.path.join(folder.path, name)
        if is_partial(name, names):
            found.partials.append(path)
        elif is_weights(name):
            found.weights[name] = path
        elif not name.endswith(ARIA2):
            found.others[name] = path


def _home(path: str, top: str, repositories: set[str]) -> str:
    """The uppermost folder of a repository that `path` is, or lies in; "" for none."""
    found = ""
    while path.startswith(f"{top}/"):
        if path in repositories:
            found = path
        path = os.path.dirname(path)
    return found


def _singles(
    path: str,
    found: _There,
    called: Callable[[str], str],
    claims: Callable[[str], Mapping[str, str]],
) -> Iterator[FlatModel]:
    stems = {name: os.path.splitext(name)[0] for name in found.weights}
    count = Counter(stems.values())
    for name, place in found.weights.items():
        stem = stems[name]
        beside = (
            ()
            if count[stem] > 1
            else tuple(found.others[f"{stem}{end}"] for end in _BESIDE if f"{stem}{end}" in found.others)
        )
        told = called(place)
        stated = {name: claims(place)}
        yield FlatModel(path, {name: place}, told, records=beside, claims=stated, shelf=_shelf(place, told))


def _shelf(path: str, name: str) -> str:
    """The folder of the shelf that a model lies on, which its name begins with."""
    for _ in name.split("/")[1:]:
        path = os.path.dirname(path)
    return path


def partials(folders: Iterator[Folder]) -> Iterator[str]:
    """The files of downloads that are not at their end, with what aria2 keeps of them."""
    for folder in folders:
        names = set(folder.names)
        for name, _ in folder.files:
            if is_partial(name, names) or (name.endswith(ARIA2) and name.removesuffix(ARIA2) in names):
                yield os.path.join(folder.path, name)
