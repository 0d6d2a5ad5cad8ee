"""Local copies that a cache holds whole: which may go, and which file of the cache stays for each of theirs.

A copy goes as a whole or not at all: each of its files has to be in one revision of one cache, under the same name and
with the same bytes (`removal/twins` compares them right before), none was changed since it was downloaded, and nothing
elsewhere reads the copy. Caches lose nothing by it, so no last copy can go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hubfold.backend.changes import Removal
from hubfold.content import SnapshotFile
from hubfold.disk.paths import within
from hubfold.errors import describe
from hubfold.journal.run_log import RunLog
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.removal.needs import Names
from hubfold.removal.plan import RemovePlan, copy_at, hold_against_needs, rest
from hubfold.removal.twins import Twin, no_copy
from hubfold.reports.outcomes import Left


@dataclass(frozen=True, slots=True)
class _Copy:
    """A local copy; `files` are by the names of the repository, with what its client noted of them."""

    removal: Removal
    repo_id: str
    repo_type: str
    revision: str
    files: dict[str, SnapshotFile]


def plan(
    holdings: Holdings, folders: Sequence[str], *, names: Names, logs: Callable[[], Iterable[RunLog]] = tuple
) -> RemovePlan:
    """The plan for the copies at or below `folders` (without any: in all roots that are no caches).

    What an earlier run of `logs` left of one is gone on with.
    """
    left: list[Left] = []
    chosen: list[Removal] = []
    twins: dict[str, tuple[Twin, ...]] = {}
    found = [*_copies(holdings, folders, left), *_rests(holdings, folders, logs)]
    going = {path for copy in found for path in copy.removal.content}
    for copy in found:
        matched = _matched(holdings, copy, going)
        reason = matched if isinstance(matched, str) else _needed(holdings, copy.removal, names)
        if isinstance(matched, str) or reason is not None:
            left.append(Left(copy.removal.path, reason or ""))
            continue
        chosen.append(copy.removal)
        twins[copy.removal.path] = matched
    for folder in folders:
        if not any(within(one, folder) for one in (*twins, *(item.path for item in left))):
            left.append(Left(folder, "no client has noted that it downloaded a copy here"))
    planned = hold_against_needs(holdings, chosen, left, with_links=False, names=names)
    return replace(planned, twins=twins)


def _copies(holdings: Holdings, folders: Sequence[str], left: list[Left]) -> Iterator[_Copy]:
    for held in holdings.held():
        path = held.snapshot.path
        if holdings.is_cache(held.root) or (folders and not any(within(path, one) for one in folders)):
            continue
        user = holdings.backend(held.root).capabilities.used_by
        if user:
            # Of these nobody thinks who names no folder.
            left += [Left(path, f"{user} has its models there")] if folders else []
            continue
        removal = next((one for one in copy_at(holdings, path) if one.root == held.root.path), None)
        if removal is None:
            continue
        reason = _not_plain(held, removal)
        if reason is not None:
            left.append(Left(path, reason))
            continue
        snapshot = held.snapshot
        known = {file.path: file for file in snapshot.files}
        files = {}
        for file in removal.content:
            name = os.path.relpath(file, path)
            files[name] = known.get(file) or SnapshotFile(name, file, None)
        yield _Copy(removal, snapshot.repo_id, snapshot.repo_type, snapshot.revision, files)


def _not_plain(held: HeldRevision, removal: Removal) -> str | None:
    if removal.kept:
        kept = removal.kept[0]
        return f"{os.path.relpath(kept.path, removal.path)} {kept.reason}"
    if held.snapshot.incomplete:
        return "a download into it is not at its end"
    return None if removal.content else "no file of it is there"


def _rests(
    holdings: Holdings, folders: Sequence[str], logs: Callable[[], Iterable[RunLog]]
) -> Iterator[_Copy]:
    """What removals that were cut short left of copies whose notes are gone."""
    known = list(logs())
    notes = {one.path for log in known for one in log.removals if one.note}
    copies = dict.fromkeys(one.copy for log in known for one in log.removals if one.copy)
    for path in copies:
        if holdings.at(path) or (folders and not any(within(path, one) for one in folders)):
            continue
        removal = rest(holdings, path, known)
        if removal is None:
            continue
        content = tuple(one for one in removal.content if one not in notes)
        removal = replace(
            removal, content=content, records=tuple(one for one in removal.content if one in notes)
        )
        files = {os.path.relpath(one, path): SnapshotFile("", one, None) for one in content}
        yield _Copy(removal, "", "", "", files)


def _matched(holdings: Holdings, copy: _Copy, going: set[str]) -> tuple[Twin, ...] | str:
    """The twin of each file in the first revision of a cache that has them all; else why there is none."""
    if not copy.files:
        return ()  # folders that an earlier removal left
    of_name = [
        held
        for held in holdings.held()
        if holdings.is_cache(held.root)
        and held.root in holdings.usable
        and (
            not copy.repo_id
            or (held.snapshot.repo_id, held.snapshot.repo_type) == (copy.repo_id, copy.repo_type)
        )
    ]
    of_name.sort(key=lambda held: held.snapshot.revision != copy.revision)
    reason = f"no cache holds {copy.repo_id}" if copy.repo_id else "no cache holds it whole"
    for number, held in enumerate(of_name):
        found = _twins_in(held, copy, going)
        if not isinstance(found, str):
            return found
        if number == 0 and copy.repo_id:
            reason = found
    return reason


def _twins_in(held: HeldRevision, copy: _Copy, going: set[str]) -> tuple[Twin, ...] | str:
    offered = {file.name: file for file in held.snapshot.files}
    twins = []
    for name, mine in copy.files.items():
        kept = offered.get(name)
        if kept is None or kept.size is None:
            return f"{name} is not in {held.snapshot.path}"
        try:
            other = kept.size != os.stat(mine.path).st_size or _contradict(mine, kept)
            reason = f"{kept.path} is another file" if other else no_copy(mine.path, kept.path, going)
        except OSError as error:
            reason = f"{name}: {describe(error)}"
        if reason is None and not os.access(kept.path, os.R_OK):
            reason = f"{kept.path} cannot be read"
        if reason is not None:
            return reason
        twins.append(Twin(mine.path, kept.path, held.root.path))
    return tuple(twins)


def _contradict(one: SnapshotFile, other: SnapshotFile) -> bool:
    """Whether the layouts themselves say that it is not one content."""
    return any(other.claims.get(name, value) != value for name, value in one.claims.items())


def _needed(holdings: Holdings, removal: Removal, names: Names) -> str | None:
    """What elsewhere reads the copy, in words."""
    for link, target in holdings.links.into(removal.path):
        if not within(link, removal.path):
            return f"{link} is a link to {target}"
    alone = hold_against_needs(holdings, [removal], (), with_links=False, names=names)
    if alone.removals[0].content == removal.content and not alone.left:
        return None
    return alone.left[0].reason if alone.left else "something elsewhere needs it"
