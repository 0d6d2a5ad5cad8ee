"""Downloads: what some root has already is put into the cache first, and the client fetches the rest.

Content is put where the client looks for it (`StorageBackend.content_path`), and only after its bytes were read and are
the sha256 that the Hub names: a name or a remembered digest is a reason to look, never to link. How:

- shared extents, where the file system has them: nothing can be written through one to the other;
- a hard link, from another cache of the same file system and owner. From any other folder only if the user agreed
  (`share`), since a file that two places read is made read-only;
- a copy in all other cases, also from another drive. A symlink would take no space, but the cache would break when that
  drive is away; `hubfold consolidate` makes the symlink for whoever wants that.

Each is made under a temporary name beside its place, fsynced, renamed, under the layout's lock; the journal names it.

What lies there already and is not what the Hub says (cut short, emptied, read and found corrupt) a client would take
for whole: it is a `BadFile`, which `doctor`'s repairs put right before the client is let to it. Last of all each model
is judged as `hubfold check` judges it; one that is not whole then is no success.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hubfold import display
from hubfold.backend.boundary import GuardedBackend
from hubfold.content import VAULT, IndexedReplica, Partial, Root, Signature, SnapshotFile
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import existing
from hubfold.errors import HubAway, HubfoldError, NoSpace, UsageError
from hubfold.library import sound
from hubfold.library.contents import Computed
from hubfold.models.names import ModelName, Name
from hubfold.models.patterns import ALL, Selection, Selections, together
from hubfold.progress import Stop
from hubfold.reading import extents
from hubfold.reports.outcomes import Failed
from hubfold.reports.transfers import DamagedFile, DownloadedModel, DownloadReport, Reused
from hubfold.state.home import Revised
from hubfold.transfer.hub import Hub, ListedFile, Listing

#: Smaller files are fetched: asking for them costs less than looking.
WORTH_IT = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
#: Left free beside a download, for the client's own files and everybody else: a twentieth of it, at the most this.
MARGIN = 64 << 20


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file that the cache lacks and some root may have. `candidates`: best first, those of unknown digest last."""

    path: str
    sha256: str
    size: int
    candidates: tuple[IndexedReplica, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """A file of which an earlier attempt left the first `size` bytes at `source`, gone on with at `partial`.

    Of one that a neighbour has `size` may be 0: all of it is fetched there.
    """

    path: str
    sha256: str
    partial: str
    source: str
    size: int
    model: Name
    commit: str
    file: ListedFile
    #: The endpoints that say that they have it.
    neighbours: tuple[str, ...] = ()

    @property
    def rest(self) -> int:
        """Bytes that are missing."""
        return self.file.size - self.size

    @property
    def elsewhere(self) -> bool:
        """Whether what was begun takes no space of the cache yet."""
        return os.path.dirname(self.source) != os.path.dirname(self.partial)


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file of the cache that is not what the Hub says; `path` is free of symlinks."""

    path: str
    model: Name
    commit: str
    listed: ListedFile
    #: How it is not: for a person.
    reason: str


@dataclass(frozen=True, slots=True)
class Here:
    """A revision that the cache has whole: the folder that programs are given, its files and bytes."""

    path: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelDownload:
    """What downloading one model means. `listing` is None offline, and where nobody has to be asked."""

    name: Name
    revision: str | None
    listing: Listing | None
    selection: Selection = ALL
    present_bytes: int = 0
    wanted: tuple[WantedFile, ...] = ()
    #: What the client has to fetch, if the candidates are what they claim to be.
    fetch_bytes: int = 0
    bad: tuple[BadFile, ...] = ()
    #: What is gone on with; the rest of each is among `fetch_bytes`.
    begun: tuple[Begun, ...] = ()
    #: What of `fetch_bytes` neighbours say that they have.
    neighbour_bytes: int = 0
    #: Bytes that earlier attempts left of files that have to be fetched, and that the client does not go on with.
    lost_bytes: int = 0
    #: The name as it was given, for whoever judges what came as `hubfold check` does.
    asked: ModelName | None = None
    #: It is there already, and the Hub cannot or need not be asked: why.
    here: Here | None = None
    why_here: str = ""


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """Downloads into one cache. `share`: files of folders that are no caches may be hard-linked, and get read-only."""

    cache: Root
    models: tuple[ModelDownload, ...]
    #: Backends whose files may be hard-linked without asking: caches and vaults.
    caches: frozenset[str] = frozenset()
    share: bool = False
    #: What the cache is called as a place, "" where it has no name, and why the models go there and not to the first.
    called: str = ""
    why: str = ""
    #: What goes to other caches.
    elsewhere: tuple[DownloadPlan, ...] = ()

    @property
    def each(self) -> tuple[DownloadPlan, ...]:
        """The plan for each cache, without what goes elsewhere."""
        return (replace(self, elsewhere=()), *self.elsewhere)

    @property
    def written_bytes(self) -> int:
        """What is new to the drive of the cache: fetched or copied."""
        return self.copied_bytes + sum(model.fetch_bytes for model in self.models)

    @property
    def copied_bytes(self) -> int:
        copies = sum(wanted.size for wanted, how in self.methods() if how == "copy")
        return copies + sum(one.size for model in self.models for one in model.begun if one.elsewhere)

    def sharing(self) -> DownloadPlan:
        """The same, where the user agreed to hard links of files of his folders."""
        return replace(self, share=True, elsewhere=tuple(one.sharing() for one in self.elsewhere))

    @property
    def shared_files(self) -> list[str]:
        """Files of other folders that would be hard-linked and made read-only with `share`."""
        found = [(wanted.candidates[0], how) for one in self.sharing().each for wanted, how in one.methods()]
        return [
            source.path for source, how in found if how == "hardlink" and source.backend not in self.caches
        ]

    def methods(self) -> list[tuple[WantedFile, str]]:
        """Everything that some root says it has, and how it would be put into the cache."""
        places, folder = FileSystems(), existing(self.cache.path)
        return [
            (wanted, how_to_place(wanted.candidates[0], folder, places, self.share, self.caches))
            for model in self.models
            for wanted in model.wanted
            if "sha256" in wanted.candidates[0].digests
        ]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of what is here already: the index, and the revisions of the cache."""

    of_size: Callable[[int], Iterable[IndexedReplica]]
    #: What was read of a payload.
    computed: Computed
    #: The whole revision that somebody asks for, None where the cache has none.
    here: Callable[[ModelName], Here | None]
    #: By name, what a revision of the cache offers to programs.
    files: Callable[[Name, str], Mapping[str, SnapshotFile]]
    #: Downloads of a model in the cache that are not at their end.
    begun: Callable[[Name], Iterable[Partial]]
    #: Those of a sha256 in any root.
    begun_anywhere: Callable[[str], Iterable[Partial]]
    #: Which neighbours have content (sha256 → bytes): sha256 → endpoints.
    neighbours: Callable[[Mapping[str, int]], Mapping[str, tuple[str, ...]]] = lambda _: {}


def plan(
    hub: Hub,
    backend: GuardedBackend,
    cache: Root,
    models: Sequence[ModelName],
    known: Known,
    *,
    caches: frozenset[str],
) -> DownloadPlan:
    """Ask the Hub what there is and the index what of it is here. Raises `HubRefused`, `UsageError`.

    The Hub is not asked for a commit that is whole already, for a commit never changes; where it does not answer, what
    is whole already is taken, as the client does.
    """
    found = []
    for asked in models:
        if hub.offline:
            found.append(ModelDownload(asked.repo, asked.revision, None, asked.selection))
            continue
        if asked.revision is not None and _COMMIT.fullmatch(asked.revision):
            here = known.here(asked)
            if here is not None:
                found.append(_as_it_is(asked, here, "a commit does not change: the Hub was not asked"))
                continue
        try:
            listing = hub.listing(asked.repo, asked.revision, asked.selection)
        except HubAway as away:
            here = known.here(asked)
            if here is None:
                raise
            found.append(_as_it_is(asked, here, str(away)))
            continue
        if not listing.files and asked.selection:
            raise UsageError(f"no file of {asked.repo} matches", "look at what is included and excluded")
        one = _model(backend, cache, asked, listing, known=known, rank=_ranked(caches))
        one = _going_on(hub, backend, cache, one, known)
        found.append(replace(one, lost_bytes=_lost(one, known) if one.fetch_bytes and not hub.resumes else 0))
    return DownloadPlan(cache, tuple(found), caches)


def _as_it_is(asked: ModelName, here: Here, why: str) -> ModelDownload:
    return ModelDownload(
        asked.repo, asked.revision, None, asked.selection, present_bytes=here.bytes, here=here, why_here=why
    )


def _model(
    backend: GuardedBackend,
    cache: Root,
    asked: ModelName,
    listing: Listing,
    *,
    known: Known,
    rank: Callable[[IndexedReplica], object],
) -> ModelDownload:
    name = asked.repo
    present = fetch = 0
    wanted: dict[str, WantedFile] = {}
    bad: dict[str, BadFile] = {}
    paths: set[str] = set()
    offered = known.files(name, listing.commit)
    for file in listing.files:
        path = backend.content_path(cache, name.repo_type, name.repo_id, file.digests)
        for place in (path, offered[file.path].path if file.path in offered else None):
            reason = _fault(place, file, known.computed) if place is not None else None
            if place is not None and reason is not None:
                real = os.path.realpath(place)
                bad.setdefault(real, BadFile(real, name, listing.commit, file, reason))
        if path is None or path in paths:
            continue
        paths.add(path)
        if os.path.realpath(path) in bad:
            fetch += file.size
            continue
        if os.path.exists(path):
            present += file.size
            continue
        candidates: tuple[IndexedReplica, ...] = ()
        if "sha256" in file.digests and file.size >= WORTH_IT:
            candidates = tuple(_candidates(known.of_size(file.size), file.digests["sha256"], path, rank))
        if candidates:
            wanted[path] = WantedFile(path, file.digests["sha256"], file.size, candidates)
        if not candidates or "sha256" not in candidates[0].digests:
            fetch += file.size
    return ModelDownload(
        name=name,
        revision=asked.revision,
        listing=listing,
        selection=asked.selection,
        present_bytes=present,
        wanted=tuple(wanted.values()),
        fetch_bytes=fetch,
        bad=tuple(bad.values()),
    )


def _going_on(
    hub: Hub, backend: GuardedBackend, cache: Root, model: ModelDownload, known: Known
) -> ModelDownload:
    """With the largest beginning that any root has of each file that would be fetched as a whole, and what neighbours
    have of them."""
    assert model.listing is not None
    name, found = model.name, dict[str, Begun]()
    absent = dict(_absent(backend, cache, model))
    having = known.neighbours({file.digests["sha256"]: file.size for file in absent.values()})
    for path, file in absent.items():
        sha256 = file.digests["sha256"]
        near = having.get(sha256, ())
        source, size = _longest(known.begun_anywhere(sha256), file.size)
        gone_on = size > 0 and hub.can_fetch_rest(file.size)
        if not gone_on and not near:
            continue
        partial = backend.partial_path(cache, name.repo_type, name.repo_id, file.digests)
        if partial is not None and os.path.dirname(partial) == os.path.dirname(path):
            found[path] = Begun(
                path,
                sha256,
                partial,
                source or partial,
                size,
                model=name,
                commit=model.listing.commit,
                file=file,
                neighbours=near,
            )
    begun = tuple(found.values())
    near_bytes = sum(one.rest for one in begun if one.neighbours)
    return replace(
        model,
        begun=begun,
        fetch_bytes=model.fetch_bytes - sum(one.size for one in begun),
        neighbour_bytes=near_bytes,
    )


def _absent(backend: GuardedBackend, cache: Root, model: ModelDownload) -> Iterator[tuple[str, ListedFile]]:
    """(path in the cache, file) of what no root has, of files that are worth it."""
    assert model.listing is not None
    name, known_here = model.name, {one.path for one in model.wanted}
    for file in model.listing.files:
        if "sha256" not in file.digests or file.size < WORTH_IT:
            continue
        path = backend.content_path(cache, name.repo_type, name.repo_id, file.digests)
        if path is not None and path not in known_here and not os.path.lexists(path):
            yield path, file


def _longest(partials: Iterable[Partial], most: int) -> tuple[str, int]:
    """(path, bytes up to the first hole) of the one that has most; none of less than is worth it, or of too much."""
    best = "", 0
    for one in sorted(partials, key=lambda one: one.path):
        with suppress(OSError):
            size = extents.beginning(one.path)
            if WORTH_IT <= size <= most and size > best[1]:
                best = one.path, size
    return best


def _lost(model: ModelDownload, known: Known) -> int:
    """What was begun of it in the cache and nobody goes on with."""
    gone_on = {one.sha256 for one in model.begun}
    partials = {one.path: one for one in known.begun(model.name)}.values()
    return sum(one.size for one in partials if one.digests.get("sha256") not in gone_on)


def _fault(path: str, file: ListedFile, computed: Computed) -> str | None:
    """How what lies at `path` is not the file; None where nothing speaks against it, or nothing lies there."""
    try:
        st = os.stat(path)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
    if st.st_size != file.size:
        return f"has {st.st_size} bytes instead of {file.size}"
    read = computed(Signature.of(st))
    if any(read.get(name, value) != value for name, value in file.digests.items()):
        return "is corrupt: its bytes were read and are not what its name says"
    return sound.small(SnapshotFile(file.path, path, st.st_size, file.digests))


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


def check_space(planned: DownloadPlan, reserve: int = 0, besides: int = 0) -> None:
    """Raise `NoSpace`, with the figures, where the cache's file system has not the room, or less than `reserve` bytes
    would stay free. About one cache (see `DownloadPlan.each`), `besides` what comes to other caches on its drive."""
    folder = existing(planned.cache.path)
    copies = planned.copied_bytes
    fetch = sum(model.fetch_bytes for model in planned.models)
    free = shutil.disk_usage(folder).free
    margin = margin_of(fetch + copies)
    if fetch + copies and fetch + copies + besides + max(margin, reserve) > free:
        parts = f"{display.size(fetch)} to download, {display.size(copies)} to copy"
        parts += f", beside {display.size(besides)} to other places on that drive" if besides else ""
        spare = (
            f"and {display.size(reserve)} are kept in reserve"
            if reserve > margin
            else f"with {display.size(margin)} to spare"
        )
        lower = ", or lower `reserve` in config.toml" if reserve > margin else ""
        raise NoSpace(
            f"{folder} has {display.size(free)} free, and this takes {display.size(fetch + copies)} ({parts}), {spare}",
            "make room (`hubfold clean`, `hubfold rm`, `hubfold consolidate`), or name another cache by --into"
            + lower,
        )


def margin_of(size: int) -> int:
    """What is to stay free beside a download of `size` bytes."""
    return min(MARGIN, size // 20)


def how_to_place(
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


def _ranked(caches: frozenset[str]) -> Callable[[IndexedReplica], int]:
    """How good a replica is to take content from: a vault's, a cache's, any other."""
    return lambda replica: 0 if replica.backend == VAULT else 1 if replica.backend in caches else 2


def preview(planned: DownloadPlan) -> DownloadReport:
    """A plan in the form of a report."""
    reused = tuple(
        Reused(wanted.path, wanted.candidates[0].path, how, wanted.size) for wanted, how in planned.methods()
    )
    return DownloadReport(
        planned.cache.path,
        None,
        tuple(_told(model, None, None) for model in planned.models),
        reused,
        place=planned.called,
        why=planned.why,
        elsewhere=tuple(map(preview, planned.elsewhere)),
    )


def _told(model: ModelDownload, path: str | None, fetched: int | None) -> DownloadedModel:
    listing, here = model.listing, model.here
    path = here.path if here is not None else path
    return DownloadedModel(
        name=str(model.name),
        path=path,
        commit=listing.commit if listing else os.path.basename(path) if path else None,
        files=len(listing.files) if listing else here.files if here else 0,
        bytes=listing.bytes if listing else here.bytes if here else 0,
        present_bytes=model.present_bytes,
        fetch_bytes=model.fetch_bytes if fetched is None else fetched,
        damaged=tuple(DamagedFile(file.listed.path, file.reason) for file in model.bad),
        as_it_is=model.why_here,
        lost_bytes=model.lost_bytes,
        gone_on_bytes=sum(one.size for one in model.begun),
        neighbour_bytes=model.neighbour_bytes,
    )


@dataclass(frozen=True, slots=True)
class Already:
    """What was done before the client fetches: the run that put `reused` into the cache, files that are not what they
    are said to be, and the bad files (`BadFile.path`) that another copy has put right."""

    run: str | None = None
    reused: tuple[Reused, ...] = ()
    lies: tuple[Failed, ...] = ()
    mended: frozenset[str] = frozenset()


def fetch_all(
    hub: Hub, planned: DownloadPlan, stop: Stop, already: Already, go_on: Callable[[Begun], bool]
) -> DownloadReport:
    """Let the client fetch what is left of each model, once `go_on` has made whole what was begun.

    Raises the first error if no model could be had.
    """
    done: list[DownloadedModel] = []
    failed = list(already.lies)
    first: HubfoldError | None = None
    here = {item.path for item in already.reused}
    for model in planned.models:
        stop.check()
        if model.here is not None:
            done.append(_told(model, model.here.path, 0))
            continue
        # What is cut off can be gone on with, or is begun anew, and nothing of hubfold's is open.
        stop.anywhere = True
        try:
            anew = sum(one.size for one in model.begun if not go_on(one))
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
        fetched += anew - sum(file.listed.size for file in model.bad if file.path in already.mended)
        done.append(_told(model, path, fetched))
    if first is not None and not done:
        raise first
    return DownloadReport(
        planned.cache.path,
        already.run,
        tuple(done),
        already.reused,
        failed=tuple(failed),
        place=planned.called,
        why=planned.why,
    )
