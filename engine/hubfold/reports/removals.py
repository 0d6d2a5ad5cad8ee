"""What a removal did, or would do."""

from __future__ import annotations

from dataclasses import dataclass

from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.outcomes import Json as Json


@dataclass(frozen=True, slots=True)
class Needed:
    """A path elsewhere that needs content which is to go, and what becomes of it."""

    path: str
    content: str
    becomes: str

    def as_json(self) -> Json:
        return {"path": self.path, "content": self.content, "becomes": self.becomes}


@dataclass(frozen=True, slots=True)
class RemovedModel:
    """A model, revision or leftover that goes (or would go). `kind` is model, revision, or what sort of leftover."""

    kind: str
    name: str
    root: str
    revisions: tuple[str, ...] = ()
    path: str = ""

    def as_json(self) -> Json:
        return {
            "kind": self.kind,
            "name": self.name,
            "root": self.root,
            "revisions": list(self.revisions),
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """Models or leftovers removed (`run` None: a preview). `bytes` is what the file systems get back."""

    run: str | None
    models: tuple[RemovedModel, ...]
    removed: tuple[str, ...]
    bytes: int
    needed: tuple[Needed, ...] = ()
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    interrupted: bool = False
    #: Of a preview: files of `removed` whose content has no other name, one name of each.
    last_copies: tuple[str, ...] = ()

    def as_json(self) -> Json:
        return {
            "run": self.run,
            "last_copies": [{"path": path} for path in self.last_copies],
            "models": [model.as_json() for model in self.models],
            "removed": [{"path": path} for path in self.removed],
            "needed": [needed.as_json() for needed in self.needed],
            "left": [left.as_json() for left in self.left],
            "failed": [failure.as_json() for failure in self.failed],
            "reclaimed_bytes": self.bytes,
        }
