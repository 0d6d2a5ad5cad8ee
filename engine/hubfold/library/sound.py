"""Whether a file can be what it is called: told by little of it.

Where no listing says how long it is:

- A file with weights that has no bytes is none.
- A safetensors file is as long as its header says: an unsigned 64-bit length, a JSON object of that length with
  ``data_offsets`` for each tensor, and the bytes up to the last of them (the format's README).

And in any case: a small file whose layout states a digest is read and hashed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from hubfold.content import SnapshotFile
from hubfold.disk import open_flags

#: Files up to this many bytes are hashed: those that say what a model is.
SMALL = 64 << 10
#: A header of 10,000 tensors takes about 1 MB.
_MOST_HEADER = 100_000_000
_OFFSETS = re.compile(rb'"data_offsets"\s*:\s*\[\s*(\d{1,18})\s*,\s*(\d{1,18})\s*\]')
_NEVER_EMPTY = (
    ".bin",
    ".ckpt",
    ".gguf",
    ".h5",
    ".msgpack",
    ".onnx",
    ".pt",
    ".pth",
    ".safetensors",
)


def fault(file: SnapshotFile) -> str | None:
    """How a file of unknown length cannot be what it is called; None where nothing speaks against it.

    Reads its header at the most, or a small file.
    """
    if file.size is None:
        return None
    name = file.name.lower()
    if file.size == 0:
        return "is empty" if name.endswith(_NEVER_EMPTY) else None
    try:
        found = _by_header(file.path, file.size) if name.endswith(".safetensors") else None
    except OSError:
        return None  # that it cannot be read is told by whoever asks that
    return found or small(file)


def small(file: SnapshotFile) -> str | None:
    """How a small file does not have the bytes that its layout states; None for any other."""
    if file.size is None or file.size > SMALL or not file.claims:
        return None
    try:
        return _by_digest(file)
    except OSError:
        return None


def _by_header(path: str, size: int) -> str | None:
    if size < 8:
        return f"has {size} bytes, too few for a safetensors file"
    with _opened(path) as fd:
        first = os.pread(fd, 9, 0)
        length = int.from_bytes(first[:8], "little")
        if first[8:] != b"{" or not 2 <= length <= _MOST_HEADER:
            return None  # no safetensors file, whatever its name
        if 8 + length > size:
            return f"has {size} bytes, and its header alone takes {8 + length}"
        header = os.pread(fd, length, 8)
    ends = [int(end) for _, end in _OFFSETS.findall(header)]
    expected = 8 + length + max(ends, default=0)
    return None if expected == size else f"has {size} bytes instead of the {expected} that its header says"


def _by_digest(file: SnapshotFile) -> str | None:
    with _opened(file.path) as fd:
        data = os.pread(fd, SMALL + 1, 0)
    digests = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "git-sha1": hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest(),
    }
    for algorithm, value in file.claims.items():
        if digests.get(algorithm, value) != value:
            return f"is corrupt: its bytes are not the {algorithm} that it should have"
    return None


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """The descriptor of a regular file; `OSError` for anything else."""
    fd = os.open(path, open_flags.READ | open_flags.NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is no file")
        yield fd
    finally:
        os.close(fd)
