"""Small model files as programs write them: a safetensors header, then numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

SIZE = 1 << 20


def weights(path: Path, seed: int = 1, *, size: int = SIZE) -> Path:
    """A safetensors file of `size` bytes (over a MiB) and a header, the same for the same `seed`."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes([seed]) * size)
    return path


def header_only(path: Path, seed: int = 1) -> Path:
    """A safetensors file of a few hundred bytes, another content for each `seed`; its length is the same for all."""
    header = json.dumps({"__metadata__": {"seed": f"{seed:08}"}}).encode().ljust(256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def twice(folder: Path, *names: str) -> list[tuple[Path, Path]]:
    """Each name in a/ and in b/ below a folder, with one content."""
    pairs = []
    for number, name in enumerate(names, 1):
        one = weights(folder / "a" / name, number)
        other = folder / "b" / name
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(one, other)
        pairs.append((one, other))
    return pairs
