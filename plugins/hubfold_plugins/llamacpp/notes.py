"""What llama.cpp noted beside the files of its old cache: manifests, ETags, URLs.

A manifest is what the Hub answers to ``/v2/<user>/<repo>/manifests/<tag>``: of ``ggufFile`` and ``mmprojFile`` the
``rfilename``, the ``size`` and of ``lfs`` the ``sha256``. The ETag is that of whoever served the bytes in the end: of
64 hex digits it is the sha256 where the Hub's LFS store gave it, and something else where another store did. So where a
manifest of the same cache shows an ETag that is not the sha256, none is believed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold_plugins.flat import hub_name

if TYPE_CHECKING:
    from hubfold.backend.contract import Walk

_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"https?://[^/]+/([^/]+/[^/]+)/resolve/[^/]+/([^?#]+)(?:[?#].*)?")
#: Bytes of one note; and how many manifests are read.
_LIMIT = 1 << 20
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Stated:
    sha256: str
    size: int


@dataclass(slots=True)
class Notes:
    """What is known of the files of one cache, by their names in it."""

    #: The manifests of each repository.
    manifests: dict[str, list[str]] = field(default_factory=dict)
    _files: dict[str, tuple[str, str]] = field(default_factory=dict)
    _stated: dict[str, _Stated] = field(default_factory=dict)
    _etags: dict[str, str] = field(default_factory=dict)

    def file_of(self, name: str) -> tuple[str, str]:
        """(repo id, name in the repository); both "" where nothing says so."""
        known = self._files.get(name)
        if known is not None:
            return known
        # Parts of a split model, and what was asked for by name of a repository that has a manifest.
        fitting = [repo_id for repo_id in self.manifests if name.startswith(_prefix(repo_id))]
        # Of two that fit neither is known to be meant.
        return (fitting[0], name[len(_prefix(fitting[0])) :]) if len(fitting) == 1 else ("", "")

    def claims(self, name: str, size: int | None) -> dict[str, str]:
        """What the file of this name is, if it has `size` bytes."""
        stated = self._stated.get(name)
        if stated is not None:
            return {"sha256": stated.sha256} if stated.size == size else {}
        etag = self._etags.get(name)
        return {"sha256": etag} if etag and self._etags_are_sha256() else {}

    def _etags_are_sha256(self) -> bool:
        return all(self._etags.get(name, one.sha256) == one.sha256 for name, one in self._stated.items())

    def add_manifest(self, path: str, repo_id: str, told: object) -> None:
        self.manifests.setdefault(repo_id, []).append(path)
        for key in ("ggufFile", "mmprojFile"):
            file = told.get(key) if isinstance(told, dict) else None
            name = file.get("rfilename") if isinstance(file, dict) else None
            if not isinstance(file, dict) or not isinstance(name, str) or not _is_plain(name):
                continue
            own = _prefix(repo_id) + name.replace("/", "_")
            self._files[own] = (repo_id, name)
            lfs = file.get("lfs")
            digest, size = (lfs.get("sha256"), lfs.get("size")) if isinstance(lfs, dict) else (None, None)
            if isinstance(digest, str) and _SHA256.fullmatch(digest) and type(size) is int:
                self._stated[own] = _Stated(digest, size)

    def add_etag(self, name: str, text: str) -> None:
        etag = text.strip().removeprefix("W/").strip('"')
        if _SHA256.fullmatch(etag):
            self._etags[name] = etag

    def add_url(self, name: str, told: object) -> None:
        """What ``<file>.json`` has, in which releases before the ``.etag`` files kept both."""
        if not isinstance(told, dict):
            return
        url, etag = told.get("url"), told.get("etag")
        if isinstance(etag, str):
            self.add_etag(name, etag)
        found = _URL.fullmatch(url) if isinstance(url, str) else None
        if found and hub_name(found[1]) and _is_plain(found[2]):
            self._files.setdefault(name, (found[1], found[2]))


def read(top: str, names: Iterable[str], walk: Walk) -> Notes:
    """The notes of the cache at `top`, which has these `names`."""
    notes = Notes()
    there = frozenset(names)
    for name in sorted(there):
        path = os.path.join(top, name)
        repo_id = _repo_of_manifest(name)
        if repo_id:
            if len(notes.manifests) < _MOST:
                notes.add_manifest(path, repo_id, walk.read_json(path, _LIMIT))
        elif name.endswith(".etag") and name.removesuffix(".etag") in there:
            notes.add_etag(name.removesuffix(".etag"), walk.read_text(path, 4096) or "")
        elif name.endswith(".json") and name.removesuffix(".json") in there:
            notes.add_url(name.removesuffix(".json"), walk.read_json(path, _LIMIT))
    return notes


def _repo_of_manifest(name: str) -> str:
    parts = name.removesuffix(".json").split("=")
    if len(parts) != 4 or parts[0] != "manifest" or not name.endswith(".json"):
        return ""
    return hub_name(f"{parts[1]}/{parts[2]}")


def _prefix(repo_id: str) -> str:
    return repo_id.replace("/", "_") + "_"


def _is_plain(name: str) -> bool:
    steps = name.split("/")
    return "\0" not in name and not {"", ".", ".."}.intersection(steps)
