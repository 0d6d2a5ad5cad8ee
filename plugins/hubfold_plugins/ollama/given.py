"""Models of a cache as a store of Ollama has them, under the name by which ``ollama pull hf.co/…`` would have them.

``hf.co/<org>/<name>:<tag>`` for each GGUF file, where the tag is its quantisation, as the Hub's own registry has it,
and where two files have the same one what the file is called. Its blobs are the file itself, the projector of the
repository where there is one, and a note of what it is (``ConfigV2`` of types/model/config.go, as far as the server
reads it before it has read the file). No template is made up: the server takes the one that it knows from the file, or
hands the prompt on as it is. Models in several parts are left out, since the server imports single files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING

from hubfold_plugins import flat
from hubfold_plugins.ollama.layout import BLOB, BLOBS, MANIFESTS
from hubfold_plugins.ollama.names import of_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hubfold.backend.changes import ShownFile
    from hubfold.content import Snapshot, SnapshotFile

_HOST = "hf.co"
_MEDIA = "application/vnd.ollama.image."
_CONFIG = "application/vnd.docker.container.image.v1+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
#: ``Q4_K_M``, ``IQ2_XXS``, ``UD-Q4_K_XL``, ``BF16``, … at the end of a file's name.
_QUANTISATION = re.compile(r"(?:^|[-_.])((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|B?F16|F32|MXFP4\w*))$", re.IGNORECASE)


def shown(snapshot: Snapshot) -> Iterator[ShownFile]:
    """Where the files of a model belong, with their manifests."""
    from hubfold.backend.changes import ShownFile

    if snapshot.repo_type != "model" or not flat.hub_name(snapshot.repo_id):
        return
    named = {file.name: file for file in snapshot.files}
    models, projectors = flat.single_gguf(snapshot)
    projector = next((named[name] for name in projectors if _digest(named[name])), None)
    tags = [_tag(name) for name in models]
    blobs: set[str] = set()
    for name, tag in zip(models, tags, strict=True):
        place = _place(snapshot.repo_id, tag if tags.count(tag) == 1 else _stem(name))
        file = named[name]
        if not place or not _digest(file):
            continue
        files = [file] if projector is None else [file, projector]
        config = _config(files, tag)
        for one in files:
            if _digest(one) not in blobs:
                blobs.add(_digest(one))
                yield flat.shown(_blob(_digest(one)), one.name)
        digest = hashlib.sha256(config.encode()).hexdigest()
        if digest not in blobs:
            blobs.add(digest)
            yield ShownFile(_blob(digest), content=config)
        yield ShownFile(place, content=_manifest(files, config))


def _digest(file: SnapshotFile) -> str:
    """The sha256 by which the store names the file; "" where nobody states it, or how large it is."""
    digest = file.claims.get("sha256", "") if file.size is not None else ""
    return digest if BLOB.fullmatch(f"sha256-{digest}") else ""


def _blob(digest: str) -> str:
    return f"{BLOBS}/sha256-{digest}"


def _stem(name: str) -> str:
    return os.path.splitext(os.path.basename(name))[0]


def _tag(name: str) -> str:
    stem = _stem(name)
    found = _QUANTISATION.search(stem)
    return found[1] if found else stem


def _place(repo_id: str, tag: str) -> str:
    """Where the manifest of the model lies; "" for a name that Ollama would not take."""
    parts = [_HOST, *repo_id.split("/"), tag]
    return "/".join((MANIFESTS, *parts)) if of_parts(parts) is not None else ""


def _config(files: Sequence[SnapshotFile], tag: str) -> str:
    layers = [f"sha256:{_digest(file)}" for file in files]
    told = {
        "model_format": "gguf",
        "model_family": "",
        "model_families": None,
        "model_type": "",
        "file_type": tag if _QUANTISATION.search(tag) else "",
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": layers},
    }
    return json.dumps(told, separators=(",", ":"))


def _manifest(files: Sequence[SnapshotFile], config: str) -> str:
    data = config.encode()
    kinds = ("model", "projector")
    told = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _layer(_CONFIG, hashlib.sha256(data).hexdigest(), len(data)),
        "layers": [
            _layer(_MEDIA + kind, _digest(file), file.size or 0)
            for kind, file in zip(kinds, files, strict=False)
        ],
    }
    return json.dumps(told, separators=(",", ":"))


def _layer(media: str, sha256: str, size: int) -> dict[str, object]:
    return {"mediaType": media, "digest": f"sha256:{sha256}", "size": size}
