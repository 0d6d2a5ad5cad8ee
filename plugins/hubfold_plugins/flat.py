"""Models as stores of other programs have them: plain files of one folder, each under its own name.

What such a store says of a model, what goes with it and what it is made of is the same in all of them; which files are
a model is for each store to say (`FlatModel`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold.content import Partial, Snapshot, SnapshotFile

if TYPE_CHECKING:
    from hubfold.backend.changes import Leftover, ModelPart, PartPlace, Removal, ShownFile
    from hubfold.backend.contract import Walk

_REPO_ID = re.compile(r"\w[\w.\-]*/\w[\w.\-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class FlatModel:
    """One model of a store."""

    #: The folder that programs are given.
    path: str
    #: By its name in the model, with ``/``: where a file lies.
    files: Mapping[str, str]
    #: ``org/name`` as the Hub has it; else what the store calls it.
    repo_id: str
    repo_type: str = "model"
    revision: str = ""
    refs: tuple[str, ...] = ()
    #: The store's own notes about it, which go with it.
    records: tuple[str, ...] = ()
    #: Downloads of it that are not at their end, with the file that each is to become.
    incomplete: Mapping[str, str] = field(default_factory=dict)
    #: The folder of the model with all its revisions; "" where `path` is.
    home: str = ""
    #: The folder that stays though nothing is left in it: a shelf of the store; "" for the root.
    shelf: str = ""
    #: Symlinks of the store to its folder.
    aliases: tuple[str, ...] = ()
    #: What the store states of its files, by name.
    claims: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def snapshot(self, walk: Walk) -> Snapshot:
        """What programs get of it."""
        files = (
            SnapshotFile(name, path, walk.size(path), self.claims.get(name, {}))
            for name, path in sorted(self.files.items())
        )
        partials = ((path, name, walk.stat(path)) for path, name in sorted(self.incomplete.items()))
        return Snapshot(
            repo_id=self.repo_id,
            repo_type=self.repo_type,
            revision=self.revision,
            refs=self.refs,
            path=self.path,
            files=tuple(files),
            home=self.home or self.path,
            incomplete=tuple(
                Partial(path, st.st_size, name) for path, name, st in partials if st is not None
            ),
        )

    def removal(self, root: str, backend: str, walk: Walk) -> Removal:
        """What goes with it: its files, the notes on them, and the folders that are empty then."""
        return removal([self], root, backend, walk)

    def parts(self, root: str) -> Iterator[ModelPart]:
        """Its files and notes, each at the place that it has in the root."""
        from hubfold.backend.changes import ModelPart

        for path in (*sorted(self.files.values()), *self.records):
            yield ModelPart(os.path.relpath(path, root), path)


def removal(
    models: Sequence[FlatModel], root: str, backend: str, walk: Walk, *, whole: bool = True
) -> Removal:
    """What goes with some revisions of one model; `whole` where these are all of them."""
    from hubfold.backend.changes import Removal

    content = [path for one in models for _, path in sorted(one.files.items())]
    content += [path for one in models for path in sorted(one.incomplete)]
    records = [path for one in models for path in one.records if walk.stat(path) is not None]
    shelf = models[0].shelf if models[0].shelf.startswith(root) else root
    aliases = tuple(dict.fromkeys(path for one in models for path in one.aliases)) if whole else ()
    return Removal(
        root,
        backend,
        models[0].repo_id,
        models[0].repo_type,
        path=models[0].home or models[0].path,
        revisions=tuple(one.revision for one in models if one.revision),
        whole=whole,
        refs=aliases,
        records=tuple(records),
        content=tuple(content),
        empty=tuple(_emptied(shelf, {*content, *records, *aliases}, walk)),
    )


def interrupted(root: str, backend: str, path: str, walk: Walk) -> Leftover:
    """A download that was cut short: the file that it wrote to."""
    from hubfold.backend.changes import Leftover, LeftoverKind, Removal

    st = walk.stat(path)
    removal = Removal(root, backend, "", "", content=(path,))
    return Leftover(LeftoverKind.INTERRUPTED, path, removal, 0 if st is None else st.st_mtime_ns)


def tell_partial(path: str, size: int, walk: Walk) -> None:
    """Warn of a download that a scan leaves out; `size` in bytes."""
    walk.warn(path, f"is a download of {size} bytes that is not at its end: left out", kind="interrupted")


def place_of(name: str) -> PartPlace | None:
    """Where a part belongs that is one of a store's plain files: where its name says; None for one that leads out."""
    from hubfold.backend.changes import PartPlace

    plain = name not in ("", ".") and not name.startswith("/") and "\0" not in name
    steps = name.split("/")
    if not plain or ".." in steps or "." in steps or "" in steps:
        return None
    return PartPlace(0)


def gguf(snapshot: Snapshot) -> list[str]:
    """The names of a model's GGUF files: of two in different folders that are called alike, the first."""
    found: dict[str, str] = {}
    for file in sorted(snapshot.files, key=lambda file: file.name):
        name = os.path.basename(file.name)
        if name.lower().endswith(".gguf") and not name.startswith("."):
            found.setdefault(name, file.name)
    return sorted(found.values())


PART = re.compile(r"(.+)-\d{5}-of-\d{5}\.gguf", re.IGNORECASE)
#: Of several projectors of a repository a program takes one: this one rather than another.
_BEST = ("-f16.gguf", "-bf16.gguf", "-f32.gguf")


def projectors(names: Iterable[str]) -> list[str]:
    """Those of some GGUF files that are for pictures (``mmproj-….gguf``), the best first."""

    def rank(name: str) -> int:
        fitting = (number for number, end in enumerate(_BEST) if name.lower().endswith(end))
        return next(fitting, len(_BEST))

    return sorted((name for name in names if "mmproj" in os.path.basename(name).lower()), key=rank)


def single_gguf(snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """(the GGUF files of a model that are a model each, those that are a projector for pictures, the best first)."""
    names = [name for name in gguf(snapshot) if not PART.fullmatch(os.path.basename(name))]
    pictures = projectors(names)
    return [name for name in names if name not in pictures], pictures


def shown(name: str, file: str) -> ShownFile:
    """Where a program looks for a file of a model."""
    from hubfold.backend.changes import ShownFile

    return ShownFile(name, file)


def hub_name(text: str) -> str:
    """``org/name``, where it can be one of the Hub; "" where it cannot."""
    return text if _REPO_ID.fullmatch(text) and ".." not in text else ""


def folder_of(paths: Collection[str]) -> str:
    """The folder that all of some files lie in."""
    return os.path.commonpath([os.path.dirname(path) for path in paths])


def _emptied(root: str, gone: Collection[str], walk: Walk) -> Iterator[str]:
    """The folders below `root` in which nothing is left once `gone` is, the deepest first."""
    going = set(gone)
    folders: set[str] = set()
    for path in gone:
        folder = os.path.dirname(path)
        while folder.startswith(f"{root}/") and folder not in folders:
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=lambda folder: (-folder.count("/"), folder)):
        if all(os.path.join(folder, name) in going for name in walk.listing(folder)):
            going.add(folder)
            yield folder
