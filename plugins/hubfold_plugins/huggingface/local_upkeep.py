"""What of a folder that ``hf download --local-dir`` filled goes when the model is removed from it.

The files that the client wrote there, by its own notes, and the notes; nothing that somebody put or changed there.
The notes go first, in one rename: while they are there the folder is a model, and with a part of them it would be taken
for a smaller one.
"""

from __future__ import annotations

import hashlib
import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from hubfold.backend import peek
from hubfold.backend.changes import Kept, Leftover, LeftoverKind, Removal
from hubfold.backend.contract import Walk
from hubfold_plugins.huggingface.hub_metadata import Download

if TYPE_CHECKING:
    from hubfold.content import Snapshot

#: What a client writes beside its notes, once for all of them.
_OF_THE_CLIENT = (".gitignore", "CACHEDIR.TAG")


def removal(
    root: str,
    snapshot: Snapshot,
    home: str,
    walk: Walk,
    *,
    downloads: Mapping[str, Download],
    notes: Collection[str],
) -> Removal:
    """The copy of `snapshot` with its `downloads` by name; `notes` is every file below ``<home>/download``."""
    content: list[str] = []
    kept: list[Kept] = []
    for name, download in sorted(downloads.items()):
        path = os.path.join(snapshot.path, *name.split("/"))
        st = walk.stat(path)
        if st is None:
            continue
        link = stat.S_ISLNK(st.st_mode)
        if link or (stat.S_ISREG(st.st_mode) and download.believes(st)):
            content.append(path)
        else:
            kept.append(Kept(path, "was changed since it was downloaded"))
    place = os.path.join(snapshot.path, home)
    trees = os.path.join(place, "trees")
    records = [os.path.join(trees, name) for name in walk.listing(trees) if name.endswith(".json")]
    records += [os.path.join(place, name) for name in walk.listing(place) if name in _OF_THE_CLIENT]
    gone = {*content, *records, os.path.join(place, "download")}
    return Removal(
        root,
        "local-dir",
        snapshot.repo_id,
        snapshot.repo_type,
        path=snapshot.path,
        revisions=(snapshot.revision,) if snapshot.revision else (),
        whole=True,
        folders=(os.path.join(place, "download"),),
        inside=tuple(notes),
        aside=place,
        records=tuple(records),
        content=tuple(content),
        empty=tuple(_emptied(snapshot.path, root, gone, walk)),
        kept=tuple(kept),
    )


def _emptied(copy: str, root: str, gone: set[str], walk: Walk) -> Iterator[str]:
    """The folders in which nothing is left once `gone` is, the deepest first; never the root itself."""
    folders = {copy}
    for path in gone:
        folder = os.path.dirname(path)
        while folder not in folders:
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=lambda folder: (-folder.count("/"), folder)):
        if folder != root and all(os.path.join(folder, name) in gone for name in walk.listing(folder)):
            gone.add(folder)
            yield folder


def interrupted(root: str, path: str, walk: Walk) -> Leftover:
    """A download that was cut short: the file that it wrote to."""
    st = walk.stat(path)
    removal = Removal(root, "local-dir", "", "", content=(path,))
    return Leftover(LeftoverKind.INTERRUPTED, path, removal, 0 if st is None else st.st_mtime_ns)


def locks_of_partial(path: str) -> list[str]:
    """The lock that a client holds while it writes to `path`, if it is there.

    It is called ``<file>.lock``; the partial file has the name of the file (0.23), or of its metadata as a hash
    (`_short_hash` of huggingface_hub/_local_folder.py), before its first dot.
    """
    folder, partial = os.path.split(path)
    files = [name.removesuffix(".lock") for name in peek.names_in(folder) if name.endswith(".lock")]
    return [
        os.path.join(folder, f"{file}.lock")
        for file in files
        if partial.startswith((f"{file}.", f"{_short_hash(file + '.metadata')}."))
    ]


def _short_hash(name: str) -> str:
    return urlsafe_b64encode(hashlib.sha1(name.encode("utf-8", "surrogateescape")).digest()).decode()
