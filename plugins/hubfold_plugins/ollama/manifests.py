"""The manifests of a store: which blobs are a model, and what goes, stays or is left over by that.

``manifests/<host>/<namespace>/<model>/<tag>`` is what a registry sent for the model (``manifest/manifest.go``)::

    {"schemaVersion": 2, "mediaType": …, "config": LAYER, "layers": [LAYER, …]}
    LAYER: {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:<64 hex>", "size": BYTES, "name": …}

It is written when all blobs are there. Its own sha256 is what ``ollama list`` shows the first digits of: the revision.

As ``ollama rm`` has it, the manifest goes first, then the blobs that no other manifest names, then the folders that are
empty. Where a manifest or a folder of them cannot be read, or lies behind a link, nobody knows which blobs it needs:
all are needed then.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubfold.backend.changes import (
    Kept,
    Leftover,
    LeftoverKind,
    ModelPart,
    PartPlace,
    Removal,
    SharedContent,
)
from hubfold.backend.contract import Walk
from hubfold.content import Partial, Snapshot, SnapshotFile
from hubfold_plugins.ollama.layout import BLOB, BLOBS, MANIFESTS, NAME, PARTIAL
from hubfold_plugins.ollama.names import ModelName, of_parts

#: Bytes. One with a layer for each tensor has some hundred for each.
_LIMIT = 1 << 24
#: What a layer holds, by the end of its media type; others are called by that end.
_CALLED = {
    "model": "model.gguf",
    "projector": "projector.gguf",
    "adapter": "adapter.gguf",
    "params": "params.json",
    "messages": "messages.json",
}
_MEDIA = "application/vnd.ollama.image."
_CONFIG = "container.image.v1+json"
_KIND = re.compile(r"[a-z0-9]{1,40}")
_TENSOR = re.compile(r"\w[\w.\-]*(?:/\w[\w.\-]*)*", re.ASCII)
_UNREAD = "another manifest cannot be read, and may need it"


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model. `name` is unlike that of every other of it."""

    sha256: str
    name: str
    #: Bytes.
    size: int


@dataclass(frozen=True, slots=True)
class Model:
    """A manifest that could be read."""

    path: str
    name: ModelName
    #: The sha256 of the manifest itself.
    revision: str
    layers: tuple[Layer, ...]


@dataclass(slots=True)
class Store:
    """All manifests of a store, and the names in its ``blobs/``."""

    path: str
    walk: Walk
    models: list[Model] = field(default_factory=list)
    #: Whether there are manifests of which nobody knows which blobs they need.
    unsure: bool = False
    #: By the sha256 that a blob is named by, its name.
    blobs: dict[str, str] = field(default_factory=dict)
    #: By the sha256 of what was to come, the files of the download.
    partials: dict[str, list[str]] = field(default_factory=dict)
    #: By each folder below ``manifests/``, what is in it.
    _names: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str, walk: Walk) -> Store:
        found = cls(path, walk)
        for name in walk.listing(os.path.join(path, BLOBS)):
            if blob := BLOB.fullmatch(name):
                found.blobs[blob[1].lower()] = name
            elif partial := PARTIAL.fullmatch(name):
                found.partials.setdefault(partial[1].lower(), []).append(name)
        found._read_manifests()
        return found

    def _read_manifests(self) -> None:
        top = os.path.join(self.path, MANIFESTS)
        unseen = {top}
        for folder in self.walk.folders(top):
            unseen.discard(folder.path)
            self._names[folder.path] = set(folder.names)
            above = folder.path[len(top) + 1 :].split("/") if folder.path != top else []
            if len(above) < 3:
                # Behind a link to a folder there may be manifests.
                self.unsure = self.unsure or bool(folder.links)
                unseen.update(os.path.join(folder.path, name) for name in folder.folders)
                continue
            folder.folders.clear()
            for tag in sorted(set(folder.names).difference(folder.folders)):
                name = of_parts([*above, tag])
                # Ollama passes over what it cannot have named.
                if name is not None and not os.path.isdir(os.path.join(folder.path, tag)):
                    self._read_manifest(os.path.join(folder.path, tag), name)
        self.unsure = self.unsure or bool(unseen)

    def _read_manifest(self, path: str, name: ModelName) -> None:
        data = self.walk.read_bytes(path, _LIMIT)
        try:
            layers = None if data is None else tuple(_layers(json.loads(data)))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            layers = None
        if data is None or layers is None:
            self.unsure = True
            self.walk.warn(path, "is no manifest that can be read: no blob counts as unused", kind="damaged")
        else:
            self.models.append(Model(path, name, hashlib.sha256(data).hexdigest(), layers))

    def uses(self) -> Mapping[str, str]:
        """By the sha256 of a blob, the first model that it is a part of."""
        found: dict[str, str] = {}
        for model in self.models:
            for layer in model.layers:
                found.setdefault(layer.sha256, model.name.shown)
        return found

    def snapshots(self) -> Iterator[Snapshot]:
        for model in self.models:
            files: list[SnapshotFile] = []
            begun: list[Partial] = []
            for layer in model.layers:
                blob = self.blobs.get(layer.sha256)
                if blob is not None:
                    path = self._blob(blob)
                    files.append(
                        SnapshotFile(layer.name, path, self.walk.size(path), {"sha256": layer.sha256})
                    )
                else:
                    begun += self._begun(layer)
            yield Snapshot(
                repo_id=model.name.shown,
                repo_type="model",
                revision=model.revision,
                refs=(model.name.tag,),
                path=self.path,
                files=tuple(sorted(files, key=lambda file: file.name)),
                home=model.path,
                expected={layer.name: layer.size for layer in model.layers},
                incomplete=tuple(begun),
            )

    def _begun(self, layer: Layer) -> Iterator[Partial]:
        for name in self.partials.get(layer.sha256, ()):
            path = self._blob(name)
            stat = self.walk.stat(path) if name.endswith("-partial") else None
            if stat is not None:
                yield Partial(path, stat.st_size, layer.name)

    def _blob(self, name: str) -> str:
        return os.path.join(self.path, BLOBS, name)

    # changing

    def removals(self) -> Iterator[Removal]:
        users: dict[str, set[str]] = {}
        for model in self.models:
            for layer in model.layers:
                users.setdefault(layer.sha256, set()).add(model.path)
        for model in self.models:
            own = dict.fromkeys(layer.sha256 for layer in model.layers)
            alone = [
                self._blob(self.blobs[one]) for one in own if one in self.blobs and users[one] == {model.path}
            ]
            shared = (
                SharedContent(self._blob(self.blobs[one]), tuple(sorted(users[one])))
                for one in own
                if one in self.blobs and users[one] != {model.path}
            )
            yield Removal(
                root=self.path,
                backend=NAME,
                repo_id=model.name.shown,
                repo_type="model",
                path=model.path,
                revisions=(model.revision,),
                whole=True,
                refs=(model.path,),
                content=() if self.unsure else tuple(alone),
                shared=() if self.unsure else tuple(shared),
                empty=tuple(self._emptied(model)),
                kept=tuple(Kept(path, _UNREAD) for path in alone) if self.unsure else (),
            )

    def _emptied(self, model: Model) -> Iterator[str]:
        """The folders below ``manifests/`` that hold nothing but this manifest, the deepest first."""
        path = model.path
        for _ in range(3):
            folder, name = os.path.split(path)
            if self._names.get(folder) != {name}:
                return
            yield folder
            path = folder

    def leftovers(self) -> Iterator[Leftover]:
        """Downloads that were interrupted, and blobs that no manifest names.

        As young as the last thing that was done to them: a blob that became a link has the times of what it leads to.
        While something is being downloaded, what came before it waits for a manifest.
        """
        busy = 0
        for names in self.partials.values():
            paths = [self._blob(name) for name in names]
            touched = max(map(self._touched, paths))
            busy = max(busy, touched)
            yield Leftover(LeftoverKind.INTERRUPTED, paths[0], self._content(paths), touched)
        if not self.unsure:
            used = self.uses()
            for sha256, name in self.blobs.items():
                if sha256 not in used:
                    path = self._blob(name)
                    touched = max(busy, self._touched(path))
                    yield Leftover(LeftoverKind.UNUSED, path, self._content([path]), touched)

    def _content(self, paths: list[str]) -> Removal:
        return Removal(self.path, NAME, "", "", content=tuple(paths))

    def _touched(self, path: str) -> int:
        stat = self.walk.stat(path)
        return 0 if stat is None else max(stat.st_mtime_ns, stat.st_ctime_ns)

    def needed(self, paths: Collection[str]) -> Collection[str]:
        if self.unsure:
            return [path for path in paths if BLOB.fullmatch(os.path.basename(path))]
        used = self.uses()
        blobs = ((path, BLOB.fullmatch(os.path.basename(path))) for path in paths)
        return [path for path, blob in blobs if blob is not None and blob[1].lower() in used]

    def parts(self, snapshot: Snapshot) -> Iterator[ModelPart]:
        for model in self.models:
            if model.path == snapshot.home and model.revision == snapshot.revision:
                blobs = dict.fromkeys(self.blobs.get(layer.sha256) for layer in model.layers)
                if None not in blobs:
                    for name in blobs:
                        yield ModelPart(f"{BLOBS}/{name}", self._blob(name or ""))
                    yield ModelPart(os.path.relpath(model.path, self.path), model.path)


def _layers(manifest: Any) -> Iterator[Layer]:
    """Raises KeyError, TypeError, AttributeError or ValueError for what is no manifest."""
    names: set[str] = set()
    for layer in [*(manifest["layers"] or ()), manifest.get("config") or {}]:
        digest = layer.get("digest", "")
        if digest == "":
            continue
        blob = BLOB.fullmatch(digest.replace(":", "-", 1))
        size = layer["size"]
        if blob is None or type(size) is not int or not 0 <= size < 1 << 63:
            raise ValueError(digest)
        name = _called(layer.get("name"), layer.get("mediaType"))
        stem, dot, suffix = name.partition(".")
        number = 2
        while name in names:
            name, number = f"{stem}-{number}{dot}{suffix}", number + 1
        names.add(name)
        yield Layer(blob[1].lower(), name, size)


def _called(name: object, media: object) -> str:
    """What a file is called by what it is: a tensor has a name in the manifest."""
    if isinstance(name, str) and _TENSOR.fullmatch(name) and ".." not in name.split("/"):
        return name
    if isinstance(media, str) and media.startswith(_MEDIA):
        kind = media[len(_MEDIA) :]
        if kind in _CALLED or _KIND.fullmatch(kind):
            return _CALLED.get(kind, kind)
    return "config.json" if isinstance(media, str) and media.endswith(_CONFIG) else "file"


def place_of(name: str) -> PartPlace | None:
    """Blobs first: a manifest is there when all that it names is."""
    first, *rest = name.split("/")
    if first == BLOBS and len(rest) == 1 and BLOB.fullmatch(rest[0]):
        return PartPlace(0)
    return PartPlace(1) if first == MANIFESTS and of_parts(rest) is not None else None
