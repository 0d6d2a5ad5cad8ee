"""What the first bytes of a file say it is.

Sources of the numbers: the safetensors README (an unsigned 64-bit length, then a JSON object), ggml/docs/gguf.md and
llama.cpp before GGUF (``GGML``, ``GGMF``, ``GGJT`` as little-endian numbers), the HDF5 and NumPy file formats, PKWARE's
APPNOTE (torch.save since 1.6, .npz, .keras), Python's pickletools (PROTO), the TensorFlow Lite schema (``TFL3`` at 4),
ELF, Mach-O, PE and what else is no model as in file(1), SQLite's file format.
"""

from __future__ import annotations

import os
import stat

from hubfold.disk import open_flags

#: How much of a file is looked at.
HEAD = 4096

_SAFETENSORS_MOST = 100_000_000
_MODELS = (
    b"GGUF",
    b"lmgg",
    b"fmgg",
    b"tjgg",
    b"\x89HDF\r\n\x1a\n",
    b"\x93NUMPY",
    b"PK\x03\x04",
    *(bytes((0x80, protocol)) for protocol in range(2, 6)),
)
#: What no program has its own way of beginning with but a model.
_ONLY_MODELS = _MODELS[:4]
_OTHERS = {
    b"\x7fELF": "a program or a library",
    b"MZ": "a program or a library",
    b"\xcf\xfa\xed\xfe": "a program or a library",
    b"\xca\xfe\xba\xbe": "a program or a library",
    b"#!": "a script",
    b"SQLite format 3\0": "a database",
    b"%PDF": "a document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\0" + b"\xff" * 10 + b"\0": "a disc image",
    b"QFI\xfb": "a disc image",
    b"PACK\0\0\0": "a pack of git's",
}

_OTHER_MAGIC = tuple(_OTHERS)


def head(path: str) -> bytes:
    """The first `HEAD` bytes of a regular file. Raises `OSError`; what is no regular file has none."""
    fd = os.open(path, open_flags.READ | open_flags.NOFOLLOW | open_flags.NONBLOCK)
    try:
        return os.read(fd, HEAD) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def is_blank(first: bytes) -> bool:
    """Whether nothing is written where the header of any format would be: preallocated, or a hole."""
    return not first[:1].strip(b"\0") and not first.strip(b"\0")


def other_than_a_model(first: bytes) -> str | None:
    """What a file is that is certainly no model."""
    if not first.startswith(_OTHER_MAGIC):
        return None
    return next(what for magic, what in _OTHERS.items() if first.startswith(magic))


def may_be_a_model(first: bytes) -> bool:
    """Whether it begins as files with weights do; some of these formats hold other things too."""
    return first.startswith(_MODELS) or is_a_model(first) or first[257:262] == b"ustar"


def is_a_model(first: bytes) -> bool:
    """Whether it begins as only models do, whatever its name."""
    length = int.from_bytes(first[:8], "little")
    safetensors = first[8:9] == b"{" and 2 <= length <= _SAFETENSORS_MOST
    return safetensors or first.startswith(_ONLY_MODELS) or first[4:8] == b"TFL3"
