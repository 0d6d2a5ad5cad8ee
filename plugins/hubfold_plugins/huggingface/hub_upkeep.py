"""What of one repository of a hub cache goes together, what is left over in it, and what makes a revision whole.

The order of a removal follows from what clients take for whole. One of 0.36.2 gives out a snapshot folder because it
is there, a newer one asks ``trees/<commit>.json`` too; both come to it by a ref. So refs go first, the snapshot folder
vanishes in one rename, and its blobs after it. The rename leads to ``<repository>/``, where no client lists names (a
strange name in ``snapshots/`` would be a revision, one in the cache a warning).

Payloads of the shared store (1.32.0 and later) follow the store's own rule, which is the client's
``sweep_shared_blob``: under ``<xet hash>.lock``, if ``<xet hash>.refs`` is there and none of its lines names a
``models--*/blobs/<etag>`` that is a symlink to the payload, payload and ``.refs`` go, and the lock file stays.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import chain

from hubfold.backend.changes import (
    Gap,
    Kept,
    Leftover,
    LeftoverKind,
    ModelPart,
    PartPlace,
    Removal,
    SharedPayload,
)
from hubfold.backend.contract import Walk
from hubfold_plugins.huggingface.claims import claims_of_etag, claims_of_link
from hubfold_plugins.huggingface.hub_linked import own_blob, shares_its_blobs
from hubfold_plugins.huggingface.hub_metadata import COMMIT, XET_HASH, read_tree
from hubfold_plugins.huggingface.hub_repository import INCOMPLETE

_KNOWN = frozenset({"blobs", "refs", "snapshots", "trees", ".no_exist"})
#: What of a repository may lie elsewhere, behind a link of its own.
_LINKABLE = ("blobs", "snapshots")
_RECORDS_LIMIT = 1 << 20


@dataclass(slots=True)
class Contents:
    """Every name in one repository, by what it is."""

    path: str
    #: ref file → commit, "" where it names none.
    refs: dict[str, str] = field(default_factory=dict)
    #: commit → path in the snapshot → the blob it links to, None for a file of its own.
    snapshots: dict[str, dict[str, str | None]] = field(default_factory=dict)
    blobs: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    #: commit → the files of trees/ and .no_exist/ about it.
    records: dict[str, list[str]] = field(default_factory=dict)
    #: Deepest first.
    folders: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    #: A folder of it could not be looked into: nobody knows which blobs are used, and which revisions are named.
    unsure: bool = False

    @property
    def used(self) -> set[str]:
        """The blobs that a snapshot links to."""
        return {blob for files in self.snapshots.values() for blob in files.values() if blob is not None}


def read(path: str, walk: Walk) -> Contents:
    """Everything in the repository at `path`; empty where it is missing."""
    found = Contents(path)
    snapshots = os.path.join(path, "snapshots")
    linked = [part for name in _LINKABLE if walk.leads_to(part := os.path.join(path, name)) is not None]
    # Of a repository that is gone nothing is needed: what is there and cannot be read is another matter.
    unseen = set() if walk.dangles(path) else {path, *linked}
    for folder in chain(walk.folders(path), *map(walk.folders, linked)):
        unseen.discard(folder.path)
        unseen.update(
            os.path.join(folder.path, name) for name in folder.folders if not name.startswith(".hubfold")
        )
        found.folders.append(folder.path)
        if folder.path == snapshots:
            found.snapshots.update({name: {} for name in folder.folders})
        inside = os.path.join(folder.path, "")
        links = {name for name in folder.links if inside + name not in linked}
        names = set(folder.names).difference(folder.folders)
        for name in sorted(names - set(folder.links) | links):
            if not name.startswith(".hubfold"):
                _sort(found, inside + name, name in links, walk)
    parts = tuple(os.path.join(path, part, "") for part in ("refs", "snapshots"))
    found.unsure = found.unsure or any(one == path or f"{one}/".startswith(parts) for one in unseen)
    found.folders.sort(key=lambda folder: (-folder.count("/"), folder))
    return found


def _sort(found: Contents, path: str, is_link: bool, walk: Walk) -> None:
    part, _, below = path[len(found.path) + 1 :].partition("/")
    commit = below.partition("/")[0]
    if part == "refs" and below and not is_link:
        text = walk.read_text(path, 256)
        found.unsure = found.unsure or text is None
        named = (text or "").strip()
        found.refs[path] = named if COMMIT.fullmatch(named) else ""
    elif part == "snapshots" and "/" in below:
        text = walk.readlink(path) if is_link else None
        found.snapshots.setdefault(commit, {})[path] = _target(found.path, path, text, walk) if text else None
    elif part == "blobs" and below and "/" not in below:
        if below.endswith(INCOMPLETE):
            found.incomplete.append(path)
        elif claims_of_etag(below) or (is_link and not below.startswith(".")):
            found.blobs.append(path)
        else:
            found.foreign.append(path)
    elif part == "trees" and below.endswith(".json") and "/" not in below:
        found.records.setdefault(below.removesuffix(".json"), []).append(path)
    elif part == ".no_exist" and "/" in below:
        found.records.setdefault(commit, []).append(path)
    else:
        found.foreign.append(path)


def _target(repository: str, link: str, text: str, walk: Walk) -> str:
    """What a snapshot's link leads to; one of the repository's own blobs by its path in ``blobs/``."""
    if text.startswith("../../") and walk.leads_to(os.path.join(repository, "snapshots")) is None:
        return os.path.normpath(os.path.join(os.path.dirname(link), text))
    own = own_blob(repository, link, text, walk)
    return own or os.path.normpath(os.path.join(os.path.dirname(link), text))


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Removals and leftovers of one repository. `cache` is the folder that it lies in, "" where that is no root."""

    root: str
    path: str
    walk: Walk
    repo_id: str = ""
    repo_type: str = ""
    cache: str = ""

    def _removal(self, **what: object) -> Removal:
        return Removal(self.root, "hub-cache", self.repo_id, self.repo_type, path=self.path, **what)  # type: ignore[arg-type]

    def removal(self, revisions: Collection[str] | None) -> Removal | None:
        """The named revisions, or all there is of the repository; the last revision takes the rest with it."""
        found = read(self.path, self.walk)
        if not found.folders:
            return None
        if revisions is not None and not set(revisions) & set(found.snapshots):
            return None
        if revisions is None or set(found.snapshots) <= set(revisions):
            return self._whole(found)
        return self._revisions(found, sorted(set(revisions) & set(found.snapshots)))

    def _whole(self, found: Contents) -> Removal:
        content = [*found.blobs, *found.incomplete]
        if shares_its_blobs(self.path, self.walk):
            content = sorted(found.used.intersection(found.blobs))
        return self._removal(
            revisions=tuple(sorted(found.snapshots)),
            whole=True,
            refs=tuple(found.refs),
            folders=tuple(os.path.join(self.path, "snapshots", commit) for commit in sorted(found.snapshots)),
            inside=tuple(path for files in found.snapshots.values() for path in files),
            aside=self.path,
            records=tuple(path for paths in found.records.values() for path in paths),
            content=tuple(content),
            payloads=self._payloads(content),
            empty=tuple(
                folder
                for folder in found.folders
                if not folder.startswith(os.path.join(self.path, "snapshots", ""))
            ),
            kept=tuple(
                Kept(path, "is no file of a hub cache: it was put there by hand") for path in found.foreign
            ),
        )

    def _revisions(self, found: Contents, revisions: list[str]) -> Removal:
        stay = {
            blob
            for commit, files in found.snapshots.items()
            if commit not in revisions
            for blob in files.values()
        }
        go = {blob for commit in revisions for blob in found.snapshots[commit].values()} - stay
        content = [path for path in found.blobs if path in go]
        records = [path for commit in revisions for path in found.records.get(commit, ())]
        return self._removal(
            revisions=tuple(revisions),
            refs=tuple(path for path, commit in found.refs.items() if commit in revisions),
            folders=tuple(os.path.join(self.path, "snapshots", commit) for commit in revisions),
            inside=tuple(path for commit in revisions for path in found.snapshots[commit]),
            aside=self.path,
            records=tuple(records),
            content=tuple(content),
            payloads=self._payloads(content),
            empty=tuple(
                folder
                for folder in found.folders
                if os.path.relpath(folder, self.path).startswith(("refs/", ".no_exist/"))
            ),
        )

    def _payloads(self, blobs: Collection[str]) -> tuple[SharedPayload, ...]:
        """The shared payloads that nobody uses once these blobs are gone."""
        if not self.cache:
            return ()
        found = {}
        for blob in blobs:
            payload = payload_of(blob, self.walk)
            if payload is not None and payload not in found:
                users = users_of(payload, self.cache, self.walk)
                if users is not None and users <= set(blobs):
                    found[payload] = SharedPayload(payload, f"{payload}.refs")
        return tuple(found.values())

    def leftovers(self) -> Iterator[Leftover]:
        """What no revision needs, and the revisions that no ref names."""
        found = read(self.path, self.walk)
        if not (any(found.snapshots.values()) or found.foreign or found.unsure):
            newest = max(map(self._touched, (*found.folders, *found.blobs, *found.incomplete)), default=0)
            yield Leftover(LeftoverKind.EMPTY, self.path, self._whole(found), newest)
            return
        shared = shares_its_blobs(self.path, self.walk)
        for path in found.incomplete if not shared else ():
            yield Leftover(
                LeftoverKind.INTERRUPTED, path, self._removal(content=(path,)), self._touched(path)
            )
        if found.unsure:
            return
        used = found.used
        for path in found.blobs if not shared else ():
            if path not in used:
                # A client links a blob right after it has it, so only one that has lain there is no client's.
                removal = self._removal(content=(path,), payloads=self._payloads([path]))
                yield Leftover(LeftoverKind.UNUSED, path, removal, self._touched(path))
        named = set(found.refs.values())
        detached = [commit for commit in sorted(found.snapshots) if commit not in named]
        # All of them at once: one by one, none would be the last to use a blob.
        if detached:
            whole = len(detached) == len(found.snapshots)
            removal = self._whole(found) if whole else self._revisions(found, detached)
            yield Leftover(LeftoverKind.DETACHED, self.path, removal)

    def _touched(self, path: str) -> int:
        """When a path was last written to, ns since the epoch."""
        st = self.walk.stat(path)
        return 0 if st is None else st.st_mtime_ns

    def gaps(self) -> Iterator[Gap]:
        """Links of snapshots whose blob is missing, and those that lead to where the cache was once."""
        blobs, moved = os.path.join(self.path, "blobs"), os.path.join(self.path, "snapshots")
        elsewhere = self.walk.leads_to(moved) is not None
        for commit, files in read(self.path, self.walk).snapshots.items():
            for path in files:
                text = self.walk.readlink(path) if self.walk.dangles(path) else None
                digests = claims_of_link(text or "")
                content = os.path.join(blobs, os.path.basename(text or ""))
                # A blob that is a link itself leads to a drive that is away, or to the shared store.
                if text is None or not digests or self.walk.readlink(content) is not None:
                    continue
                own = own_blob(self.path, path, text, self.walk) == content
                new = content if elsewhere else os.path.relpath(content, os.path.dirname(path))
                yield Gap(path, digests, content, "" if own else new, self._size(commit, path))

    def _size(self, commit: str, path: str) -> int | None:
        listing = read_tree(self.walk, os.path.join(self.path, "trees", f"{commit}.json"))
        known = listing.get(os.path.relpath(path, os.path.join(self.path, "snapshots", commit)))
        return known.size if known is not None else None

    def needed(self, paths: Collection[str]) -> set[str]:
        """Those of `paths` in blobs/ that a snapshot links to."""
        found = read(self.path, self.walk)
        return set(paths) if found.unsure else found.used & set(paths)

    def parts(self, revision: str, refs: Collection[str]) -> Iterator[ModelPart]:
        """The blobs, links, listing and refs of one revision, content first."""
        found = read(self.path, self.walk)
        top = os.path.dirname(self.path)
        files = found.snapshots.get(revision, {})
        ours = os.path.join(self.path, "blobs", "")
        blobs = dict.fromkeys(blob for blob in files.values() if blob is not None and blob.startswith(ours))
        for blob in blobs:
            yield ModelPart(os.path.relpath(blob, top), blob)
        for path in found.records.get(revision, ()):
            if f"/trees/{revision}.json" in path:
                yield ModelPart(os.path.relpath(path, top), path)
        for path, target in files.items():
            if target not in blobs:
                # A file of its own, or a link to elsewhere (a snapshot that somebody pointed at another cache): what it
                # reads is what the model has there.
                yield ModelPart(os.path.relpath(path, top), path)
            elif os.path.isabs(self.walk.readlink(path) or ""):
                yield ModelPart(
                    os.path.relpath(path, top), text=os.path.relpath(target or "", os.path.dirname(path))
                )
            else:
                # As the client writes it, wherever the model is put: an absolute one leads back to this place.
                yield ModelPart(
                    os.path.relpath(path, top), text=os.path.relpath(target, os.path.dirname(path))
                )
        for path, commit in found.refs.items():
            if commit == revision:
                yield ModelPart(os.path.relpath(path, top), path)


def place_of(name: str) -> PartPlace | None:
    """Where a part of a repository belongs: blobs, then listings, then snapshots as a whole, then refs."""
    parts = name.split("/")
    if len(parts) < 3 or not parts[0].startswith(("models--", "datasets--", "spaces--", "kernels--")):
        return None
    if parts[1] == "blobs" and len(parts) == 3 and claims_of_etag(parts[2]):
        return PartPlace(0)
    if parts[1] == "trees" and len(parts) == 3 and COMMIT.fullmatch(parts[2].removesuffix(".json")):
        return PartPlace(1)
    if parts[1] == "snapshots" and len(parts) > 3 and COMMIT.fullmatch(parts[2]):
        return PartPlace(2, "/".join(parts[:3]))
    return PartPlace(3) if parts[1] == "refs" else None


# the shared store


def payload_of(blob: str, walk: Walk) -> str | None:
    """The payload of the shared store that a repository's blob is a link to."""
    text = walk.readlink(blob)
    if text is None:
        return None
    target = os.path.normpath(os.path.join(os.path.dirname(blob), text))
    folder, name = os.path.split(target)
    store = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(blob))), "blobs")
    return target if folder == os.path.join(store, name[:2]) and XET_HASH.fullmatch(name) else None


def users_of(payload: str, cache: str, walk: Walk) -> set[str] | None:
    """The blobs that the payload's record names and that are links to it; None, which is no ground to delete
    anything, where the record is missing or cannot be read."""
    text = walk.read_text(f"{payload}.refs", _RECORDS_LIMIT)
    if text is None:
        return None
    found = set()
    for line in text.splitlines():
        parts = line.split("/")
        if len(parts) == 3 and parts[1] == "blobs" and "--" in parts[0] and ".." not in parts and parts[2]:
            blob = os.path.join(cache, *parts)
            if payload_of(blob, walk) == payload:
                found.add(blob)
    return found
