"""The Hub's download protocol, as clients from 0.23.5 to 2.4.0 speak it: what a request asks, and what is answered.

::

    GET  /api/models/{id}                          the default branch; also datasets, spaces, kernels
    GET  /api/models/{id}/revision/{revision}
    GET  /api/models/{id}/tree/{revision}[/{folder}]?recursive=true
    POST /api/models/{id}/paths-info/{revision}    {"paths": […]}, as JSON or as a form
    GET  /api/models/{id}/refs
    HEAD, GET  [/datasets|/spaces|/kernels]/{id}/resolve/{revision}/{path}     GET with Range

and one of our own, for `hubfold download --from`::

    HEAD, GET  /.hubfold/sha256/{64 hex}

An ``{id}`` is one segment or two, a ``{revision}`` one, percent-encoded. That a file lies in LFS ``X-Linked-Etag`` and
``X-Linked-Size`` say; without ``X-Xet-Hash`` a client asks for no Xet and fetches by plain HTTP. A 404 says what is
not there in ``X-Error-Code``. (huggingface_hub/hf_api.py, file_download.py, utils/_http.py of these releases.)

What a path says becomes a key that is looked up, and never a path on a disk. Nothing here reads or writes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from hubfold.models.names import Name
from hubfold.serving.shelf import Shelved, ShelvedModel, ShelvedRevision

DEFAULT_REVISION = "main"
_NOBODY = Name("model", "")
#: The longest target that is looked at: names of files are at most 255 bytes, percent-encoded three times that.
_LONGEST_TARGET = 8 << 10
_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space", "kernels": "kernel"}
_OF_CONTENT = "/.hubfold/sha256/"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_VERBS = ("revision", "tree", "paths-info")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about. `what` is info, tree, paths-info, refs, file, content, or "" for nothing of these."""

    what: str
    name: Name = _NOBODY
    revision: str = DEFAULT_REVISION
    #: The path of a file or folder in the revision; of content its sha256.
    path: str = ""


NOTHING = Asked("")


def asked(target: bytes) -> Asked:
    """What the path of a request means, as it was sent (percent-encoded)."""
    text = target.decode("ascii", "replace")
    if len(text) > _LONGEST_TARGET or not text.startswith("/"):
        return NOTHING
    if text.startswith(_OF_CONTENT):
        digest = text.removeprefix(_OF_CONTENT)
        return Asked("content", path=digest) if _SHA256.fullmatch(digest) else NOTHING
    parts = [unquote(part, errors="surrogateescape") for part in text[1:].split("/")]
    return _of_api(parts[1:]) if parts[0] == "api" else _of_file(parts)


def _of_api(parts: list[str]) -> Asked:
    if len(parts) < 2 or parts[0] not in _TYPES:
        return NOTHING
    kind, rest = _TYPES[parts[0]], parts[1:]
    for length in (2, 1):
        id_, tail = rest[:length], rest[length:]
        if len(id_) < length or not all(id_):
            continue
        name = Name(kind, "/".join(id_))
        if tail == ["refs"]:
            return Asked("refs", name)
        if len(tail) >= 2 and tail[0] in _VERBS and tail[1]:
            what = "info" if tail[0] == "revision" else tail[0]
            return Asked(what, name, tail[1], "/".join(tail[2:]).strip("/"))
    return Asked("info", Name(kind, "/".join(rest))) if len(rest) <= 2 and all(rest) else NOTHING


def _of_file(parts: list[str]) -> Asked:
    kind = _TYPES.get(parts[0]) if parts[0] != "models" else None
    rest = parts[1:] if kind is not None else parts
    for length in (2, 1):
        if len(rest) > length + 2 and rest[length] == "resolve" and all(rest[: length + 2]):
            name = Name(kind or "model", "/".join(rest[:length]))
            return Asked("file", name, rest[length + 1], "/".join(rest[length + 2 :]))
    return NOTHING


# what is answered


def info(name: Name, revision: ShelvedRevision) -> dict[str, Any]:
    """What ``/revision/`` answers. Only the Hub knows of downloads and likes; clients of 0.x want some."""
    return {
        "_id": revision.commit[:24],
        "id": name.repo_id,
        "modelId": name.repo_id,
        "author": name.repo_id.rpartition("/")[0] or None,
        "sha": revision.commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(revision.files)],
    }


def refs(model: ShelvedModel) -> dict[str, list[dict[str, str]]]:
    """What ``/refs`` answers. Whether a name is a branch or a tag no layout says: it is a branch."""
    branches = [
        {"name": ref, "ref": ref if ref.startswith("refs/") else f"refs/heads/{ref}", "targetCommit": commit}
        for ref, commit in sorted(model.refs.items())
    ]
    return {"branches": branches, "tags": [], "converts": []}


def tree(revision: ShelvedRevision, folder: str, *, recursive: bool) -> list[dict[str, Any]] | None:
    """The entries below `folder`, None where there is no such folder."""
    below = f"{folder}/" if folder else ""
    names = [name for name in sorted(revision.files) if name.startswith(below)]
    if folder and not names:
        return None
    folders = sorted(set(_folders(names, below, recursive)))
    deep = [name for name in names if recursive or "/" not in name[len(below) :]]
    return [*map(_folder_entry, folders), *(_entry(revision.files[name]) for name in deep)]


def paths_info(revision: ShelvedRevision, paths: Iterable[str]) -> list[dict[str, Any]]:
    """The entries of those of `paths` that there are."""
    folders = set(_folders(revision.files, "", True))
    found = []
    for path in paths:
        if path in revision.files:
            found.append(_entry(revision.files[path]))
        elif path in folders:
            found.append(_folder_entry(path))
    return found


def _folders(names: Iterable[str], below: str, recursive: bool) -> Iterator[str]:
    for name in names:
        parts = name[len(below) :].split("/")[:-1]
        for depth in range(1, len(parts) + 1 if recursive else min(len(parts), 1) + 1):
            yield below + "/".join(parts[:depth])


def _folder_entry(path: str) -> dict[str, Any]:
    return {
        "type": "directory",
        "oid": hashlib.sha1(path.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest(),
        "size": 0,
        "path": path,
    }


def _entry(file: Shelved) -> dict[str, Any]:
    if not file.large:
        return {"type": "file", "oid": file.digest, "size": file.size, "path": file.name}
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.digest}\nsize {file.size}\n".encode()
    )
    return {
        "type": "file",
        # As git has it: of the pointer, not of the content.
        "oid": hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest(),
        "size": file.size,
        "path": file.name,
        "lfs": {"oid": file.digest, "size": file.size, "pointerSize": len(pointer)},
    }


def headers_of(file: Shelved, commit: str | None) -> dict[str, str]:
    """What a client learns of a file before it fetches it."""
    found = {"ETag": f'"{file.digest}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if commit is not None:
        found["X-Repo-Commit"] = commit
    if file.large:
        found |= {"X-Linked-Etag": f'"{file.digest}"', "X-Linked-Size": str(file.size)}
    return found


class NotSatisfiable(Exception):
    """A range that begins behind the end."""


def span(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """(first, end) of the bytes that ``Range`` asks for, None for all: also where it asks for several, or for those of
    another file (``If-Range``). Raises `NotSatisfiable`."""
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or not (found[1] or found[2]) or headers.get("if-range", etag) != etag:
        return None
    first = int(found[1]) if found[1] else max(size - int(found[2]), 0)
    end = min(int(found[2]) + 1, size) if found[1] and found[2] else size
    if found[1] and found[2] and int(found[2]) < int(found[1]):
        return None
    if first >= end:
        raise NotSatisfiable
    return first, end
