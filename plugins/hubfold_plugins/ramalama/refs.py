"""The refs of a model: which files it has, and what they are.

``refs/<tag>.json`` (``model_store/reffile.py``)::

    {"hash": "sha256:…", "path": …, "version": "v1.0.1",
     "files": [{"hash": "sha256:<hex>" or "sha256-<hex>", "name": "model.gguf", "type": "gguf"}, …]}

A type is gguf, safetensor, mmproj, chat_template or other. The files of a tag are at ``snapshots/<hash>/<name>`` and at
``blobs/<hash>``, with ``-`` for ``:``. As ``ramalama rm`` has it, what no other tag of the model names goes with a tag.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hubfold.backend.changes import Leftover, LeftoverKind, ModelPart, PartPlace, Removal
from hubfold.backend.contract import Walk
from hubfold.content import Partial, Snapshot, SnapshotFile
from hubfold_plugins.ramalama.layout import BLOB, CHECKED, NAME, PARTIAL, PARTS, TRANSPORTS, is_model

_LIMIT = 1 << 22
_JSON = ".json"
_HASH = re.compile(r"[\w.\-]{1,255}", re.ASCII)
_PART = re.compile(r"[^\0/]{1,255}")
#: What it calls a template that it took out of a model (``_ensure_chat_template``).
_MADE = "chat_template"
_TAG = re.compile(r"\w[\w.\-]{0,127}", re.ASCII)
_SHORT = {"hf": "huggingface", "ms": "modelscope"}


@dataclass(frozen=True, slots=True)
class File:
    """One file of a tag. `blob` is its name in ``blobs/``."""

    blob: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Ref:
    """One tag. `folder` is the name of its snapshot."""

    path: str
    tag: str
    folder: str
    files: tuple[File, ...]


@dataclass(slots=True)
class Model:
    """A folder with blobs, refs and snapshots. `inside` is its path from the store."""

    root: str
    inside: str
    walk: Walk
    refs: list[Ref] = field(default_factory=list)
    #: Whether there are tags of which nobody knows what they need.
    unsure: bool = True
    #: The regular files below blobs/ and snapshots/ that are new or changed, and all of their names.
    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    there: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.inside)

    def _revision(self, ref: Ref) -> str:
        return ref.folder.removeprefix("sha256-")

    @property
    def blobs(self) -> str:
        return os.path.join(self.path, "blobs")

    @property
    def checked(self) -> set[str]:
        """The names of blobs that are what their names say."""
        found: set[str] = set()
        for ref in self.refs if self.inside.partition("/")[0] in CHECKED else ():
            first = [file.blob for file in ref.files if file.kind == "gguf"][:1]
            found.update(first, (file.blob for file in ref.files if file.kind in ("safetensor", "mmproj")))
        # What another tag has by the name of its file is named by that.
        return found - {file.blob for ref in self.refs for file in ref.files if file.kind == "other"}

    def rewritten(self) -> set[str]:
        """The files that the program writes over where they lie, or may: templates that it made of a model."""
        files = [file for ref in self.refs for file in ref.files]
        named = {file.blob for file in files if file.name.startswith(_MADE)}
        made = {path for path, _ in self.files if os.path.basename(path) in named}
        made |= {path for path, _ in self.files if os.path.basename(path).startswith(_MADE)}
        # Without a ref that can be read, a blob is known by its other name.
        inodes = {(stat.st_dev, stat.st_ino) for path, stat in self.files if path in made}
        return {path for path, stat in self.files if (stat.st_dev, stat.st_ino) in inodes}

    def name_of(self, path: str) -> str:
        """The model that a file is a part of, by the first tag that has it."""
        found = (ref for ref in self.refs if path in self._paths(ref))
        return next((self._called(ref) for ref in found), "")

    def _called(self, ref: Ref) -> str:
        """As ``ramalama list`` has it."""
        transport, _, rest = self.inside.partition("/")
        return f"{transport}://{rest}:{ref.tag}"

    def _snapshot(self, ref: Ref) -> str:
        return os.path.join(self.path, "snapshots", ref.folder)

    def _paths(self, ref: Ref) -> dict[str, str]:
        """By the path of each blob and of its name in the snapshot, what the file is called."""
        blobs = {os.path.join(self.blobs, file.blob): file.name for file in ref.files}
        return blobs | {os.path.join(self._snapshot(ref), file.name): file.name for file in ref.files}

    def snapshots(self) -> Iterator[Snapshot]:
        checked = self.checked
        for ref in self.refs:
            files: dict[str, SnapshotFile] = {}
            begun = []
            for file in ref.files:
                path = os.path.join(self._snapshot(ref), file.name)
                half = self.walk.stat(os.path.join(self.blobs, file.blob + PARTIAL))
                if self.walk.stat(path) is not None:
                    blob = BLOB.fullmatch(file.blob) if file.blob in checked else None
                    claims = {"sha256": blob[1]} if blob is not None else {}
                    files[file.name] = SnapshotFile(file.name, path, self.walk.size(path), claims)
                elif half is not None:
                    begun.append(
                        Partial(os.path.join(self.blobs, file.blob + PARTIAL), half.st_size, file.name)
                    )
            yield Snapshot(
                repo_id=self._called(ref),
                repo_type="model",
                revision=self._revision(ref),
                refs=(ref.tag,),
                path=self._snapshot(ref),
                files=tuple(files[name] for name in sorted(files)),
                home=self.path,
                incomplete=tuple(begun),
            )

    # changing

    def removals(self) -> Iterator[Removal]:
        for ref in self.refs:
            others = [other for other in self.refs if other is not ref]
            stays = {file.blob for other in others for file in other.files}
            alone = not self.unsure and all(other.folder != ref.folder for other in others)
            folder = self._snapshot(ref)
            blobs = dict.fromkeys(file.blob for file in ref.files if file.blob not in stays)
            content = [os.path.join(self.blobs, name + end) for name in blobs for end in ("", PARTIAL)]
            folders = [folder] if alone and self.walk.stat(folder) is not None else []
            yield Removal(
                root=self.root,
                backend=NAME,
                repo_id=self._called(ref),
                repo_type="model",
                path=ref.path,
                revisions=(self._revision(ref),),
                whole=True,
                refs=(ref.path,),
                folders=tuple(folders),
                inside=tuple(path for path in self.there if folders and path.startswith(f"{folder}/")),
                aside=self.path,
                content=() if self.unsure else tuple(path for path in content if path in self.there),
            )

    def leftovers(self) -> Iterator[Leftover]:
        for path in self.there:
            folder, name = os.path.split(path)
            if folder != self.blobs:
                continue
            if name.endswith(PARTIAL):
                yield Leftover(LeftoverKind.INTERRUPTED, path, self._content(path), self._touched(path))
            elif BLOB.fullmatch(name) and not self.needs(path):
                yield Leftover(LeftoverKind.UNUSED, path, self._content(path), self._touched(path))

    def _content(self, path: str) -> Removal:
        return Removal(self.root, NAME, "", "", content=(path,))

    def _touched(self, path: str) -> int:
        stat = self.walk.stat(path)
        return 0 if stat is None else max(stat.st_mtime_ns, stat.st_ctime_ns)

    def has(self, path: str) -> bool:
        """Whether a path is that of a blob of this model, or of one that comes."""
        return os.path.dirname(path) == self.blobs

    def needs(self, path: str) -> bool:
        """Whether a tag names a blob, or may."""
        name = os.path.basename(path)
        used = any(name == file.blob for ref in self.refs for file in ref.files)
        return not name.endswith(PARTIAL) and (self.unsure or used)

    def parts(self, snapshot: Snapshot) -> Iterator[ModelPart]:
        for ref in self.refs:
            if self._called(ref) == snapshot.repo_id:
                for path in (*self._paths(ref), ref.path):
                    if self.walk.stat(path) is not None:
                        yield ModelPart(os.path.relpath(path, self.root), path)


def models(root: str, walk: Walk) -> Iterator[Model]:
    """Every model below a store. One of a single file of a repository lies in the folder of the repository's."""
    found: dict[str, Model] = {}
    for folder in walk.folders(root):
        if folder.path == root:
            folder.folders[:] = [name for name in folder.folders if name in TRANSPORTS]
            continue
        model, part = _model_around(folder.path, root, found)
        if model is not None and part in PARTS:
            files = sorted(set(folder.names).difference(folder.folders))
            model.there += [os.path.join(folder.path, name) for name in files]
            # What cannot be read, or lies behind a link, is never shown.
            model.unsure = model.unsure and part != "refs"
            if part != "refs":
                model.files += [(os.path.join(folder.path, name), stat) for name, stat in folder.files]
        elif is_model(folder.names):
            model = Model(root, os.path.relpath(folder.path, root), walk)
            found[folder.path] = model
    yield from map(_read, found.values())


def _model_around(path: str, root: str, known: dict[str, Model]) -> tuple[Model | None, str]:
    """The innermost of the models that a folder lies in, and which part of it that is."""
    part = ""
    while path != root:
        path, part = os.path.split(path)
        if path in known:
            return known[path], part
    return None, ""


def _read(model: Model) -> Model:
    """The model with its refs."""
    refs = os.path.join(model.path, "refs")
    for path in [path for path in model.there if os.path.dirname(path) == refs]:
        ref = _ref(path, model.walk) if path.endswith(_JSON) else None
        if ref is None:
            model.unsure = True
            model.walk.warn(
                path, "is no ref that can be read: no blob of it counts as unused", kind="damaged"
            )
        else:
            model.refs.append(ref)
    return model


def _ref(path: str, walk: Walk) -> Ref | None:
    data = walk.read_bytes(path, _LIMIT)
    try:
        told: Any = json.loads(data or b"")
        files = tuple(
            File(_plain(one["hash"]), _inside(one["name"]), str(one["type"])) for one in told["files"]
        )
        return Ref(path, os.path.basename(path).removesuffix(_JSON), _plain(told["hash"]), files)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _plain(text: str) -> str:
    """A hash as the name that it has on the disk (``sanitize_filename``). Raises ValueError."""
    name = text.replace(":", "-")
    if not _HASH.fullmatch(name) or name in (".", ".."):
        raise ValueError(text)
    return name


def _inside(text: str) -> str:
    """The name of a file in its snapshot. Raises ValueError for one that would lie elsewhere."""
    parts = text.split("/")
    if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise ValueError(text)
    return text


def named(text: str) -> str | None:
    """A model's name with all that it may leave out; None for what can be none."""
    transport, _, rest = text.partition("://")
    transport = _SHORT.get(transport, transport)
    tag = "latest"
    if rest.rfind(":") > rest.rfind("/"):
        rest, _, tag = rest.rpartition(":")
    parts = rest.split("/")
    fits = transport in TRANSPORTS and _TAG.fullmatch(tag) and len(parts) <= _MOST_PARTS
    plain = all(_PART.fullmatch(part) and part not in (".", "..") and part.isprintable() for part in parts)
    return f"{transport}://{rest}:{tag}" if fits and plain else None


_MOST_PARTS = 16


def place_of(name: str) -> PartPlace | None:
    """Blobs, then snapshots, each as a whole, then refs."""
    parts = name.split("/")
    if parts[0] not in TRANSPORTS or not all(
        _PART.fullmatch(one) and one not in (".", "..") for one in parts
    ):
        return None
    if len(parts) >= 4 and parts[-2] == "blobs" and _HASH.fullmatch(parts[-1]):
        return PartPlace(0)
    if len(parts) >= 4 and parts[-2] == "refs" and parts[-1].endswith(_JSON):
        return PartPlace(2)
    if "snapshots" in parts[2:-2]:
        end = parts.index("snapshots", 2) + 2
        return PartPlace(1, "/".join(parts[:end]))
    return None
