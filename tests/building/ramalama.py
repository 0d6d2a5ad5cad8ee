"""Stores of RamaLama, as its refs, blobs and snapshots lie on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path


def by_content(content: bytes) -> str:
    return f"sha256-{hashlib.sha256(content).hexdigest()}"


def by_name(name: str) -> str:
    """What a file is stored under that the program has no digest of."""
    return by_content(name.encode())


def model(
    store: Path,
    place: str,
    files: Sequence[tuple[str, str, bytes]],
    *,
    tag: str = "latest",
    split: bool = False,
) -> Path:
    """A tag of (name, type, content); of the type other by the sha256 of its name. Its folder.

    With `split`, snapshots have copies of their own, as where the program can make no link.
    """
    folder = store / place
    told = []
    revision = by_content(files[0][2])
    for name, kind, content in files:
        stored = by_name(name) if kind == "other" else by_content(content)
        blob = folder / "blobs" / stored
        shown = folder / "snapshots" / revision / name
        for path in (blob, shown):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        shown.unlink(missing_ok=True)
        if split:
            shown.write_bytes(content)
        else:
            os.link(blob, shown, follow_symlinks=False)
        told.append({"hash": stored.replace("-", ":", 1), "name": name, "type": kind})
    ref = folder / "refs" / f"{tag}.json"
    ref.parent.mkdir(parents=True, exist_ok=True)
    said = {"hash": revision.replace("-", ":", 1), "path": str(ref), "version": "v1.0.1", "files": told}
    ref.write_text(json.dumps(said, indent=2))
    return folder
