"""A plugin of somebody else: the layout "box", with faults to choose from, installed as a distribution of its own.

A box is a folder with a file ``BOX``; a model in it is a folder with ``model.json`` (``{"repo": "acme/boxed", "files":
[...]}``) and these files beside it. ``*.part`` is what an interrupted download left.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hubfold import Capabilities, Replica, Root, StorageBackend, Walk
from hubfold.backend import (
    Folder,
    Gap,
    Leftover,
    LeftoverKind,
    ModelPart,
    Offer,
    OfferedFile,
    PartPlace,
    Removal,
    ShownFile,
)
from hubfold.content import Snapshot, SnapshotFile

#: Every method of the contract that hubfold itself asks.
METHODS = (
    "recognise",
    "default_roots",
    "further",
    "home_root",
    "model_named",
    "notes",
    "vault_places",
    "reached",
    "replicas",
    "snapshots",
    "lock_paths",
    "removals",
    "all_removals",
    "leftovers",
    "gaps",
    "still_needed",
    "content_path",
    "partial_path",
    "parts",
    "place",
    "offers",
    "arranged",
    "shown",
)


def may_fail(method: Callable[..., Any]) -> Callable[..., Any]:
    """Note who calls, and do what `Box.faults` says instead, where it says something."""

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        name = method.__name__
        Box.calls.append((name, sys._getframe(1).f_code.co_filename))
        if name in Box.faults:
            return Box.faults[name]()
        return method(*args, **kwargs)

    return wrapped


class Box(StorageBackend):
    """Written by somebody who keeps the contract, but for its `faults`."""

    name = "box"
    capabilities = Capabilities(cache=True, claims=frozenset({"sha256"}))

    #: By method: what it does instead of what it should.
    faults: ClassVar[dict[str, Callable[[], object]]] = {}
    #: Every call that was made: the method and the file of the caller.
    calls: ClassVar[list[tuple[str, str]]] = []

    @classmethod
    @may_fail
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return path if "BOX" in names else None

    @classmethod
    @may_fail
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        return [os.path.join(environ["HOME"], "box")]

    @classmethod
    @may_fail
    def home_root(cls, home: str) -> str | None:
        return os.path.join(home, "box")

    @may_fail
    def notes(self, root: Root, walk: Walk) -> Iterable[str]:
        return [os.path.join(root.path, "BOX")]

    @may_fail
    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        return ("model", text.removeprefix("box:"), None) if text.startswith("box:") else None

    @may_fail
    def further(self, root: Root, environ: Mapping[str, str]) -> Iterable[str]:
        return ()

    @may_fail
    def vault_places(self, root: Root) -> Sequence[str]:
        return (os.path.join(root.path, ".hubfold"),)

    @may_fail
    def reached(self, root: Root) -> Iterable[str]:
        return ()

    @may_fail
    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        return super().replicas(root, walk)

    def replica(self, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        return super().replica(root, folder, name, stat) if name.endswith(".safetensors") else None

    @may_fail
    def snapshots(self, root: Root, walk: Walk) -> Iterator[Snapshot]:
        for repo, revision, _, files in self._models(root, walk):
            found = tuple(SnapshotFile(os.path.basename(path), path, walk.size(path)) for path in files)
            yield Snapshot(repo, "model", revision, ("main",), os.path.dirname(files[0]), found)

    @may_fail
    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        return ()

    @may_fail
    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Iterator[Removal]:
        return (one for one in self._removals(root, walk) if one.repo_id == repo_id)

    @may_fail
    def all_removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        return self._removals(root, walk)

    @may_fail
    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        for name in walk.listing(root.path):
            if name.endswith(".part"):
                path = os.path.join(root.path, name)
                yield Leftover(
                    LeftoverKind.INTERRUPTED, path, Removal(root.path, self.name, "", "", content=(path,)), 0
                )

    @may_fail
    def gaps(self, root: Root, walk: Walk) -> Iterator[Gap]:
        return iter(())

    @may_fail
    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        return ()

    @may_fail
    def content_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        return None

    @may_fail
    def partial_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        return None

    @may_fail
    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ModelPart]:
        for repo, _, manifest, files in self._models(root, walk):
            if repo == snapshot.repo_id:
                for path in (*files, manifest):
                    yield ModelPart(os.path.relpath(path, root.path), path)

    @may_fail
    def place(self, name: str) -> PartPlace | None:
        if name != os.path.normpath(name) or name.startswith(("/", "..")) or name == ".":
            return None
        return PartPlace(1 if name.endswith(".json") else 0)

    @may_fail
    def offers(self, root: Root, walk: Walk) -> Iterator[Offer]:
        for repo, revision, manifest, files in self._models(root, walk):
            folder = os.path.dirname(manifest)
            offered = (OfferedFile(os.path.basename(path), path, "sha256") for path in files)
            yield Offer(folder, tuple(offered), repo_id=repo, revision=revision)

    @may_fail
    def arranged(self, offer: Offer, refs: Collection[str]) -> Iterator[ModelPart]:
        for file in offer.files:
            yield ModelPart(f"{os.path.basename(offer.path)}/{file.name}", file.path)

    @may_fail
    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        for file in snapshot.files:
            parts = [*snapshot.repo_id.split("/"), *file.name.split("/")]
            if file.name.endswith(".safetensors") and not {"", ".", ".."}.intersection(parts):
                yield ShownFile(f"{snapshot.repo_id.replace('/', '-')}/{file.name}", file.name)

    def _models(self, root: Root, walk: Walk) -> Iterator[tuple[str, str, str, list[str]]]:
        """(repo id, revision, path of its manifest, paths of its files)."""
        for name in walk.listing(root.path):
            manifest = os.path.join(root.path, name, "model.json")
            text = walk.read_text(manifest)
            if text is not None:
                told = json.loads(text)
                files = [os.path.join(root.path, name, file) for file in told["files"]]
                yield told["repo"], hashlib.sha1(text.encode()).hexdigest(), manifest, files

    def _removals(self, root: Root, walk: Walk) -> Iterator[Removal]:
        for repo, revision, manifest, files in self._models(root, walk):
            yield Removal(
                root.path,
                self.name,
                repo,
                "model",
                path=os.path.dirname(manifest),
                revisions=(revision,),
                whole=True,
                refs=(manifest,),
                content=tuple(files),
                empty=(os.path.dirname(manifest),),
            )


def raising(error: BaseException) -> Callable[[], object]:
    """What raises."""

    def fail() -> object:
        raise error

    return fail


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plugin for this process as ``hubfold-box 1.0``, without a fault."""
    info = folder / "hubfold_box-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hubfold-box\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hubfold]\nbox = hubfold_box_module\n")
    (folder / "hubfold_box_module.py").write_text(
        "from hubfold import hookimpl\n"
        "from tests.building.plugin import Box\n\n\n"
        "@hookimpl\ndef hubfold_storage_backends():\n    return [Box]\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(Box, "faults", {})
    monkeypatch.setattr(Box, "calls", [])


def fill(folder: Path, repo_id: str = "acme/boxed", content: bytes = b"boxed" * 1000) -> Path:
    """A box with one model; its file of weights."""
    model = folder / repo_id.rpartition("/")[2]
    model.mkdir(parents=True, exist_ok=True)
    (folder / "BOX").touch()
    weights = model / "model.safetensors"
    weights.write_bytes(content)
    (model / "model.json").write_text(json.dumps({"repo": repo_id, "files": [weights.name]}))
    return weights
