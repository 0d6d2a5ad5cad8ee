"""What a folder is as a model of the Hub: a download with its notes, a clone, or a copy that says nothing.

- *A download* (`hubfold_plugins/huggingface/local_dir`): its notes tell the commit and each etag, not the repository.
- *A clone*: ``.git/HEAD``, ``.git/config`` and ``.git/index`` tell repository, commit and files. An LFS file has the
  sha1 of its pointer in the index (git-lfs, ``docs/spec.md``)::

      version https://git-lfs.github.com/spec/v1
      oid sha256:<64 hex>
      size <bytes>

  so which of the two a file is shows once it is read (`OfferedFile.git_object`).
- *Any other folder*: files only. By what the Hub knows a file: ``.gitattributes`` (``filter=lfs``) where it came along,
  else what the Hub gives a new repository; and no file of more than 10 MiB is in git itself.
"""

from __future__ import annotations

import fnmatch
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold.backend.changes import Offer, OfferedFile
from hubfold_plugins.huggingface.hub_metadata import COMMIT

if TYPE_CHECKING:
    from collections.abc import Collection

    from hubfold.backend.contract import Folder, Walk
    from hubfold.content import Snapshot
    from hubfold_plugins.huggingface.hub_metadata import Download, TreeFile

#: The largest file that the Hub takes as a plain git file, in bytes.
_LARGEST_OF_GIT = 10 << 20
#: Suffixes that the Hub's own first ``.gitattributes`` of a repository gives to LFS.
_OF_LFS = re.compile(
    r".*\.(7z|arrow|bin|bz2|ckpt|ftz|gguf|gz|h5|joblib|mlmodel|model|msgpack|np[yz]|onnx|ot|parquet|pb|pickle|pkl|pth?|rar"
    r"|safetensors|tar|tflite|tgz|wasm|xz|zip|zst)"
)
_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\n(.*\n)*?oid sha256:[0-9a-f]{64}\nsize \d+\n"
)
_LONGEST_POINTER = 1024
_HUB_HOSTS = ("huggingface.co", "hf.co")
_REMOTE = re.compile(
    r"(?:https?://(?:[^@/]*@)?|ssh://(?:[^@/]*@)?|[^@/]+@)([^:/]+)(?::\d+)?[:/](.+?)(?:\.git)?/?"
)
_KINDS = {"datasets": "dataset", "spaces": "space"}
#: Nobody's model: what tools leave in any folder.
_STRAY = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore"})
_INDEX_LIMIT = 64 << 20


def of_download(
    snapshot: Snapshot, downloads: Mapping[str, Download], listing: Mapping[str, TreeFile], text: str
) -> Offer:
    """A folder that a client filled: the revision that it holds, each file with the etag that was noted of it."""
    files = []
    for file in snapshot.files:
        claims = listing[file.name].claims if file.name in listing else downloads[file.name].claims
        algorithm = "sha256" if "sha256" in claims else "git-sha1"
        files.append(OfferedFile(file.name, file.path, algorithm, {algorithm: claims[algorithm]}))
    there = {file.name for file in snapshot.files if file.size is not None}
    return Offer(
        snapshot.path,
        tuple(file for file in files if file.name in there),
        repo_id=snapshot.repo_id,
        repo_type=snapshot.repo_type,
        revision=snapshot.revision,
        told_by="the notes of its download",
        missing=tuple(sorted((snapshot.expected or downloads).keys() - there)),
        listing=text,
    )


def of_folder(path: str, walk: Walk) -> Offer | None:
    """A clone or a plain copy; None for a folder without a file."""
    names = walk.listing(path)
    clone = _clone(path, walk) if ".git" in names else None
    files = _files(path, walk)
    return clone or (Offer(path, files) if files else None)


# plain copies


def _files(top: str, walk: Walk) -> tuple[OfferedFile, ...]:
    patterns = _lfs_patterns(walk.read_text(os.path.join(top, ".gitattributes")))
    found = []
    for folder in walk.folders(top):
        folder.folders[:] = [name for name in folder.folders if not name.startswith(".")]
        below = folder.path[len(top) :].lstrip("/")
        for name in sorted(_names(folder)):
            path = os.path.join(folder.path, name)
            size = walk.size(path)
            if size is None or name in _STRAY or name.startswith(".hubfold") or _is_pointer(path, size, walk):
                continue
            inside = f"{below}/{name}".lstrip("/")
            lfs = size > _LARGEST_OF_GIT or _is_of_lfs(inside, patterns)
            found.append(OfferedFile(inside, path, "sha256" if lfs else "git-sha1"))
    return tuple(found)


def _names(folder: Folder) -> Collection[str]:
    return set(folder.names).difference(folder.folders) - {".git"}


def _is_pointer(path: str, size: int, walk: Walk) -> bool:
    """Whether a file stands for one that was not fetched."""
    if not 100 < size <= _LONGEST_POINTER:
        return False
    data = walk.read_bytes(path, _LONGEST_POINTER)
    return data is not None and _POINTER.fullmatch(data.decode("utf-8", "replace")) is not None


def _lfs_patterns(text: str | None) -> list[str] | None:
    """What the folder's own rules give to LFS; None where it has none."""
    if text is None:
        return None
    lines = (line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [words[0] for words in lines if "filter=lfs" in words[1:]]


def _is_of_lfs(name: str, patterns: list[str] | None) -> bool:
    if patterns is None:
        return _OF_LFS.fullmatch(name) is not None
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    """gitattributes(5): without a slash the last component, else the whole path."""
    pattern = pattern.removeprefix("**/")
    subject = name if "/" in pattern else name.rpartition("/")[2]
    return fnmatch.fnmatchcase(subject, pattern.lstrip("/"))


# clones


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of git's index: its path, and the sha1 that git knows it by."""

    name: str
    sha1: str


def _clone(path: str, walk: Walk) -> Offer | None:
    git = os.path.join(path, ".git")
    commit, branch = _head(git, walk)
    data = walk.read_bytes(os.path.join(git, "index"), _INDEX_LIMIT)
    if not commit or data is None:
        return None
    entries, settled = _read_index(data)
    remote = _remote(walk.read_text(os.path.join(git, "config")) or "")
    repo_type, repo_id = _repository(remote)
    files, missing = [], []
    for entry in entries:
        place = os.path.join(path, *entry.name.split("/"))
        size = walk.size(place)
        if size is None or _is_pointer(place, size, walk):
            missing.append(entry.name)
        else:
            files.append(OfferedFile(entry.name, place, "git-sha1", git_object=entry.sha1))
    against = "" if settled else "its index has changes that are not committed"
    return Offer(
        path,
        tuple(files),
        repo_id=repo_id,
        repo_type=repo_type,
        revision=commit,
        ref=branch,
        told_by=f"its clone of {remote}" if repo_id else "its clone",
        missing=tuple(missing),
        against=against,
    )


def _head(git: str, walk: Walk) -> tuple[str, str]:
    """(commit, branch) that is checked out; "" for what cannot be told."""
    head = (walk.read_text(os.path.join(git, "HEAD"), 4096) or "").strip()
    if COMMIT.fullmatch(head):
        return head, ""
    ref = head.removeprefix("ref: ")
    if ref == head or not re.fullmatch(r"refs/heads/[^\s\0]+", ref) or ".." in ref:
        return "", ""
    loose = walk.read_text(os.path.join(git, *ref.split("/")), 4096)
    commit = (loose or "").strip()
    for line in (walk.read_text(os.path.join(git, "packed-refs"), 16 << 20) or "").splitlines():
        if not commit and line.endswith(f" {ref}"):
            commit = line.partition(" ")[0]
    return (commit, ref.removeprefix("refs/heads/")) if COMMIT.fullmatch(commit) else ("", "")


def _remote(config: str) -> str:
    """The address of ``origin``, else of the first remote."""
    found: dict[str, str] = {}
    section = ""
    for line in map(str.strip, config.splitlines()):
        if line.startswith("["):
            section = line
        name, _, value = line.partition("=")
        match = re.fullmatch(r'\[remote "(.+)"\]', section)
        if match and name.strip() == "url":
            found.setdefault(match[1], value.strip())
    return found.get("origin") or next(iter(found.values()), "")


def _repository(remote: str) -> tuple[str, str]:
    """(type, repo id) of the Hub that an address names; an empty id for one of another host."""
    match = _REMOTE.fullmatch(remote)
    if match is None or match[1] not in _HUB_HOSTS:
        return "model", ""
    kind, _, rest = match[2].partition("/")
    repo_type, repo_id = (_KINDS[kind], rest) if kind in _KINDS else ("model", match[2])
    return (repo_type, repo_id) if 1 <= len(repo_id.split("/")) <= 2 and repo_id else ("model", "")


def _read_index(data: bytes) -> tuple[list[_Entry], bool]:
    """The files of git's index (gitformat-index(5), versions 2 to 4), and whether it is as some commit has it.

    git writes the ids of the trees beside (``TREE``), and takes that of the root back once something is staged.
    """
    try:
        return _index_entries(data)
    except (struct.error, ValueError, IndexError):
        return [], False


def _index_entries(data: bytes) -> tuple[list[_Entry], bool]:
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index that is known")
    at, found, name = 12, [], b""
    for _ in range(count):
        mode = struct.unpack_from(">I", data, at + 24)[0]
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
        if mode & 0o170000 == 0o100000:
            found.append(_Entry(name.decode("utf-8", "surrogateescape"), sha1))
    while at + 8 <= len(data) - 20:
        kind, size = struct.unpack_from(">4sI", data, at)
        if kind == b"TREE":
            root = data[at + 8 : at + 8 + size].partition(b"\0")[2]
            return found, not root.startswith(b"-")
        at += 8 + size
    return found, False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, what follows) of an offset as pack files have it."""
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, at + 1


def each(path: str, walk: Walk) -> Iterator[Offer]:
    """`of_folder` as a backend answers it."""
    found = of_folder(path, walk)
    if found is not None:
        yield found
