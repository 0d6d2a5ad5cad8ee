"""What a folder is as a model of the Hub: a download with its notes, a clone, or a copy that says nothing.

- *A download* (`hubfold_plugins/huggingface/local_dir`): its notes tell the commit and each etag, not the repository.
- *A clone*: ``.git/HEAD``, ``.git/config`` and ``.git/index`` (`hubfold_plugins/git_lfs/git_files`) tell repository,
  commit and files. An LFS file has the sha1 of its pointer in the index, so which of the two a file is shows once it is
  read (`OfferedFile.git_object`).
- *Any other folder*: files only. By what the Hub knows a file: ``.gitattributes`` (``filter=lfs``) where it came along,
  else what the Hub gives a new repository; and no file of more than 10 MiB is in git itself.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hubfold.backend.changes import Offer, OfferedFile
from hubfold_plugins.git_lfs import git_files

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
#: Nobody's model: what tools leave in any folder.
_STRAY = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore"})


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
            if (
                size is None
                or name in _STRAY
                or name.startswith(".hubfold")
                or git_files.pointer_at(path, size, walk)
            ):
                continue
            inside = f"{below}/{name}".lstrip("/")
            lfs = size > _LARGEST_OF_GIT or _is_of_lfs(inside, patterns)
            found.append(OfferedFile(inside, path, "sha256" if lfs else "git-sha1"))
    return tuple(found)


def _names(folder: Folder) -> Collection[str]:
    return set(folder.names).difference(folder.folders) - {".git"}


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


def _clone(path: str, walk: Walk) -> Offer | None:
    git = os.path.join(path, ".git")
    commit, branch = git_files.head(git, git, walk)
    data = walk.read_bytes(os.path.join(git, "index"), git_files.INDEX_LIMIT)
    if not commit or data is None:
        return None
    entries, settled = git_files.read_index(data)
    remote = git_files.remote(walk.read_text(os.path.join(git, "config")) or "")
    repo_type, repo_id = git_files.repository(remote)
    files, missing = [], []
    for entry in entries:
        place = os.path.join(path, *entry.name.split("/"))
        size = walk.size(place)
        if size is None or git_files.pointer_at(place, size, walk):
            missing.append(entry.name)
        else:
            files.append(
                OfferedFile(entry.name, place, "git-sha1", git_object=entry.sha1, pointer=git_files.POINTER)
            )
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


def each(path: str, walk: Walk) -> Iterator[Offer]:
    """`of_folder` as a backend answers it."""
    found = of_folder(path, walk)
    if found is not None:
        yield found
