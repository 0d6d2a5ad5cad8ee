"""The repositories of a ModelScope cache, in the layouts that `cache` tells of."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubfold_plugins.flat import FlatModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold.backend.contract import Folder, Walk

#: Folders of a cache, and what type of repository they hold.
KINDS = {"models": "model", "datasets": "dataset"}
TEMPORARY = "._____temp"
_NOTES = frozenset({".msc", ".mdl", ".mv"})
_NO_OWNERS = frozenset(
    {"hub", "models", "datasets", "studios", "mcps", "skills", "ast_indexer", "credentials"}
)
_PART = re.compile(r".+\.\w+_\d+_\d+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r"Revision:([\w.\-]{1,200}),CreatedAt:.*", re.ASCII | re.DOTALL)


def is_partial(name: str) -> bool:
    """Whether a file is a download that is not at its end: one file, or one of the parts that become one."""
    return name.endswith((".incomplete", ".parallel_tmp")) or _PART.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Repository:
    """One folder of a repository."""

    path: str
    repo_type: str
    repo_id: str
    #: Of 1.37 and before: the files lie right in it.
    is_old: bool
    #: Symlinks to it by the name with dots.
    aliases: tuple[str, ...] = ()

    @property
    def top(self) -> str:
        return self.path if self.is_old else os.path.join(self.path, "snapshots")

    def folders(self, walk: Walk) -> Iterator[Folder]:
        """The folders that its files lie in."""
        for folder in walk.folders(self.top):
            if folder.path == self.path:
                folder.folders[:] = [name for name in folder.folders if name not in (TEMPORARY, ".git")]
            yield folder

    def is_note(self, path: str) -> bool:
        """Whether a file is the client's own."""
        return self.is_old and os.path.dirname(path) == self.path and os.path.basename(path) in _NOTES

    def revisions(self, walk: Walk) -> Iterator[FlatModel]:
        """What is there of it: of an old one the revision that came last."""
        found: dict[str, dict[str, str]] = {}
        waited: dict[str, dict[str, str]] = {}
        for folder in self.folders(walk):
            place = self._place(folder.path)
            if not place:
                continue
            names = {name for name, _ in folder.files}
            names.update(
                name for name in folder.links if walk.size(os.path.join(folder.path, name)) is not None
            )
            for name in names:
                path = os.path.join(folder.path, name)
                if self.is_note(path):
                    continue
                file = os.path.relpath(path, place)
                into = waited if is_partial(name) else found
                key = file if into is found else path
                into.setdefault(place, {})[key] = path if into is found else os.path.splitext(file)[0]
        for place in sorted({*found, *waited}):
            yield self._revision(place, found.get(place, {}), waited.get(place, {}), walk)

    def _place(self, folder: str) -> str:
        """The folder of the revision that a folder is, or lies in; "" for one above."""
        if self.is_old:
            return self.path
        below = folder[len(self.top) + 1 :].split("/")[0]
        return os.path.join(self.top, below) if below else ""

    def _revision(self, place: str, files: dict[str, str], waited: dict[str, str], walk: Walk) -> FlatModel:
        name = (
            _version(walk.read_text(os.path.join(place, ".mv"), 4096))
            if self.is_old
            else os.path.basename(place)
        )
        notes = [os.path.join(place, one) for one in sorted(_NOTES)] if self.is_old else []
        return FlatModel(
            place,
            files,
            self.repo_id,
            self.repo_type,
            revision=name,
            refs=(name,) if name and not _COMMIT.fullmatch(name) else (),
            records=tuple(path for path in notes if walk.stat(path) is not None),
            incomplete=waited,
            home=self.path,
            aliases=self.aliases,
        )


def repositories(top: str, walk: Walk) -> Iterator[Repository]:
    """Every repository of the cache at `top`."""
    for base in (top, os.path.join(top, "hub")):
        for segment, kind in KINDS.items():
            yield from _in_segment(os.path.join(base, segment), kind, walk)
        for owner in _folders(base, walk):
            # Of these only what notes say is one.
            if owner not in _NO_OWNERS:
                for found in _of_owner(os.path.join(base, owner), "model", walk):
                    if ".msc" in walk.listing(found.path):
                        yield found


def _in_segment(folder: str, kind: str, walk: Walk) -> Iterator[Repository]:
    for name in _folders(folder, walk):
        path = os.path.join(folder, name)
        if "--" in name and _is_folder(os.path.join(path, "snapshots"), walk):
            yield Repository(path, kind, name.replace("--", "/", 1), False)
        else:
            yield from _of_owner(path, kind, walk)


def _of_owner(path: str, kind: str, walk: Walk) -> Iterator[Repository]:
    owner = os.path.basename(path)
    aliases: dict[str, list[str]] = {}
    for name in walk.listing(path):
        link = os.path.join(path, name)
        text = walk.readlink(link) if "." in name and not name.startswith(".") else None
        if text:
            aliases.setdefault(os.path.basename(text), []).append(link)
    for name in _folders(path, walk):
        repo_id = f"{owner}/{name}".replace("___", ".")
        place = os.path.join(path, name)
        yield Repository(place, kind, repo_id, True, tuple(aliases.get(name, ())))


@dataclass(frozen=True, slots=True)
class Found:
    """Whose file a path is."""

    repo_type: str
    repo_id: str
    #: The name of the file in the repository.
    file: str
    #: The folder that the repository's type lies in: the cache, or ``hub`` in it.
    base: str
    is_old: bool


def repository_of(top: str, path: str) -> Found | None:
    """Whose file a path is by its text; None for one that is in no repository."""
    base = top.rstrip("/")
    parts = path[len(base) + 1 :].split("/") if path.startswith(f"{base}/") else []
    if parts[:1] == ["hub"]:
        base, parts = f"{base}/hub", parts[1:]
    kind = KINDS.get(parts[0]) if parts else None
    if kind is not None:
        parts = parts[1:]
        if len(parts) > 3 and "--" in parts[0] and parts[1] == "snapshots":
            return Found(kind, parts[0].replace("--", "/", 1), "/".join(parts[3:]), base, False)
    if len(parts) < 3 or parts[0].startswith("."):
        return None
    repo_id = f"{parts[0]}/{parts[1]}".replace("___", ".")
    return Found(kind or "model", repo_id, "/".join(parts[2:]), base, True)


def _folders(path: str, walk: Walk) -> list[str]:
    names = walk.listing(path)
    return [name for name in names if not name.startswith(".") and _is_folder(os.path.join(path, name), walk)]


def _is_folder(path: str, walk: Walk) -> bool:
    """One that is there itself, and no link to it."""
    st = walk.stat(path)
    return st is not None and stat.S_ISDIR(st.st_mode)


def _version(text: str | None) -> str:
    found = _VERSION.fullmatch((text or "").strip())
    return found[1] if found else ""
