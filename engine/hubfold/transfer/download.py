"""Downloads: what some root has already is put into the cache first, and the client fetches the rest.

Content is put where the client looks for it (`StorageBackend.content_path`), and only after its bytes were read and are
the sha256 that the Hub names: a name or a remembered digest is a reason to look, never to link. How:

- shared extents, where the file system has them: nothing can be written through one to the other;
- a hard link, from another cache of the same file system and owner. From any other folder only if the user agreed
  (`share`), since a file that two places read is made read-only;
- a copy in all other cases, also from another drive. A symlink would take no space, but the cache would break when that
  drive is away; `hubfold consolidate` makes the symlink for whoever wants that.

Each is made under a temporary name beside its place, fsynced, renamed, under the layout's lock; the journal names it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from hubfold.backend.contract import StorageBackend
from hubfold.content import TEMPORARY_PREFIX, IndexedReplica, Root, Signature
from hubfold.disk import directory
from hubfold.disk.directory import Directory, Held
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.locks import passing_lock
from hubfold.display import size as shown_size
from hubfold.errors import HubfoldError, LeftAlone, NoSpace, UsageError
from hubfold.journal.journal import Journal
from hubfold.journal.records import KeeperChange
from hubfold.models.names import ModelName, Name
from hubfold.models.patterns import ALL, Selection, Selections, together
from hubfold.progress import Progress, Stop
from hubfold.reading import compare, extents
from hubfold.reports.runs import DownloadedModel, DownloadReport, Failed, Reused
from hubfold.state.home import Revised
from hubfold.transfer.hub import Hub, Listing
from hubfold.vault import objects

#: Smaller files are fetched: asking for them costs less than looking.
WORTH_IT = 1 << 20
#: Left free beside a download, for the client's own files and everybody else: a twentieth of it, at the most this.
MARGIN = 64 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that the cache lacks and some root may have. `candidates`: best first, those of unknown digest last."""

    path: str
    sha256: str
    size: int
    candidates: tuple[IndexedReplica, ...]


@dataclass(frozen=True, slots=True)
class ModelDownload:
    """What downloading one model means. `listing` is None offline."""

    name: Name
    revision: str | None
    listing: Listing | None
    selection: Selection = ALL
    present_bytes: int = 0
    wanted: tuple[Wanted, ...] = ()
    #: What the client has to fetch, if the candidates are what they claim to be.
    fetch_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """Downloads into one cache. `share`: files of folders that are no caches may be hard-linked, and get read-only."""

    cache: Root
    models: tuple[ModelDownload, ...]
    #: Backends whose files may be hard-linked without asking: caches and vaults.
    caches: frozenset[str] = frozenset()
    share: bool = False

    @property
    def shared_files(self) -> list[str]:
        """Files of other folders that would be hard-linked and made read-only with `share`."""
        found = [(wanted.candidates[0], how) for wanted, how in replace(self, share=True).methods()]
        return [
            source.path for source, how in found if how == "hardlink" and source.backend not in self.caches
        ]

    def methods(self) -> list[tuple[Wanted, str]]:
        """Everything that some root says it has, and how it would be put into the cache."""
        places, folder = FileSystems(), existing(self.cache.path)
        return [
            (wanted, _how(wanted.candidates[0], folder, places, self.share, self.caches))
            for model in self.models
            for wanted in model.wanted
            if "sha256" in wanted.candidates[0].digests
        ]


def default_cache(backends: Mapping[str, StorageBackend], environ: Mapping[str, str]) -> Root:
    """The cache that the client uses by itself. Raises `HubfoldError` where no backend has one."""
    for name, backend in backends.items():
        for path in backend.default_roots(environ):
            root = Root(os.path.realpath(path), name)
            if takes_downloads(backend, root):
                return root
    raise HubfoldError("no loaded backend has a cache to download into", "see `hubfold plugins`")


def takes_downloads(backend: StorageBackend, root: Root) -> bool:
    """Whether a client would find content there."""
    return backend.content_path(root, "model", "org/name", {"sha256": "0" * 64}) is not None


def plan(
    hub: Hub,
    backend: StorageBackend,
    cache: Root,
    models: Sequence[ModelName],
    of_size: Callable[[int], Iterable[IndexedReplica]],
    *,
    caches: frozenset[str],
) -> DownloadPlan:
    """Ask the Hub what there is and the index what of it is here. Raises `HubRefused`, `UsageError`."""
    found = []
    rank = _ranked(caches)
    for asked in models:
        name, revision, selection = asked.repo, asked.revision, asked.selection
        if hub.offline:
            found.append(ModelDownload(name, revision, None, selection))
            continue
        listing = hub.listing(name, revision, selection)
        if not listing.files and selection:
            raise UsageError(f"no file of {name} matches", "look at what is included and excluded")
        found.append(_model(backend, cache, asked, listing, of_size, rank))
    return DownloadPlan(cache, tuple(found), caches)


def _model(
    backend: StorageBackend,
    cache: Root,
    asked: ModelName,
    listing: Listing,
    of_size: Callable[[int], Iterable[IndexedReplica]],
    rank: Callable[[IndexedReplica], object],
) -> ModelDownload:
    name = asked.repo
    present = fetch = 0
    wanted: dict[str, Wanted] = {}
    paths: set[str] = set()
    for file in listing.files:
        path = backend.content_path(cache, name.repo_type, name.repo_id, file.digests)
        if path is None or path in paths:
            continue
        paths.add(path)
        if os.path.exists(path) and os.path.getsize(path) == file.size:
            present += file.size
            continue
        candidates: tuple[IndexedReplica, ...] = ()
        if "sha256" in file.digests and file.size >= WORTH_IT:
            candidates = tuple(_candidates(of_size(file.size), file.digests["sha256"], path, rank))
        if candidates:
            wanted[path] = Wanted(path, file.digests["sha256"], file.size, candidates)
        if not candidates or "sha256" not in candidates[0].digests:
            fetch += file.size
    return ModelDownload(
        name, asked.revision, listing, asked.selection, present, tuple(wanted.values()), fetch
    )


def asked_for(planned: DownloadPlan, before: Mapping[Revised, Selections]) -> dict[Revised, Selections]:
    """What this asks for of each revision, with what was asked for `before`; nothing for all there is."""
    changes: dict[Revised, Selections] = {}
    for model in planned.models:
        if model.listing is not None:
            key = model.name.repo_type, model.name.repo_id, model.listing.commit
            changes[key] = together([*changes.get(key, before.get(key, ())), model.selection])
    return changes


def _candidates(
    replicas: Iterable[IndexedReplica], sha256: str, path: str, rank: Callable[[IndexedReplica], object]
) -> Iterator[IndexedReplica]:
    """One replica of each payload that may be it: those that say so, then those of which it is not known."""
    payloads: dict[tuple[int, int], IndexedReplica] = {}
    for replica in sorted(replicas, key=lambda one: (rank(one), one.path)):
        if replica.path != path and replica.digests.get("sha256", sha256) == sha256:
            payloads.setdefault(replica.payload, replica)
    yield from sorted(payloads.values(), key=lambda one: "sha256" not in one.digests)


def existing(path: str) -> str:
    """The nearest folder at or above `path` that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def check_space(planned: DownloadPlan) -> None:
    """Raise `NoSpace`, with the figures, where the cache's file system has not the room."""
    folder = existing(planned.cache.path)
    copies = sum(wanted.size for wanted, how in planned.methods() if how == "copy")
    fetch = sum(model.fetch_bytes for model in planned.models)
    free = shutil.disk_usage(folder).free
    margin = min(MARGIN, (fetch + copies) // 20)
    if fetch + copies and fetch + copies + margin > free:
        raise NoSpace(
            f"{folder} has {shown_size(free)} free, and this takes {shown_size(fetch + copies)}"
            f" ({shown_size(fetch)} to download, {shown_size(copies)} to copy), with {shown_size(margin)} to spare",
            "make room (`hubfold clean`, `hubfold rm`, `hubfold consolidate`), or name another cache by --into",
        )


def _how(
    source: IndexedReplica, folder: str, places: FileSystems, share: bool, caches: frozenset[str]
) -> str:
    """reflink, hardlink or copy; `caches` are the backends whose files may be hard-linked without asking."""
    try:
        here, there = places.of(folder), places.of(os.path.dirname(source.path))
    except OSError:
        return "copy"
    if here.shares_with(there):
        return "reflink"
    if source.backend in caches:
        share = True
    same_owner = source.uid == os.stat(folder).st_uid
    return "hardlink" if here.links_to(there) and share and same_owner else "copy"


@dataclass(slots=True)
class Placer:
    """Puts content that is here already where the client will find it."""

    journal: Journal
    backend: StorageBackend
    cache: Root
    share: bool
    caches: frozenset[str]
    #: Told what the bytes of a file really are: (signature, sha256).
    learned: Callable[[Signature, str], None]
    progress: Progress
    stop: Stop
    placed: list[Reused] = field(default_factory=list)
    #: Files that are not what their names say.
    lies: list[Failed] = field(default_factory=list)
    _places: FileSystems = field(default_factory=FileSystems)
    _number: int = 0
    _read: dict[Signature, str] = field(default_factory=dict)

    def place_all(self, wanted: Sequence[Wanted]) -> None:
        """Place what can be placed; what cannot, the client fetches. Raises `Interrupted`, `OSError` of the journal."""
        self.progress.start("checking what is here already", sum(item.size for item in wanted), "bytes")
        try:
            for item in wanted:
                self.stop.check()
                for source in item.candidates:
                    if self._try(item, source):
                        break
        finally:
            self.progress.finish()

    def _try(self, item: Wanted, source: IndexedReplica) -> bool:
        try:
            with ExitStack() as held:
                for lock in self.backend.lock_paths(self.cache, item.path):
                    held.enter_context(passing_lock(lock))
                if os.path.lexists(item.path):
                    return True
                keeper = Held(source.root, source.path)
                held.callback(keeper.close)
                return self._place(item, source, keeper)
        except (LeftAlone, OSError):
            return False

    def _place(self, item: Wanted, source: IndexedReplica, keeper: Held) -> bool:
        if keeper.signature.size != item.size or self._read.get(keeper.signature, item.sha256) != item.sha256:
            return False
        directory.make_folders(os.path.dirname(item.path))
        how = _how(source, os.path.dirname(item.path), self._places, self.share, self.caches)
        self._number += 1
        temporary = f"{TEMPORARY_PREFIX}{self.journal.run}-{self._number}"
        with Directory.open(os.path.dirname(item.path)) as folder:
            there = os.path.join(folder.path, temporary)
            self.journal.announce(
                "make", path=item.path, root=self.cache.path, temporary=there, source=source.path
            )
            self.journal.sync()
            try:
                digest = self._make(how, keeper, item, source, folder, temporary)
                if digest != item.sha256:
                    self._lie(item, source, keeper, digest)
                    return False
                folder.rename(temporary, os.path.basename(item.path))
                folder.sync()
            finally:
                with suppress(FileNotFoundError):
                    folder.unlink(temporary)
        self.placed.append(Reused(item.path, source.path, how, item.size))
        self.learned(Signature.of(os.fstat(keeper.fd)), digest)
        return True

    def _lie(self, item: Wanted, source: IndexedReplica, keeper: Held, digest: str) -> None:
        if keeper.unchanged():
            self._read[keeper.signature] = digest
            self.learned(keeper.signature, digest)
        if source.digests.get("sha256") == item.sha256:
            self.lies.append(
                Failed(source.path, f"its bytes are not the {item.sha256} that it is said to be")
            )

    def _make(
        self, how: str, keeper: Held, item: Wanted, source: IndexedReplica, folder: Directory, temporary: str
    ) -> str:
        """Make the file under its temporary name, durable; the sha256 of what it reads."""
        digest = hashlib.sha256()
        if how == "hardlink":
            compare.read_held(keeper, update=digest.update, tick=self._tick)
            if digest.hexdigest() == item.sha256:
                self._hardlink(keeper, source, folder, temporary)
            return digest.hexdigest()
        target = folder.create_file(temporary, 0o644)
        try:
            folder.own_file(target)
            if how == "reflink":
                extents.clone_extents(keeper.fd, target)
                # What is read is what was made: the source may change meanwhile, this may not.
                compare.read_all(folder, temporary, update=digest.update, tick=self._tick)
            else:
                compare.copy_bytes(keeper.fd, target, update=digest.update, tick=self._tick)
            os.fsync(target)
        finally:
            os.close(target)
        return digest.hexdigest()

    def _hardlink(self, keeper: Held, source: IndexedReplica, folder: Directory, temporary: str) -> None:
        mode = keeper.attributes.mode
        if source.backend not in self.caches and mode & 0o222:
            times = (keeper.attributes.mtime_ns, keeper.attributes.mtime_ns)
            change = KeeperChange(
                source.path, source.root, keeper.signature.inode, (mode, mode & ~0o222), times
            )
            self.journal.append("keeper", **change.as_record())
            self.journal.sync()
            directory.set_mode(keeper.fd, mode & ~0o222)
        os.fsync(keeper.fd)
        folder.link_from(keeper.directory, keeper.name, temporary)
        if not keeper.is_here(folder, temporary) or not keeper.unchanged():
            raise LeftAlone("it changed while it was read")

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()


def _ranked(caches: frozenset[str]) -> Callable[[IndexedReplica], int]:
    """How good a replica is to take content from: a vault's, a cache's, any other."""
    return lambda replica: 0 if replica.backend == objects.NAME else 1 if replica.backend in caches else 2


def preview(planned: DownloadPlan) -> DownloadReport:
    """A plan in the form of a report."""
    reused = tuple(
        Reused(wanted.path, wanted.candidates[0].path, how, wanted.size) for wanted, how in planned.methods()
    )
    return DownloadReport(
        planned.cache.path, None, tuple(_told(model, None, None) for model in planned.models), reused
    )


def _told(model: ModelDownload, path: str | None, fetched: int | None) -> DownloadedModel:
    listing = model.listing
    return DownloadedModel(
        str(model.name),
        path,
        listing.commit if listing else os.path.basename(path) if path else None,
        len(listing.files) if listing else 0,
        listing.bytes if listing else 0,
        model.present_bytes,
        model.fetch_bytes if fetched is None else fetched,
    )


def fetch_all(
    hub: Hub,
    planned: DownloadPlan,
    run: str | None,
    reused: tuple[Reused, ...],
    lies: tuple[Failed, ...],
    stop: Stop,
) -> DownloadReport:
    """Let the client fetch what is left of each model. Raises the first error if no model could be had."""
    done: list[DownloadedModel] = []
    failed = list(lies)
    first: HubfoldError | None = None
    here = {item.path for item in reused}
    for model in planned.models:
        stop.check()
        # The client resumes whatever it was cut off in, and nothing of hubfold's is open.
        stop.anywhere = True
        try:
            path = hub.fetch(model.name, model.revision, planned.cache.path, model.selection)
        except HubfoldError as error:
            first = first or error
            failed.append(Failed(str(model.name), str(error)))
            continue
        finally:
            stop.anywhere = False
        # What the index was wrong about, or right without knowing, came otherwise than planned.
        claimed = {wanted.path for wanted in model.wanted if "sha256" in wanted.candidates[0].digests}
        fetched = model.fetch_bytes + sum(
            wanted.size * ((wanted.path in claimed) - (wanted.path in here))
            for wanted in model.wanted
            if (wanted.path in claimed) != (wanted.path in here)
        )
        done.append(_told(model, path, fetched))
    if first is not None and not done:
        raise first
    return DownloadReport(planned.cache.path, run, tuple(done), reused, (), tuple(failed))
