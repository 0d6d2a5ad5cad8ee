"""Builders of trees to scan, for tests and the demo: what is built reads like what lies on the disk.

    with LoopbackHub() as hub:
        hub.add("org/base", model_files("base"))
        tree = Tree(folder, hub)
        tree.build({
            "hf/hub": hub_cache("org/base"),
            "models/base": local_dir("org/base"),
            "backup/base.safetensors": copy_of("models/base/model.safetensors"),
            "notes/readme.txt": b"by hand",
        })

Caches and ``local_dir`` copies are written by the real huggingface_hub, the one of this process or that of
another interpreter (`Tree.python`), so that what is tested is its layout and not our idea of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubfold.testing.loopback_hub import HubFile, LoopbackHub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_DOWNLOAD = (
    "import json, sys; from huggingface_hub import snapshot_download as d; d(**json.loads(sys.argv[1]))"
)
_KINDS = ("dataset", "space", "kernel")


# what a model holds


def safetensors(name: str, size: int = 3 << 20) -> bytes:
    """A valid safetensors file of exactly `size` bytes, always the same for one name.

    All files of one size have the same header, as fine-tunes of one base have.
    """
    tensor = {"weight": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}
    header_size = 4096
    length = size - 8 - header_size
    if length < 0:
        raise ValueError(f"a safetensors file of {size} bytes has no room for its header")
    tensor["weight"] |= {"shape": [length], "data_offsets": [0, length]}
    header = json.dumps(tensor).encode().ljust(header_size)
    return header_size.to_bytes(8, "little") + header + hashlib.shake_128(name.encode()).digest(length)


def fine_tune_of(base: bytes) -> bytes:
    """The same size, header, first and last megabytes; one byte in the middle is another."""
    middle = len(base) // 2
    return base[:middle] + bytes([base[middle] ^ 0xFF]) + base[middle + 1 :]


def model_files(name: str, size: int = 3 << 20) -> dict[str, bytes]:
    """The files of a small model: LFS weights of `size` bytes, and text files that lie in git."""
    return {
        "README.md": f"# {name}\n".encode(),
        "config.json": json.dumps({"model_type": "llama", "name": name}).encode(),
        "model.safetensors": safetensors(name, size),
        "tokenizer/tokenizer.json": json.dumps({"version": "1.0", "of": name}).encode(),
    }


def with_xet_hash(content: bytes) -> HubFile:
    """The content as an LFS file whose tree listing tells its xet hash; `ImportError` without hf_xet."""
    import hf_xet

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        [info] = hf_xet.hash_files([file.name])
    return HubFile(content, lfs=True, xet_hash=info.hash)


# what a tree holds


@dataclass(frozen=True, slots=True)
class Part:
    """One entry of a tree; made by the functions below."""

    kind: str
    sources: tuple[str, ...] = ()
    cache: str | None = None
    shared: bool = False
    size: int = 0


def hub_cache(*repositories: str, shared: bool = False) -> Part:
    """A hub cache with these downloads: ``org/name``, ``org/name@revision``, ``datasets/org/name``.

    `shared`: files with a xet hash are moved to HF's shared store, as a download by Xet does from 1.32.0 on.
    """
    return Part("hub_cache", repositories, shared=shared)


def local_dir(repository: str, *, cache: str | None = None) -> Part:
    """A ``local_dir`` download; `cache` is the entry of the tree that the client has for its cache then."""
    return Part("local_dir", (repository,), cache)


def copy_of(path: str) -> Part:
    """A copy of a file or folder of the tree, symlinks as symlinks, with its times."""
    return Part("copy_of", (path,))


def link_to(text: str) -> Part:
    """A symlink with this text."""
    return Part("link_to", (text,))


def hardlink_of(path: str) -> Part:
    """One more name of a file of the tree."""
    return Part("hardlink_of", (path,))


def sparse(size: int) -> Part:
    """A file of `size` bytes that takes no space."""
    return Part("sparse", size=size)


@dataclass(slots=True)
class Tree:
    """A folder that is being filled. ``tree["a/b"]`` is the path of an entry."""

    folder: Path
    hub: LoopbackHub
    #: The interpreter whose huggingface_hub downloads; None for this process.
    python: str | None = None
    entries: dict[str, Part | bytes] = field(default_factory=dict)

    def __getitem__(self, path: str) -> Path:
        return self.folder / path

    def build(self, entries: Mapping[str, Part | bytes]) -> Tree:
        """Make the entries in their order; an entry may use those before it."""
        for name, entry in entries.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry, bytes):
                path.write_bytes(entry)
            else:
                getattr(self, f"_{entry.kind}")(path, entry)
            self.entries[name] = entry
        return self

    def sync(self, path: str) -> None:
        """Download once more what was downloaded at this entry, as a user does who wants it up to date."""
        part = self.entries[path]
        if not isinstance(part, Part) or part.kind not in ("hub_cache", "local_dir"):
            raise ValueError(f"{path!r} is no download")
        getattr(self, f"_{part.kind}")(self.folder / path, part)

    def _hub_cache(self, path: Path, part: Part) -> None:
        path.mkdir(exist_ok=True)
        for repository in part.sources:
            self._download(repository, cache_dir=str(path))
            if part.shared:
                share(path, self.hub, repository)

    def _local_dir(self, path: Path, part: Part) -> None:
        # The client writes the ref into its cache as well: into none of the tree's unless that is asked for.
        with tempfile.TemporaryDirectory() as elsewhere:
            cache = str(self.folder / part.cache) if part.cache is not None else elsewhere
            self._download(part.sources[0], cache_dir=cache, local_dir=str(path))

    def _copy_of(self, path: Path, part: Part) -> None:
        source = self.folder / part.sources[0]
        if source.is_dir():
            shutil.copytree(source, path, symlinks=True)
        else:
            shutil.copy2(source, path)

    def _link_to(self, path: Path, part: Part) -> None:
        path.symlink_to(part.sources[0])

    def _hardlink_of(self, path: Path, part: Part) -> None:
        path.hardlink_to(self.folder / part.sources[0])

    def _sparse(self, path: Path, part: Part) -> None:
        with path.open("wb") as file:
            file.truncate(part.size)

    def _download(self, repository: str, **places: str) -> None:
        repo_type, repo_id, revision = parse_repository(repository)
        asked = {
            "repo_id": repo_id,
            "repo_type": repo_type,
            "revision": revision,
            "endpoint": self.hub.endpoint,
        }
        if self.python is not None:
            environ = {**os.environ, **self.hub.environ()}
            asked_for = json.dumps({**asked, **places})
            subprocess.run([self.python, "-c", _DOWNLOAD, asked_for], env=environ, check=True)
            return
        with _quiet_client():
            from huggingface_hub import snapshot_download

            arguments: dict[str, Any] = {**asked, **places, "token": False}
            snapshot_download(**arguments)


def parse_repository(text: str) -> tuple[str, str, str]:
    """(repo_type, repo_id, revision) of ``[datasets/|spaces/|kernels/]<id>[@<revision>]``."""
    name, _, revision = text.partition("@")
    for kind in _KINDS:
        if name.startswith(f"{kind}s/"):
            return kind, name.removeprefix(f"{kind}s/"), revision or "main"
    return "model", name, revision or "main"


def repository_folder(cache: Path, repository: str) -> Path:
    """Where `repository` (see `parse_repository`) lies in a hub cache."""
    repo_type, repo_id, _ = parse_repository(repository)
    return cache / f"{repo_type}s--{repo_id.replace('/', '--')}"


def has_shared_store() -> bool:
    """Whether the huggingface_hub of this process keeps a shared store (1.32.0 and later)."""
    try:
        import huggingface_hub.utils._shared_blobs  # noqa: F401
    except ImportError:
        return False
    return True


def share(cache: Path, hub: LoopbackHub, repository: str) -> Sequence[Path]:
    """Move a repository's xet files to the shared store with the client's own code; returns the payloads.

    `ImportError` if the client has none (see `has_shared_store`).
    """
    from huggingface_hub.utils import _shared_blobs

    repo_type, repo_id, revision = parse_repository(repository)
    payloads = []
    for file in hub.files(repo_id, revision, repo_type=repo_type).values():
        if file.xet_hash is None:
            continue
        blob = repository_folder(cache, repository) / "blobs" / file.etag
        done = blob.is_symlink() or _shared_blobs.publish_blob_to_shared_store(
            blob_path=str(blob), xet_hash=file.xet_hash, cache_dir=str(cache), expected_size=file.size
        )
        if not done:
            raise OSError(f"the client did not publish {blob} to its shared store")
        payloads.append(_shared_blobs.shared_blob_path(cache, file.xet_hash))
    return payloads


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """The client of this process without progress bars and without Xet, as `LoopbackHub.environ` has it."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    bars, xet = are_progress_bars_disabled(), getattr(constants, "HF_HUB_DISABLE_XET", True)
    disable_progress_bars()
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = xet
        if not bars:
            enable_progress_bars()
