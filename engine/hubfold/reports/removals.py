"""What a removal did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import PATHS, UNTOLD, JsonForm, told
from hubfold.reports.outcomes import Failed, Left


@dataclass(frozen=True, slots=True)
class Needed(JsonForm):
    """A path elsewhere that needs content which is to go, and what becomes of it."""

    path: str
    content: str
    becomes: str


@dataclass(frozen=True, slots=True)
class RemovedModel(JsonForm):
    """A model, revision or leftover that goes (or would go). `kind` is model, revision, or what sort of leftover."""

    kind: str
    name: str
    root: str
    revisions: tuple[str, ...] = ()
    path: str = ""
    #: A folder that has the same whole, and stays.
    held_by: str = field(default="", metadata=told(optional=True))
    #: It is whole, and nothing that is known and stays is.
    last: bool = field(default=False, metadata=told(optional=True))


@dataclass(frozen=True, slots=True)
class RemoveReport(JsonForm):
    """Models or leftovers removed (`run` None: a preview). `bytes` is what the file systems get back."""

    run: str | None
    models: tuple[RemovedModel, ...]
    removed: tuple[str, ...] = field(metadata=PATHS)
    needed: tuple[Needed, ...] = ()
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    bytes: int = field(kw_only=True, metadata=told("reclaimed_bytes"))
    interrupted: bool = field(default=False, metadata=UNTOLD)
    #: Of a preview: files of `removed` whose content has no name or known copy that stays, one name of each.
    last_copies: tuple[str, ...] = field(default=(), metadata=PATHS)
    #: Folders that go too, since nothing is left in them.
    folders: tuple[str, ...] = field(default=(), metadata=PATHS)
    #: What else goes of a vault with its objects: their lists of links, marker and lock of one that is empty then.
    vault_files: tuple[str, ...] = field(default=(), metadata=PATHS)
