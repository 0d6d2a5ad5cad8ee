"""What one root of DVC holds: the objects of its caches, and which files of the work tree DVC tracks.

The notes are YAML; what is read of them is how DVC itself writes an output, in a ``.dvc`` file and in ``dvc.lock``::

    outs:
    - md5: 3005ea1864fe9feb00bdb1f6877a6b82     with ``.dir``: a folder, its files in the object of that name
      hash: md5                                 absent in those of DVC 1 and 2
      path: model.safetensors                   from the folder of the note, or from its ``wdir``
"""

from __future__ import annotations

import json
import os
import re
import stat as modes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold.backend.changes import Leftover, LeftoverKind, Removal
from hubfold.content import LinkKind, Replica, Root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold.backend.contract import Folder, Walk

_DVC = ".dvc"
_LOCK = "dvc.lock"
_TWO = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{30}")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
#: How ``tmp_fname`` of dvc_objects calls what is being written.
_UNFINISHED = re.compile(r"\.[A-Za-z0-9_-]{20,24}\.tmp")
_KEY = re.compile(r"(\s*)(- )?(\w+):\s*(.*)")
#: A folder of a million files.
_LARGEST_LIST = 128 << 20
#: A symlink in place of an object would be followed, and what it leads to linked into the work tree.
_LINKS = frozenset({LinkKind.REFLINK, LinkKind.HARDLINK})


def replicas(root: Root, walk: Walk) -> Iterator[Replica]:
    """Every object, and the files of the work tree: of those that DVC tracks only what is an object itself."""
    if not _is_plain_folder(os.path.join(root.path, _DVC), walk):
        yield from _objects(root.path, walk)
        return
    seen: set[str] = set()
    tracked = _Tracked(root.path, walk)
    for folder in walk.folders(root.path):
        if _DVC in folder.folders:
            cache = _cache(folder.path, root, walk)
            tracked.caches[folder.path] = cache
            if cache and cache not in seen:
                seen.add(cache)
                yield from _objects(cache, walk)
        _leave_out(folder, seen)
        tracked.note(folder)
        for name, stat in folder.files:
            found = None if _is_note(name) else tracked.replica(os.path.join(folder.path, name), stat)
            if found is not None:
                yield found


def leftovers(root: Root, walk: Walk) -> Iterator[Leftover]:
    """What was being written to a cache when DVC was stopped."""
    for cache in _caches(root, walk):
        for kind in ("files/md5", "."):
            top = os.path.normpath(os.path.join(cache, kind))
            for shard in filter(_TWO.fullmatch, walk.listing(top)):
                folder = os.path.join(top, shard)
                for name in filter(_UNFINISHED.fullmatch, walk.listing(folder)):
                    path = os.path.join(folder, name)
                    st = walk.stat(path)
                    if st is not None and modes.S_ISREG(st.st_mode):
                        removal = Removal(root.path, "dvc", "", "", content=(path,))
                        yield Leftover(LeftoverKind.INTERRUPTED, path, removal, st.st_mtime_ns)


def is_unfinished(path: str) -> bool:
    """Whether a path is that of an object which DVC has not finished."""
    return _UNFINISHED.fullmatch(os.path.basename(path)) is not None


def cache_of(config: str) -> str:
    """``[cache] dir`` of a file of DVC's settings; "" where it says none."""
    section = ""
    for line in map(str.strip, config.splitlines()):
        if line.startswith("["):
            section = line
        name, is_set, value = line.partition("=")
        if section == "[cache]" and is_set and name.strip() == "dir":
            return value.strip().strip("'\"")
    return ""


# caches


def _caches(root: Root, walk: Walk) -> Iterator[str]:
    """The caches of the repositories in the root, or the root where it is one."""
    if not _is_plain_folder(os.path.join(root.path, _DVC), walk):
        yield root.path
        return
    seen: set[str] = set()
    for folder in walk.folders(root.path):
        cache = _cache(folder.path, root, walk) if _DVC in folder.folders else ""
        if cache and cache not in seen:
            seen.add(cache)
            yield cache
        _leave_out(folder, seen)


def _leave_out(folder: Folder, caches: set[str]) -> None:
    """What is DVC's own is no part of the work tree."""
    folder.folders[:] = [
        name for name in folder.folders if name != _DVC and os.path.join(folder.path, name) not in caches
    ]


def _cache(repository: str, root: Root, walk: Walk) -> str:
    """Where a repository keeps its objects, "" where that is not in the root, by its name and on the disk."""
    own = os.path.join(repository, _DVC)
    said = ""
    for name in ("config", "config.local"):
        if name in walk.listing(own):
            said = cache_of(walk.read_text(os.path.join(own, name)) or "") or said
    place = os.path.normpath(os.path.join(own, said or "cache")) if "\0" not in said else ""
    if not place.startswith(f"{root.path}/"):
        return ""
    real = walk.real(os.path.join(root.path, "x"))[:-2]
    inside = walk.real(os.path.join(place, "x")) == f"{real}{place[len(root.path) :]}/x"
    return place if inside and _is_plain_folder(place, walk) else ""


def _objects(cache: str, walk: Walk) -> Iterator[Replica]:
    md5 = os.path.join(cache, "files", "md5")
    for top, states in ((md5, True), (cache, False)):
        if states and not (_is_plain_folder(os.path.dirname(md5), walk) and _is_plain_folder(md5, walk)):
            continue
        for folder in walk.folders(top):
            shard = folder.path[len(top) + 1 :]
            if not shard:
                folder.folders[:] = [name for name in folder.folders if _TWO.fullmatch(name)]
                continue
            folder.folders.clear()
            for name, stat in folder.files:
                if _REST.fullmatch(name):
                    claims = {"md5": shard + name} if states else {}
                    yield Replica(os.path.join(folder.path, name), stat, claims, links=_LINKS, vouched=True)


def _is_plain_folder(path: str, walk: Walk) -> bool:
    st = walk.stat(path)
    return st is not None and modes.S_ISDIR(st.st_mode)


# the work tree


@dataclass
class _Tracked:
    """Which files DVC tracks, by the notes that the walk came by; they are read when a file is asked about."""

    root: str
    walk: Walk
    #: By repository.
    caches: dict[str, str] = field(default_factory=dict)
    _unread: list[str] = field(default_factory=list)
    #: The md5 by path, and by folder; "" where it is of a sort that no object is looked up by.
    _files: dict[str, str] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)
    _lists: dict[str, dict[str, str]] = field(default_factory=dict)

    def note(self, folder: Folder) -> None:
        """Remember the notes of a folder, which is asked for before those in it."""
        self._unread += [os.path.join(folder.path, name) for name in folder.names if _is_note(name)]

    def replica(self, path: str, stat: os.stat_result) -> Replica | None:
        """A file of the work tree; None for one that is left to DVC."""
        self._read()
        md5 = self._md5(path)
        if md5 is None:
            return Replica(path, stat)
        found = self._object(path, md5)
        st = self.walk.stat(found) if found else None
        if st is None or (st.st_dev, st.st_ino) != (stat.st_dev, stat.st_ino):
            return None
        return Replica(path, stat, {"md5": md5}, links=_LINKS, vouched=True)

    def _read(self) -> None:
        while self._unread:
            note = self._unread.pop()
            text = self.walk.read_text(note) or ""
            top = os.path.dirname(note)
            if not note.endswith(_LOCK):
                top = os.path.normpath(os.path.join(top, _wdir(text)))
            for path, md5 in _outs(text):
                place = os.path.normpath(os.path.join(top, path))
                if place.startswith(f"{self.root}/"):
                    (self._folders if md5.endswith(".dir") else self._files)[place] = md5

    def _md5(self, path: str) -> str | None:
        """What DVC has a file for: "" where it tracks it by no name of an object, None where it does not."""
        if path in self._files:
            return self._files[path]
        folder = os.path.dirname(path)
        while self._folders and len(folder) > len(self.root):
            if folder in self._folders:
                return self._list(folder).get(path[len(folder) + 1 :], "")
            folder = os.path.dirname(folder)
        return None

    def _list(self, folder: str) -> dict[str, str]:
        """The md5 of each file of a tracked folder, by its path from there."""
        if folder not in self._lists:
            data = None
            path = self._object(folder, self._folders[folder])
            if path and self.walk.stat(path) is not None:
                data = self.walk.read_bytes(path, _LARGEST_LIST)
            self._lists[folder] = _listed(data)
        return self._lists[folder]

    def _object(self, path: str, md5: str) -> str:
        """The object of that name in the cache of the repository that a path lies in."""
        folder = os.path.dirname(path)
        while folder not in self.caches and len(folder) > len(self.root):
            folder = os.path.dirname(folder)
        cache = self.caches.get(folder, "")
        return os.path.join(cache, "files", "md5", md5[:2], md5[2:]) if cache and md5 else ""


def _is_note(name: str) -> bool:
    return name == _LOCK or (name.endswith(_DVC) and name != _DVC)


def _listed(data: bytes | None) -> dict[str, str]:
    try:
        entries = json.loads(data or b"[]")
    except (ValueError, RecursionError):
        return {}
    return {
        one["relpath"]: one["md5"]
        for one in (entries if isinstance(entries, list) else ())
        if isinstance(one, dict)
        and isinstance(one.get("relpath"), str)
        and isinstance(one.get("md5"), str)
        and re.fullmatch(r"[0-9a-f]{32}", one["md5"])
    }


def _wdir(text: str) -> str:
    found = re.search(r"^wdir:\s*(.+)$", text, re.MULTILINE)
    return _plain(found[1]) if found else "."


def _outs(text: str) -> Iterator[tuple[str, str]]:
    """(path, md5) of each output of a note; the md5 is "" where DVC names no object by it."""
    inside = -1
    one: dict[str, str] = {}
    for line in text.splitlines():
        match = _KEY.fullmatch(line)
        indent = len(line) - len(line.lstrip())
        begins = match is not None and match[2] is not None
        if inside >= 0 and (begins or indent <= inside) and one:
            yield from _out(one)
            one = {}
        if inside >= 0 and indent <= inside and not (begins and indent == inside):
            inside = -1
        if match is None:
            continue
        if match[3] == "outs" and not match[4] and not begins:
            inside = indent
        elif inside >= 0:
            one[match[3]] = _plain(match[4])
    if one:
        yield from _out(one)


def _out(one: dict[str, str]) -> Iterator[tuple[str, str]]:
    path, md5 = one.get("path", ""), one.get("md5", "")
    if path and "\0" not in path:
        known = one.get("hash") == "md5" and _MD5.fullmatch(md5)
        yield path, md5 if known else ""


def _plain(value: str) -> str:
    """A scalar of YAML as DVC writes them."""
    value = value.strip()
    if value[:1] == value[-1:] == "'" and len(value) > 1:
        return value[1:-1].replace("''", "'")
    if value[:1] == value[-1:] == '"' and len(value) > 1:
        try:
            return str(json.loads(value))
        except ValueError:
            return value[1:-1]
    return value
