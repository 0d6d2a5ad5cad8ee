"""What git and git-lfs write down in a repository, read as text and bytes.

- ``HEAD``, ``packed-refs``, ``config``: gitrepository-layout(5), git-config(1).
- ``index``: gitformat-index(5), versions 2 to 4. Of each file it has what ``stat`` said when git last looked.
- A *pointer* is what git has in place of a file of git-lfs (its ``docs/spec.md``)::

      version https://git-lfs.github.com/spec/v1
      oid sha256:<64 hex>
      size <bytes>

- ``.git`` is a file in a work tree that was added and in a submodule: ``gitdir: <path>``.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold_plugins.huggingface.hub_metadata import COMMIT

if TYPE_CHECKING:
    from hubfold.backend.contract import Walk

#: What git has for a file of git-lfs, as git-lfs writes it.
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n"
)
#: Names of submodules may have slashes, and submodules their own: so many folders deep.
DEEP = 4
LONGEST_POINTER = 1024
SHORTEST_POINTER = len(POINTER.format(sha256="0" * 64, size="0"))
#: Of one without the lines of extensions.
LONGEST_PLAIN_POINTER = len(POINTER.format(sha256="0" * 64, size="0" * 18))
INDEX_LIMIT = 64 << 20
_HUB_HOSTS = ("huggingface.co", "hf.co")
_REMOTE = re.compile(
    r"(?:https?://(?:[^@/]*@)?|ssh://(?:[^@/]*@)?|[^@/]+@)([^:/]+)(?::\d+)?[:/](.+?)(?:\.git)?/?"
)
_KINDS = {"datasets": "dataset", "spaces": "space"}
_SECOND = 1_000_000_000
#: Sizes and inodes are written with so many bits.
_BITS = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Pointer:
    """What stands in git for a file: its sha256 and its bytes by length."""

    oid: str
    size: int

    @property
    def git_object(self) -> str:
        """The sha1 that git knows the pointer by, written as git-lfs writes it."""
        data = POINTER.format(sha256=self.oid, size=self.size).encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of git's index: its path, the sha1 that git knows it by, and what `stat` said of it then."""

    name: str
    sha1: str
    size: int = 0
    inode: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0

    @property
    def latest_ns(self) -> int:
        """A file that was written later is another than git knew."""
        return self.mtime_ns if self.mtime_ns % _SECOND else self.mtime_ns + _SECOND - 1

    def is_of(self, stat: os.stat_result, index_mtime_ns: int) -> bool:
        """Whether git itself takes the file for the one that it knows, without reading it.

        Nobody knows where it was touched when the index was written, or later: a write in the same instant shows in no
        time.
        """
        return (
            _same_time(self.mtime_ns, stat.st_mtime_ns)
            and _same_time(self.ctime_ns, stat.st_ctime_ns)
            and self.inode == stat.st_ino & _BITS
            and self.size == stat.st_size & _BITS
            and self.mtime_ns < index_mtime_ns - (0 if self.mtime_ns % _SECOND else _SECOND)
        )


def _same_time(noted: int, now: int) -> bool:
    """Some builds of git, and other programs, note whole seconds."""
    return noted == now or (noted % _SECOND == 0 and noted == now - now % _SECOND)


def pointer_at(path: str, size: int, walk: Walk) -> Pointer | None:
    """What a file of `size` bytes stands for, where it is a pointer whose content was not fetched; else None."""
    if not SHORTEST_POINTER <= size <= LONGEST_POINTER:
        return None
    data = walk.read_bytes(path, LONGEST_POINTER)
    found = None if data is None else _POINTER.fullmatch(data.decode("utf-8", "replace"))
    return None if found is None else Pointer(found[1], int(found[2]))


def head(git: str, common: str, walk: Walk) -> tuple[str, str]:
    """(commit, branch) that is checked out; "" for what cannot be told. `common` has the branches of all work trees."""
    text = (walk.read_text(os.path.join(git, "HEAD"), 4096) or "").strip()
    if COMMIT.fullmatch(text):
        return text, ""
    ref = text.removeprefix("ref: ")
    if ref == text or not re.fullmatch(r"refs/heads/[^\s\0]+", ref) or ".." in ref:
        return "", ""
    loose = walk.read_text(os.path.join(common, *ref.split("/")), 4096)
    commit = (loose or "").strip()
    for line in (walk.read_text(os.path.join(common, "packed-refs"), 16 << 20) or "").splitlines():
        if not commit and line.endswith(f" {ref}"):
            commit = line.partition(" ")[0]
    return (commit, ref.removeprefix("refs/heads/")) if COMMIT.fullmatch(commit) else ("", "")


def settings(config: str) -> dict[tuple[str, str], str]:
    """The first value of each (section as it is written, name) of a file of git's settings; includes are not read."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    for line in map(str.strip, config.splitlines()):
        if line.startswith("["):
            section, _, line = line[1:].partition("]")
        name, is_set, value = line.partition("=")
        if is_set and not line.startswith(("#", ";")):
            found.setdefault((section.strip(), name.strip().lower()), value.strip().strip('"'))
    return found


def remote(config: str) -> str:
    """The address of ``origin``, else of the first remote."""
    found = {
        section: value
        for (section, name), value in settings(config).items()
        if name == "url" and re.fullmatch(r'remote "(.+)"', section)
    }
    return found.get('remote "origin"') or next(iter(found.values()), "")


def repository(address: str) -> tuple[str, str]:
    """(type, repo id) of the Hub that an address names; an empty id for one of another host."""
    match = _REMOTE.fullmatch(address)
    if match is None or match[1] not in _HUB_HOSTS:
        return "model", ""
    kind, _, rest = match[2].partition("/")
    repo_type, repo_id = (_KINDS[kind], rest) if kind in _KINDS else ("model", match[2])
    return (repo_type, repo_id) if 1 <= len(repo_id.split("/")) <= 2 and repo_id else ("model", "")


def folder_of(top: str, text: str) -> str:
    """The git folder that the file ``.git`` of the work tree `top` names; "" where it names none."""
    line = text.split("\n", 1)[0]
    return _joined(top, line.removeprefix("gitdir:").strip()) if line.startswith("gitdir:") else ""


def common_of(git: str, text: str | None) -> str:
    """The git folder that the work trees of a repository share, by the text of ``commondir``; else `git` itself."""
    return _joined(git, text.strip()) if text and text.strip() else git


def storage_of(common: str, config: str) -> str:
    """The folder that git-lfs keeps its objects in, by ``lfs.storage``."""
    named = settings(config).get(("lfs", "storage"), "")
    return _joined(common, named) if named and not named.startswith("~") else os.path.join(common, "lfs")


def _joined(folder: str, text: str) -> str:
    return "" if "\0" in text or not text else os.path.normpath(os.path.join(folder, text))


def read_index(data: bytes) -> tuple[list[Entry], bool]:
    """The files of git's index, and whether it is as some commit has it.

    git writes the ids of the trees beside (``TREE``), and takes that of the root back once something is staged.
    """
    try:
        return _index_entries(data)
    except (struct.error, ValueError, IndexError):
        return [], False


def _index_entries(data: bytes) -> tuple[list[Entry], bool]:
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index that is known")
    at, found, name = 12, [], b""
    for _ in range(count):
        times = struct.unpack_from(">10I", data, at)
        sha1 = data[at + 40 : at + 60].hex()
        flags = struct.unpack_from(">H", data, at + 60)[0]
        start = at + (64 if version >= 3 and flags & 0x4000 else 62)
        if version == 4:
            strip, start = _varint(data, start)
            end = data.index(b"\0", start)
            name = name[: len(name) - strip] + data[start:end]
            at = end + 1
        else:
            end = data.index(b"\0", start)
            name = data[start:end]
            at += (end - at + 8) // 8 * 8
        entry = _entry(name.decode("utf-8", "surrogateescape"), sha1, times)
        if entry is not None:
            found.append(entry)
    while at + 8 <= len(data) - 20:
        kind, size = struct.unpack_from(">4sI", data, at)
        if kind == b"TREE":
            root = data[at + 8 : at + 8 + size].partition(b"\0")[2]
            return found, not root.startswith(b"-")
        at += 8 + size
    return found, False


def _entry(name: str, sha1: str, times: tuple[int, ...]) -> Entry | None:
    """A regular file; None for a link, a submodule, and a name that git itself has no file of."""
    ctime, ctime_ns, mtime, mtime_ns, _, inode, mode, _, _, size = times
    parts = name.split("/")
    if mode & 0o170000 != 0o100000 or any(
        part in ("", ".", "..") or part.lower() == ".git" for part in parts
    ):
        return None
    times_ns = mtime * _SECOND + mtime_ns, ctime * _SECOND + ctime_ns
    return Entry(name, sha1, size, inode, *times_ns)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, what follows) of an offset as pack files have it."""
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, at + 1
