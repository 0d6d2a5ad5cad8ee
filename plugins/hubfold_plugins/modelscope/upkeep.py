"""Locks of ModelScope's clients, and what they leave behind.

The lock of a file is named by the sha256 of ``modelscope-hub-download-lock-v2``, ``file``, the type and id of the
repository and the file's name in it, with NUL between (``DownloadManager._lock_path``); clients up to 1.37 lock the
whole repository.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from hubfold.backend.changes import Leftover, LeftoverKind, Removal
from hubfold_plugins import flat
from hubfold_plugins.modelscope.repository import TEMPORARY, Found, is_partial, repositories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold.backend.contract import Walk

_LOCKS = ".lock"


def locks(top: str, found: Found) -> list[str]:
    """The locks that clients take before they replace a file."""
    repo_type, repo_id, file = found.repo_type, found.repo_id, found.file
    whole = file.removesuffix(".incomplete").removesuffix(".parallel_tmp")
    key = "\0".join(("modelscope-hub-download-lock-v2", "file", repo_type, repo_id, whole))
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    taken = [os.path.join(top, _LOCKS, f"file_{digest}.lock")]
    if found.is_old:
        taken.append(os.path.join(found.base, _LOCKS, repo_id.replace("/", "___")))
    return taken


def leftovers(top: str, backend: str, walk: Walk) -> Iterator[Leftover]:
    """Downloads that were cut short, and locks."""
    for repository in repositories(top, walk):
        for folder in repository.folders(walk):
            for name, _ in folder.files:
                if is_partial(name):
                    yield flat.interrupted(top, backend, os.path.join(folder.path, name), walk)
    for base in (top, os.path.join(top, "hub")):
        for place in (base, *(os.path.join(base, kind) for kind in ("models", "datasets"))):
            for folder in walk.folders(os.path.join(place, TEMPORARY)):
                for name, _ in folder.files:
                    yield flat.interrupted(top, backend, os.path.join(folder.path, name), walk)
        for folder in walk.folders(os.path.join(base, _LOCKS)):
            for name, st in folder.files:
                path = os.path.join(folder.path, name)
                removal = Removal(top, backend, "", "", content=(path,))
                yield Leftover(LeftoverKind.LOCK, path, removal, st.st_mtime_ns)
