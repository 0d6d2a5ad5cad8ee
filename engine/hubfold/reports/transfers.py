"""What download, backup and restore did."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import PATHS, UNTOLD, JsonForm, told
from hubfold.reports.outcomes import Failed, Left


@dataclass(frozen=True, slots=True)
class Reused(JsonForm):
    """Content of the size `bytes` that `source` had already; `how` is reflink, hardlink or copy."""

    path: str
    source: str
    how: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DamagedFile(JsonForm):
    """A file of the cache, by its name in the repo, that is got anew; `reason` is how it is not what it should be."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class DownloadedModel(JsonForm):
    """One model of a download: the snapshot folder (None in a preview), and its bytes by where they come from."""

    name: str
    path: str | None
    commit: str | None
    files: int
    bytes: int
    present_bytes: int
    fetch_bytes: int = field(metadata=told("downloaded_bytes"))
    damaged: tuple[DamagedFile, ...] = field(default=(), metadata=told(optional=True))
    #: Why the Hub had no say, where what is here was whole.
    as_it_is: str = field(default="", metadata=told(optional=True))
    #: What earlier attempts left of it, here or elsewhere, and is gone on with.
    gone_on_bytes: int = field(default=0, metadata=told("gone_on_with_bytes", optional=True))
    #: What of it came from neighbours instead of the Hub, or would.
    neighbour_bytes: int = field(default=0, metadata=told("from_neighbours_bytes", optional=True))
    #: What earlier attempts left of it and the client begins anew.
    lost_bytes: int = field(default=0, metadata=told("begun_anew_bytes", optional=True))


@dataclass(frozen=True, slots=True)
class DownloadReport(JsonForm):
    """Models downloaded into `cache` (or, as a preview, what would be). `links` are those of ``--to``."""

    cache: str
    run: str | None
    models: tuple[DownloadedModel, ...]
    reused: tuple[Reused, ...] = ()
    links: tuple[str, ...] = field(default=(), metadata=PATHS)
    failed: tuple[Failed, ...] = ()
    #: What the cache is called as a place, and why the models went there and not to the first.
    place: str = field(default="", metadata=told(optional=True))
    why: str = field(default="", metadata=told(optional=True))
    #: What went to other caches: to where it is registered, or to the next place with the room.
    elsewhere: tuple[DownloadReport, ...] = field(default=(), metadata=told(optional=True))

    @property
    def each(self) -> tuple[DownloadReport, ...]:
        """The report of each cache."""
        return (self, *self.elsewhere)


@dataclass(frozen=True, slots=True)
class BackedUpModel(JsonForm):
    """One revision in a backup, with its bytes by length."""

    name: str
    revision: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class BackupReport(JsonForm):
    """Models backed up (`run` None: a preview). `bytes` counts each content once, `written` what was not there yet."""

    target: str
    run: str | None
    models: tuple[BackedUpModel, ...]
    bytes: int
    written: int = field(metadata=told("written_bytes"))
    failed: tuple[Failed, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreReport(JsonForm):
    """Models put into `root` from a backup (`run` None: a preview). `restored` are the paths that were made."""

    root: str
    run: str | None
    models: tuple[BackedUpModel, ...]
    restored: tuple[str, ...] = field(metadata=PATHS)
    written: int = field(metadata=told("written_bytes"))
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    #: Why they went there, and not to the first place.
    why: str = field(default="", metadata=told(optional=True))


@dataclass(frozen=True, slots=True)
class AdoptReport(JsonForm):
    """A folder made a model of `cache` (`run` None: a preview). `told_by` says how its origin is known.

    `made` are the paths that come into the cache, `reused` those of them that have bytes of the folder, `written` the
    bytes that are copied, `links` the files of the folder that read the cache's copy afterwards.
    """

    folder: str
    cache: str
    run: str | None
    model: str
    commit: str
    told_by: str
    made: tuple[str, ...] = field(default=(), metadata=PATHS)
    reused: tuple[Reused, ...] = ()
    written: int = field(default=0, metadata=told("written_bytes"))
    #: Files of the folder that are read-only then, since the cache reads them too.
    read_only: tuple[str, ...] = field(default=(), metadata=PATHS)
    links: tuple[str, ...] = field(default=(), metadata=PATHS)
    #: Names of files that the revision has and the folder has not.
    missing: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
    interrupted: bool = field(default=False, metadata=UNTOLD)


@dataclass(frozen=True, slots=True)
class MigrateReport(JsonForm):
    """The cache `old` put into `new` (`run` None: a preview). `how` is leave, move or link.

    `made` are the paths that come into `new`, `reused` those of them with content, `renewed` the refs there that name a
    newer commit then, `written` the bytes that are copied, `links` the files of `old` that read what `new` has,
    `removed` what is gone from `old`.
    """

    old: str
    new: str
    how: str
    run: str | None
    models: tuple[BackedUpModel, ...] = ()
    made: tuple[str, ...] = field(default=(), metadata=PATHS)
    reused: tuple[Reused, ...] = ()
    renewed: tuple[str, ...] = field(default=(), metadata=PATHS)
    written: int = field(default=0, metadata=told("written_bytes"))
    links: tuple[str, ...] = field(default=(), metadata=PATHS)
    removed: tuple[str, ...] = field(default=(), metadata=PATHS)
    left: tuple[Left, ...] = ()
    failed: tuple[Failed, ...] = ()
