"""What adopting a folder makes: a model of a cache out of files that stay where they are.

How content comes into the cache: shared extents where the file system has them; a hard link within one file system and
owner, by which the file of the folder is read-only from then on; else a copy. What the client of the cache might copy
over the folder's file (`Capabilities.copies_over`) and what is small is a copy in any case: the user may edit it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hubfold.adoption.renewing import Renewal
from hubfold.adoption.sources import Source
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import ModelPart, Offer
from hubfold.content import Root
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.paths import existing
from hubfold.errors import HubfoldError
from hubfold.reports.outcomes import Left
from hubfold.reports.transfers import AdoptReport, Reused
from hubfold.transfer.archive import BackedUp, Part, unfit
from hubfold.transfer.restore import RestorePlan

#: Smaller files are what people edit: the folder keeps its own, in bytes.
SHARED_FROM = 1 << 20


@dataclass(frozen=True, slots=True)
class TakePlan:
    """Models of a cache to be made of files that lie somewhere else on this machine."""

    restore: RestorePlan
    #: By sha256: where the content of parts is read, and that of notes which are made.
    sources: Mapping[str, Source]
    notes: Mapping[str, bytes]
    #: By sha256: reflink, hardlink or copy.
    how: Mapping[str, str]
    left: tuple[Left, ...] = ()
    #: Notes there that are to say what newer ones say.
    renewals: tuple[Renewal, ...] = ()

    @property
    def root(self) -> Root:
        return self.restore.root

    def lacking(self) -> list[Part]:
        """Parts with content that the cache has not, each content once."""
        found: dict[str, Part] = {}
        for model in self.restore.models:
            for part in model.parts:
                if part.link is None and not os.path.lexists(os.path.join(self.root.path, part.name)):
                    found.setdefault(part.sha256, part)
        return list(found.values())

    @property
    def made(self) -> tuple[str, ...]:
        """The paths that come into the cache."""
        names = dict.fromkeys(part.name for model in self.restore.models for part in model.parts)
        paths = (os.path.join(self.root.path, name) for name in names)
        return tuple(path for path in paths if not os.path.lexists(path))

    @property
    def reused(self) -> tuple[Reused, ...]:
        """Those of them that have bytes of a file elsewhere."""
        return tuple(
            Reused(os.path.join(self.root.path, part.name), source.path, self.how[part.sha256], part.size)
            for part in self.lacking()
            if (source := self.sources.get(part.sha256)) is not None
        )

    @property
    def copied_bytes(self) -> int:
        """What has to be written."""
        return sum(part.size for part in self.lacking() if self.how.get(part.sha256, "copy") == "copy")


@dataclass(frozen=True, slots=True)
class AdoptPlan(TakePlan):
    """Everything that adopting one folder would do."""

    offer: Offer = field(kw_only=True)

    @property
    def read_only(self) -> list[str]:
        """Files of the folder that get read-only, since the cache reads them too."""
        lacking = {part.sha256 for part in self.lacking()}
        return [
            source.path
            for sha256, source in self.sources.items()
            if sha256 in lacking and self.how[sha256] == "hardlink" and os.stat(source.real).st_mode & 0o222
        ]


def plan(
    offer: Offer,
    refs: Sequence[str],
    sources: Mapping[str, Source],
    root: Root,
    backends: Mapping[str, GuardedBackend],
    left: Sequence[Left] = (),
) -> AdoptPlan:
    """`offer` is complete, `sources` are its files by path. Raises `HubfoldError` where the cache takes none such."""
    backend = backends[root.backend]
    notes: dict[str, bytes] = {}
    parts = tuple(_part(part, sources, notes) for part in backend.arranged(offer, refs))
    model = BackedUp(root.backend, offer.repo_type, offer.repo_id, offer.revision, parts)
    reason = unfit(model, backends)
    if reason:
        raise HubfoldError(
            f"{offer.path} cannot be made a model of {root.path}: {reason}", "nothing was changed"
        )
    places = {part.name: place for part in parts if (place := backend.place(part.name)) is not None}
    used = {part.sha256 for part in parts if part.link is None}
    by_sha256 = {one.digests["sha256"]: one for one in sources.values()}
    chosen = {sha256: one for sha256, one in by_sha256.items() if sha256 in used}
    names = {file.path: file.algorithm for file in offer.files}
    places_of = FileSystems()
    how = {
        sha256: how_to_give(one, root, places_of, apart=_apart(one, names.get(one.path, ""), backend))
        for sha256, one in chosen.items()
    }
    return AdoptPlan(RestorePlan(root, (model,), places), chosen, notes, how, left=tuple(left), offer=offer)


def _part(part: ModelPart, sources: Mapping[str, Source], notes: dict[str, bytes]) -> Part:
    if part.text is not None:
        return Part(part.name, link=part.text)
    if part.content is not None:
        data = os.fsencode(part.content)
        sha256 = hashlib.sha256(data).hexdigest()
        notes[sha256] = data
        return Part(part.name, sha256, len(data))
    source = sources[part.source]
    return Part(part.name, source.digests["sha256"], source.size, max(source.signature.mtime_ns, 0))


def _apart(source: Source, algorithm: str, backend: GuardedBackend) -> bool:
    """Whether the folder keeps a file of its own."""
    return algorithm in backend.capabilities.copies_over or source.size < SHARED_FROM


def how_to_give(source: Source, root: Root, places: FileSystems, *, apart: bool = False) -> str:
    """reflink, hardlink or copy; `apart`: not as one file with what is there."""
    folder = existing(root.path)
    try:
        here, there = places.of(folder), places.of(os.path.dirname(source.real))
    except OSError:
        return "copy"
    if here.shares_with(there):
        return "reflink"
    same_owner = source.uid == os.stat(folder).st_uid
    return "hardlink" if here.links_to(there) and same_owner and not apart else "copy"


def preview(planned: AdoptPlan) -> AdoptReport:
    """A plan in the form of a report, with no run."""
    return AdoptReport(
        folder=planned.offer.path,
        cache=planned.root.path,
        run=None,
        model=planned.offer.repo_id,
        commit=planned.offer.revision,
        told_by=planned.offer.told_by,
        made=planned.made,
        reused=planned.reused,
        written=planned.copied_bytes,
        read_only=tuple(planned.read_only),
        missing=planned.offer.missing,
        left=planned.left,
    )
