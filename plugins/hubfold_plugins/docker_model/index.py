"""``models.json`` of a store, and the manifests of its models.

::

    {"models": [{"id": "sha256:<hex>", "tags": ["docker.io/ai/smollm2:latest", …], "files": ["sha256:<hex>", …]}]}

``files`` are the blobs that the model needs, which go with it where no other model has them. Its manifest is one of
OCI: of each layer the media type, the digest and the size, and of some the name (``org.cncf.model.filepath``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from hubfold.backend.changes import Leftover, LeftoverKind, Removal
from hubfold.backend.contract import Walk
from hubfold.content import Partial, Snapshot, SnapshotFile
from hubfold_plugins.docker_model.layout import INCOMPLETE, INDEX, LENGTHS, NAME, is_digest

_LIMIT = 1 << 24
_FILE_NAME = "org.cncf.model.filepath"
#: What a layer is called by what it is, as the bundle calls it where it has it.
_CALLED = (
    ("gguf", "model.gguf"),
    ("safetensors", "model.safetensors"),
    ("dduf", "model.dduf"),
    ("mmproj", "model.mmproj"),
    ("chat.template", "template.jinja"),
    ("license", "LICENSE"),
    ("config", "config.json"),
    ("tar", "archive.tar"),
)
_SAFE = re.compile(r"\w[\w.\- ]*(?:/\w[\w.\- ]*)*", re.ASCII)
_HUB = re.compile(r"(?:(?:index\.)?docker\.io/)?(?:library/)?")
_REFERENCE = re.compile(
    r"(?:[a-z0-9][a-z0-9.\-]*(?::\d+)?/)?[a-z0-9][a-z0-9._\-]*(?:/[a-z0-9][a-z0-9._\-]*)*", re.IGNORECASE
)
_TAG = re.compile(r"\w[\w.\-]{0,127}", re.ASCII)


def shown(reference: str) -> str | None:
    """A model's name as users know it; None for what can be none. Docker Hub and its ``library`` are left out."""
    rest, tag = reference, "latest"
    if rest.rfind(":") > rest.rfind("/"):
        rest, _, tag = rest.rpartition(":")
    rest = rest[len((_HUB.match(rest) or [""])[0]) :]
    fits = len(rest) < 256 and _REFERENCE.fullmatch(rest) and ".." not in rest and _TAG.fullmatch(tag)
    return f"{rest}:{tag}" if fits else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: the algorithm and the hexadecimal digits of its id, its names, its blobs by both."""

    id: tuple[str, str]
    names: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Store:
    """The models of a store, and what lies in its ``blobs/``."""

    path: str
    walk: Walk
    models: list[Entry] = field(default_factory=list)
    #: Whether nobody knows which blobs are needed.
    unsure: bool = False

    @classmethod
    def read(cls, path: str, walk: Walk) -> Store:
        found = cls(path, walk)
        index = os.path.join(path, INDEX)
        data = walk.read_bytes(index, _LIMIT)
        try:
            told = [] if data is None else json.loads(data)["models"] or []
            found.models = [_entry(one) for one in told]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            found.models = []
            data = None
            walk.warn(
                index, "is no list of models that can be read: no blob counts as unused", kind="damaged"
            )
        found.unsure = data is None
        return found

    def snapshots(self) -> Iterator[Snapshot]:
        for entry in self.models:
            layers = self._layers(entry)
            files, begun = [], []
            for name, (digest, _) in layers.items():
                path = self._blob(digest)
                if self.walk.stat(path) is not None:
                    claims = {"sha256": digest[1].lower()} if digest[0] == "sha256" else {}
                    files.append(SnapshotFile(name, path, self.walk.size(path), claims))
                elif (half := self.walk.stat(path + INCOMPLETE)) is not None:
                    begun.append(Partial(path + INCOMPLETE, half.st_size, name))
            for name in entry.names:
                yield Snapshot(
                    repo_id=name,
                    repo_type="model",
                    revision=entry.id[1],
                    refs=(name.rpartition(":")[2],) if entry.names[0] != _unnamed(entry.id) else (),
                    path=self.path,
                    files=tuple(sorted(files, key=lambda file: file.name)),
                    home=self._manifest(entry),
                    expected={name: size for name, (_, size) in layers.items() if size is not None} or None,
                    incomplete=tuple(begun),
                )

    def _manifest(self, entry: Entry) -> str:
        return os.path.join(self.path, "manifests", *entry.id)

    def _blob(self, digest: tuple[str, str]) -> str:
        return os.path.join(self.path, "blobs", *digest)

    def _layers(self, entry: Entry) -> dict[str, tuple[tuple[str, str], int | None]]:
        """(digest, bytes) of each blob of a model, by a name of its own; without its manifest, by the digest."""
        found: dict[str, tuple[tuple[str, str], int | None]] = {}
        data = self.walk.read_bytes(self._manifest(entry), _LIMIT)
        try:
            manifest = None if data is None else json.loads(data)
            for layer in () if manifest is None else [*manifest["layers"], manifest["config"]]:
                digest, size = _digest(layer["digest"]), layer["size"]
                if type(size) is not int or not 0 <= size < 1 << 63:
                    raise ValueError(size)
                found[_free(_called(layer), found)] = digest, size
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            found = {}
        return found or {digest[1]: (digest, None) for digest in entry.files}

    def leftovers(self) -> Iterator[Leftover]:
        """Downloads that are not at their end, and blobs of no model: the next pull of one that failed takes these."""
        there = {
            (algorithm, name)
            for algorithm in LENGTHS
            for name in self.walk.listing(os.path.join(self.path, "blobs", algorithm))
        }
        used = self._used()
        busy = 0
        for algorithm, name in sorted(there):
            path = self._blob((algorithm, name))
            if name.endswith(INCOMPLETE) and is_digest(algorithm, name.removesuffix(INCOMPLETE)):
                touched = self._touched(path)
                busy = max(busy, touched)
                yield Leftover(LeftoverKind.INTERRUPTED, path, self._content(path), touched)
        for algorithm, name in sorted(there):
            if is_digest(algorithm, name) and (algorithm, name.lower()) not in used and not self.unsure:
                path = self._blob((algorithm, name))
                yield Leftover(LeftoverKind.UNUSED, path, self._content(path), max(busy, self._touched(path)))

    def _content(self, path: str) -> Removal:
        return Removal(self.path, NAME, "", "", content=(path,))

    def _touched(self, path: str) -> int:
        stat = self.walk.stat(path)
        return 0 if stat is None else max(stat.st_mtime_ns, stat.st_ctime_ns)

    def _used(self) -> set[tuple[str, str]]:
        """What the models need: what the index names, and what their manifests do."""
        layers = (digest for entry in self.models for digest, _ in self._layers(entry).values())
        files = (digest for entry in self.models for digest in entry.files)
        return {(algorithm, name.lower()) for algorithm, name in (*layers, *files)}

    def needed(self, paths: Collection[str]) -> Collection[str]:
        used = self._used()
        found = []
        for path in paths:
            digest = tuple(path.rsplit("/", 2)[1:])
            if not path.endswith(INCOMPLETE) and (self.unsure or (digest[0], digest[1].lower()) in used):
                found.append(path)
        return found


def _entry(told: Any) -> Entry:
    """Raises one of several errors for what is none."""
    id_ = _digest(told["id"])
    tags = [name for tag in told.get("tags") or () if (name := shown(tag)) is not None]
    files = tuple(_digest(one) for one in told.get("files") or ())
    return Entry(id_, tuple(dict.fromkeys(tags)) or (_unnamed(id_),), files)


def _unnamed(id_: tuple[str, str]) -> str:
    """What a model without a tag is called."""
    return f"{id_[0]}:{id_[1]}"


def _digest(text: str) -> tuple[str, str]:
    algorithm, _, digits = text.partition(":")
    if not is_digest(algorithm, digits):
        raise ValueError(text)
    return algorithm, digits


def _called(layer: Any) -> str:
    named = (layer.get("annotations") or {}).get(_FILE_NAME)
    if isinstance(named, str) and _SAFE.fullmatch(named) and ".." not in named.split("/"):
        return named
    media = layer.get("mediaType")
    return next((name for kind, name in _CALLED if isinstance(media, str) and kind in media), "file")


def _free(name: str, taken: Collection[str]) -> str:
    stem, suffix = os.path.splitext(name)
    number = 2
    while name in taken:
        name, number = f"{stem}-{number}{suffix}", number + 1
    return name
