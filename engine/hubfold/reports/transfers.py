"""What download, backup and restore did."""

from __future__ import annotations

from dataclasses import dataclass

from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.outcomes import Json as Json


@dataclass(frozen=True, slots=True)
class Reused:
    """Content of the size `bytes` that `source` had already; `how` is reflink, hardlink or copy."""

    path: str
    source: str
    how: str
    bytes: int

    def as_json(self) -> Json:
        return {"path": self.path, "source": self.source, "how": self.how, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class DownloadedModel:
    """One model of a download: the snapshot folder (None in a preview), and its bytes by where they come from."""

    name: str
    path: str | None
    commit: str | None
    files: int
    bytes: int
    present_bytes: int
    fetch_bytes: int

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "path": self.path,
            "commit": self.commit,
            "files": self.files,
            "bytes": self.bytes,
            "present_bytes": self.present_bytes,
            "downloaded_bytes": self.fetch_bytes,
        }


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """Models downloaded into `cache` (or, as a preview, what would be). `links` are those of ``--to``."""

    cache: str
    run: str | None
    models: tuple[DownloadedModel, ...]
    reused: tuple[Reused, ...] = ()
    links: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "cache": self.cache,
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "reused": [reused.as_json() for reused in self.reused],
            "links": [{"path": path} for path in self.links],
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class BackedUpModel:
    """One revision in a backup, with its bytes by length."""

    name: str
    revision: str
    files: int
    bytes: int

    def as_json(self) -> Json:
        return {"name": self.name, "revision": self.revision, "files": self.files, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class BackupReport:
    """Models backed up (`run` None: a preview). `bytes` counts each content once, `written` what was not there yet."""

    target: str
    run: str | None
    models: tuple[BackedUpModel, ...]
    bytes: int
    written: int
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "target": self.target,
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "bytes": self.bytes,
            "written_bytes": self.written,
            "failed": [failure.as_json() for failure in self.failed],
        }


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """Models put into `root` from a backup (`run` None: a preview). `restored` are the paths that were made."""

    root: str
    run: str | None
    models: tuple[BackedUpModel, ...]
    restored: tuple[str, ...]
    written: int
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()

    def as_json(self) -> Json:
        return {
            "root": self.root,
            "run": self.run,
            "models": [model.as_json() for model in self.models],
            "restored": [{"path": path} for path in self.restored],
            "written_bytes": self.written,
            "left": [left.as_json() for left in self.left],
            "failed": [failure.as_json() for failure in self.failed],
        }
