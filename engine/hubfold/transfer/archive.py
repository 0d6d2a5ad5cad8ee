"""The format of backups: a folder, or a tar file of the same names, that holds each content once.

Version 1::

    objects/<2 hex>/<sha256>    a content
    hubfold-backup.json         the list, written last: what is not in it is not in the backup

The list is ``{"format": "hubfold backup", "version": 1, "models": [...]}``; a model is ``{"layout", "repo_type",
"repo_id", "revision", "parts"}``, a part ``{"name", "sha256", "size", "mtime_ns"}`` or ``{"name", "link"}``. Names are
relative to a root of that layout, with ``/``; links are the layout's own, relative, from one part to another.

Anybody may have written an archive. A model is refused as a whole where a name or link would lead out of its root or is
not of its layout, and the others go on; nothing is ever extracted by the name that a member has. What would be refused
here is refused when the backup is made (`unfit`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import OWN_PREFIX
from hubfold.errors import BackupError
from hubfold.faults import BackendFault

LIST = "hubfold-backup.json"
OBJECTS = "objects"
FORMAT, VERSION = "hubfold backup", 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 4 << 20
#: No file is newer: what a list says of one has bounds, and so has what is written into it.
LATEST_NS = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class Part:
    """A file (`sha256`, `size` in bytes) or a link of a model."""

    name: str
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0
    link: str | None = None

    def as_record(self) -> dict[str, Any]:
        if self.link is not None:
            return {"name": self.name, "link": self.link}
        return {"name": self.name, "sha256": self.sha256, "size": self.size, "mtime_ns": self.mtime_ns}


@dataclass(frozen=True, slots=True)
class BackedUp:
    """One revision of a model in a backup."""

    layout: str
    repo_type: str
    repo_id: str
    revision: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.layout, self.repo_type, self.repo_id, self.revision

    @property
    def top(self) -> str:
        """The folder, relative to the root, that everything of it lies in; "" where that is the root itself."""
        tops = {part.name.partition("/")[0] if "/" in part.name else "" for part in self.parts}
        return tops.pop() if len(tops) == 1 else ""

    @property
    def title(self) -> str:
        return f"{self.repo_id}@{self.revision[:12]}"

    def as_record(self) -> dict[str, Any]:
        names = ("layout", "repo_type", "repo_id", "revision")
        return {**{name: getattr(self, name) for name in names}, "parts": [p.as_record() for p in self.parts]}


@dataclass(frozen=True, slots=True)
class Refused:
    """A model of a list that cannot be restored here, as it stands there, and why."""

    title: str
    reason: str
    record: Any


@dataclass(frozen=True, slots=True)
class Listed:
    """The models of a list."""

    models: tuple[BackedUp, ...]
    refused: tuple[Refused, ...] = ()


def dump(models: Sequence[BackedUp], unread: Sequence[Refused] = ()) -> bytes:
    """The list as it is written; what is `unread` here (its plugin is not installed) stays in it as it was."""
    records = [*(model.as_record() for model in models), *(one.record for one in unread)]
    document = {"format": FORMAT, "version": VERSION, "models": records}
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def unfit(model: BackedUp, backends: Mapping[str, GuardedBackend]) -> str:
    """Why a backup that has the model could not be restored, "" if it could; asked before it is made."""
    try:
        _model(model.as_record(), backends, ask_again=False)
    except _FAULTS as error:
        return str(error)
    return ""


#: What is raised for what hubfold would not have written.
_FAULTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def load(text: bytes, where: str, backends: Mapping[str, GuardedBackend]) -> Listed:
    """The models of a list. Raises `BackupError` for a list that hubfold would not have written, or all of it."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError("it is no list of a backup")
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']} is newer than this hubfold")
        records = list(document["models"])
    except _FAULTS as error:
        raise _not_ours(where, error) from None
    models: list[BackedUp] = []
    refused: list[Refused] = []
    for number, record in enumerate(records, 1):
        try:
            models.append(_model(record, backends))
        except _FAULTS as error:
            refused.append(Refused(_title(record, number), str(error), record))
    if refused and not models:
        raise _not_ours(where, refused[0].reason)
    return Listed(tuple(models), tuple(refused))


def _not_ours(where: str, reason: object) -> BackupError:
    return BackupError(
        f"{where} is no backup that hubfold has written: {reason}", "nothing was restored from it"
    )


def _title(record: Any, number: int) -> str:
    """What to call a model that cannot be read."""
    repo_id = record.get("repo_id") if isinstance(record, dict) else None
    return repo_id if isinstance(repo_id, str) and repo_id else f"model {number}"


def _model(
    record: Mapping[str, Any], backends: Mapping[str, GuardedBackend], *, ask_again: bool = True
) -> BackedUp:
    layout, repo_type, repo_id, revision = (
        _text(record[name]) for name in ("layout", "repo_type", "repo_id", "revision")
    )
    model = BackedUp(layout, repo_type, repo_id, revision, tuple(_part(part) for part in record["parts"]))
    if model.layout not in backends:
        raise ValueError(f"no loaded backend is called {model.layout!r}")
    if not model.parts:
        raise ValueError(f"{model.repo_id!r} has no parts")
    files = {part.name for part in model.parts if part.link is None}
    names = {part.name for part in model.parts}
    if len(names) != len(model.parts):
        raise ValueError(f"{model.repo_id!r} has two parts of one name")
    for part in model.parts:
        if not _stays_inside(part.name):
            raise ValueError(f"{part.name!r} leads out of its root")
        if not _belongs(backends[model.layout], part.name, ask_again=ask_again):
            raise ValueError(f"{part.name!r} is no part of a {model.layout}")
        folder = os.path.dirname(part.name)
        while folder and folder not in names:
            folder = os.path.dirname(folder)
        if folder:
            raise ValueError(f"{part.name!r} lies below a file")
        if part.link is not None:
            target = os.path.normpath(os.path.join(os.path.dirname(part.name), part.link))
            if os.path.isabs(part.link) or target not in files:
                raise ValueError(f"{part.name!r} links to {part.link!r}, which is no part of the model")
    return model


def _belongs(backend: GuardedBackend, name: str, *, ask_again: bool) -> bool:
    """Whether a layout knows such a part. Where its plugin fails nobody can tell now; a restore asks again."""
    try:
        return backend.place(name) is not None
    except BackendFault:
        return ask_again


def _part(record: Mapping[str, Any]) -> Part:
    name = _text(record["name"])
    if "link" in record:
        return Part(name, link=_text(record["link"]))
    size, mtime_ns = record["size"], record["mtime_ns"]
    if type(size) is not int or size < 0 or type(mtime_ns) is not int or not 0 <= mtime_ns <= LATEST_NS:
        raise ValueError(f"{name!r} has no size or time")
    if not _SHA256.fullmatch(_text(record["sha256"])):
        raise ValueError(f"{name!r} has no sha256")
    return Part(name, record["sha256"], size, mtime_ns)


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is no text")
    os.fsencode(value)  # a UnicodeEncodeError is a ValueError
    return value


def _stays_inside(name: str) -> bool:
    parts = name.split("/")
    return all(part not in ("", os.curdir, os.pardir) and not part.startswith(OWN_PREFIX) for part in parts)


def object_name(sha256: str) -> str:
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def pour(source: IO[bytes], target: Callable[[bytes], object], size: int, tick: Callable[[int], None]) -> str:
    """Copy `size` bytes; their sha256. Raises `BackupError` if there are fewer, `OSError`."""
    digest = hashlib.sha256()
    left = size
    while left:
        data = source.read(min(CHUNK, left))
        if not data:
            raise BackupError("it ends before its time", "it is damaged, or was cut short")
        digest.update(data)
        target(data)
        tick(len(data))
        left -= len(data)
    return digest.hexdigest()
