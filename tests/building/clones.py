"""Clones as git and git-lfs leave them, written by hand: no program is needed, and none is waited for."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.building.tree import write

COMMIT = "c" * 40
#: Long before the index is written: what was touched with it in one instant is known by nobody.
BEFORE_NS = 1_700_000_000_123_456_789


def pointer(data: bytes) -> bytes:
    """What git has in place of a file."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n".encode()


def is_of_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".dat"))


def stored(lfs: Path, data: bytes) -> Path:
    """An object of the store `lfs`."""
    oid = hashlib.sha256(data).hexdigest()
    path = lfs / "objects" / oid[:2] / oid[2:4] / oid
    write(str(path), data)
    return path


def clone(
    folder: Path,
    files: Mapping[str, bytes],
    *,
    remote: str = "https://huggingface.co/org/cloned",
    git: Path | None = None,
    fetched: bool = True,
) -> Path:
    """A work tree of `files` with its index; the large ones in the store, too, where they were `fetched`.

    `git` is its git folder where that lies elsewhere.
    """
    own = folder / ".git" if git is None else git
    for name, text in {
        "HEAD": "ref: refs/heads/main\n",
        "refs/heads/main": f"{COMMIT}\n",
        "config": f'[remote "origin"]\n\turl = {remote}\n[lfs]\n\trepositoryformatversion = 0\n',
    }.items():
        write(str(own / name), text.encode())
    if git is not None:
        write(str(folder / ".git"), f"gitdir: {os.path.relpath(git, folder)}\n".encode())
    for name, data in files.items():
        large = is_of_lfs(name)
        write(str(folder / name), data if fetched or not large else pointer(data), mtime_ns=BEFORE_NS)
        if large and fetched:
            stored(own / "lfs", data)
    (own / "lfs" / "objects").mkdir(parents=True, exist_ok=True)
    write_index(folder, own, files)
    return folder


def write_index(folder: Path, git: Path, files: Mapping[str, bytes]) -> None:
    """git's index of `files` as they lie there now: git took them for what they are."""
    entries = b"".join(
        _entry(folder / name, name, pointer(data) if is_of_lfs(name) else data)
        for name, data in sorted(files.items())
    )
    tree = struct.pack(">4sI", b"TREE", 25) + b"\0" + b"%d 0\n" % len(files) + bytes(20)
    data = struct.pack(">4sII", b"DIRC", 2, len(files)) + entries + tree
    (git / "index").write_bytes(data + hashlib.sha1(data).digest())


def _entry(path: Path, name: str, data: bytes) -> bytes:
    st = path.lstat()
    times = [*divmod(st.st_ctime_ns, 10**9), *divmod(st.st_mtime_ns, 10**9)]
    numbers = [*times, st.st_dev, st.st_ino, 0o100644, st.st_uid, st.st_gid, st.st_size]
    sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).digest()
    written = os.fsencode(name)
    head = struct.pack(">10I", *(number & 0xFFFFFFFF for number in numbers)) + sha1
    entry = head + struct.pack(">H", len(written)) + written
    return entry + bytes(8 - len(entry) % 8)
