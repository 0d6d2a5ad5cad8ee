"""`llama-cpp`: the cache of llama.cpp as it was until March 2026 (``common/arg.cpp``, ``common/download.cpp``).

Layout: one folder, all files of all repositories in it::

    <user>_<repo>_<file>                 a file of the repository; folders in its name become ``_``
    <user>_<repo>_<file>.etag            the ETag that the server gave; before, in <…>.json with the URL
    <user>_<repo>_<file>.downloadInProgress
    manifest=<user>=<repo>=<tag>.json    what the Hub said of a model: names and sha256 of its first file

The folder is ``LLAMA_CACHE``, else ``llama.cpp`` in the user's folder for caches. Later releases have a hub cache there
and leave old files where they are, so both can lie in it. A file is made under another name and renamed; one that is
there is looked at by existence and ETag alone and removed before another comes, so a link may stand for it.

Which repository a file is of is known by a manifest or by the URL, and where neither is there not at all: ``_`` is in
names too.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.contract import Capabilities, Walk
from hubfold.content import LinkKind, Replica, Root
from hubfold_plugins.flat_store import FlatStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hubfold.backend.changes import Leftover, PartPlace, ShownFile
    from hubfold.content import Snapshot
    from hubfold_plugins.flat import FlatModel
    from hubfold_plugins.llamacpp.notes import Notes

PARTIAL = ".downloadInProgress"
_NOTES = (".etag", ".json", PARTIAL, ".tmp")


class LlamaCppBackend(FlatStore):
    """The files of the old cache; what a hub cache in the same folder has is found as one."""

    name = "llama-cpp"
    capabilities = Capabilities(
        used_by="llama.cpp",
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        claims=frozenset({"sha256"}),
        vouches=False,
    )
    #: Before the hub cache that may lie in the same folder, which would not see the old files.
    priority = 1

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return path if path.endswith("/llama.cpp") and has_old_files(names) else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        """LLAMA_CACHE, and where the cache is without it."""
        given = environ.get("LLAMA_CACHE")
        if given:
            place = peek.absolute(given)
            names = peek.names_in(place)
            # As a hub cache alone it is found by the layout of these.
            if has_old_files(names) or not any(name.startswith("models--") for name in names):
                yield place
        yield peek.absolute(_of_the_user(environ))

    def vault_places(self, root: Root) -> Sequence[str]:
        return ()

    def notes(self, root: Root, walk: Walk) -> Iterator[str]:
        for name in walk.listing(root.path):
            if name.endswith((".etag", ".json")):
                yield os.path.join(root.path, name)

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for folder in walk.folders(root.path):
            notes = _notes(root.path, walk) if folder.path == root.path and folder.files else None
            for name, st in folder.files:
                path = os.path.join(folder.path, name)
                if name.endswith(PARTIAL):
                    text = f"is an interrupted download of {st.st_size} bytes: left out"
                    walk.warn(path, text, kind="interrupted")
                elif not name.endswith(_NOTES):
                    yield _replica(Replica(path, st), notes, name)

    def models(self, root: Root, walk: Walk) -> Iterator[FlatModel]:
        return _models(root.path, walk)

    def leftovers(self, root: Root, walk: Walk) -> Iterator[Leftover]:
        from hubfold_plugins.flat import interrupted

        for name in walk.listing(root.path):
            if name.endswith(PARTIAL):
                yield interrupted(root.path, self.name, os.path.join(root.path, name), walk)

    def place(self, name: str) -> PartPlace | None:
        return super().place(name) if "/" not in name else None

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Iterator[ShownFile]:
        """A folder for ``llama-server --models-dir``: see `folder`."""
        from hubfold_plugins.llamacpp import folder

        return folder.shown(snapshot)


def has_old_files(names: Collection[str]) -> bool:
    """Whether some of the names are only in a cache of before."""
    return any(name.startswith("manifest=") or name.endswith((".etag", ".gguf.json")) for name in names)


def _of_the_user(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        above = os.path.join(home, "Library", "Caches")
    elif sys.platform == "win32":
        above = environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    else:
        above = environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return os.path.join(above, "llama.cpp")


def _notes(top: str, walk: Walk) -> Notes:
    from hubfold_plugins.llamacpp.notes import read

    return read(top, walk.listing(top), walk)


def _replica(replica: Replica, notes: Notes | None, name: str) -> Replica:
    if notes is not None:
        replica.claims = notes.claims(name, replica.stat.st_size)
        replica.vouched = bool(replica.claims)
        repo_id = notes.file_of(name)[0]
        if repo_id:
            replica.repo_id, replica.repo_type = repo_id, "model"
    return replica


def _models(top: str, walk: Walk) -> Iterator[FlatModel]:
    """The repositories of which something is known to be there."""
    from hubfold_plugins.flat import FlatModel

    names = walk.listing(top)
    notes = _notes(top, walk)
    there = frozenset(names)
    files: dict[str, dict[str, str]] = {}
    waited: dict[str, dict[str, str]] = {}
    records: dict[str, list[str]] = {repo_id: list(paths) for repo_id, paths in notes.manifests.items()}
    for name in names:
        whole = name.removesuffix(PARTIAL)
        repo_id, file = notes.file_of(whole)
        if not repo_id or whole.endswith(_NOTES) or not _is_file(os.path.join(top, name), walk):
            continue
        of_it = files if whole == name else waited
        of_it.setdefault(repo_id, {})[file] = os.path.join(top, name)
        beside = (f"{whole}{suffix}" for suffix in (".etag", ".json"))
        records.setdefault(repo_id, []).extend(os.path.join(top, one) for one in beside if one in there)
    for repo_id in sorted({*files, *waited}):
        found = files.get(repo_id, {})
        yield FlatModel(
            top,
            found,
            repo_id,
            records=tuple(dict.fromkeys(records.get(repo_id, ()))),
            incomplete={path: file for file, path in waited.get(repo_id, {}).items()},
            claims={
                file: notes.claims(os.path.basename(path), walk.size(path)) for file, path in found.items()
            },
        )


def _is_file(path: str, walk: Walk) -> bool:
    """Not a folder: a link is one, whatever it leads to."""
    st = walk.stat(path)
    return st is not None and (stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode))
