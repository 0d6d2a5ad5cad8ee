"""What removing all that a user marked would do: models where they lie, and single files, held against needs together.

So what two of them share is freed with both, and content that one needs and the other has stays for none of them.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hubfold.backend.changes import Removal
from hubfold.content import Marks
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.removal import files
from hubfold.removal.files import FilesOf
from hubfold.removal.needs import Names
from hubfold.removal.plan import RemovePlan, copy_at, hold_against_needs, staying
from hubfold.reports.outcomes import Left

STAYS = "it lies in a place of which you said that what is there stays"
_NOT_REMOVABLE = "its layout does not say how to remove it"
_GONE = "no model is there any more"


def plan(holdings: Holdings, marks: Marks, *, names: Names) -> RemovePlan:
    """The plan for what is marked; one that removes nothing where none of it can go. Duplicate sets do not count."""
    left: list[Left] = []
    removals: dict[tuple[str, str, str, tuple[str, ...]], Removal] = {}
    for folder in sorted(marks.places):
        for one in _whole(holdings, marks, folder, left):
            removals.setdefault((one.root, one.path, one.repo_id, one.revisions), one)
    some = [
        removal
        for folder, words in sorted(_by_folder(marks).items())
        if folder not in marks.places
        for removal in _files(holdings, marks, folder, words, left)
    ]
    planned = hold_against_needs(holdings, [*removals.values(), *some], left, with_links=False, names=names)
    return replace(planned, staying=staying(holdings, planned.removals))


def freed(holdings: Holdings, marks: Marks, *, names: Names) -> int:
    """What `plan` would free, in bytes by allocated blocks."""
    return plan(holdings, marks, names=names).bytes


def _by_folder(marks: Marks) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder, name in sorted(marks.files):
        found.setdefault(folder, []).append(name)
    return found


def _held(holdings: Holdings, marks: Marks, folder: str, left: list[Left]) -> Sequence[HeldRevision]:
    """The revisions at a folder that is marked; nothing, and the reason, where none may go."""
    held = holdings.by_home.get(folder, ())
    if not held:
        left.append(Left(folder, _GONE))
    elif held[0].root.path in marks.stays:
        left.append(Left(folder, STAYS))
        return ()
    return held


def _whole(holdings: Holdings, marks: Marks, folder: str, left: list[Left]) -> Iterator[Removal]:
    held = _held(holdings, marks, folder, left)
    found = list(dict.fromkeys(removal for one in held[:1] for removal in _of_place(holdings, one, folder)))
    if held and not found:
        left.append(Left(folder, _NOT_REMOVABLE))
    yield from found


def _of_place(holdings: Holdings, held: HeldRevision, folder: str) -> Sequence[Removal]:
    if not holdings.is_cache(held.root):
        return list(copy_at(holdings, held.snapshot.path))
    found: Sequence[Removal] = ()
    if held.root in holdings.usable and held.name.repo_id:
        with holdings.leaving_out(held.root):
            found = holdings.removals(held.root, held.name)
    return [one for one in found if one.path == folder] or found


def _files(
    holdings: Holdings, marks: Marks, folder: str, words: Sequence[str], left: list[Left]
) -> Sequence[Removal]:
    held = _held(holdings, marks, folder, left)
    if not held:
        return ()
    asked = FilesOf(str(held[0].name), held, [glob.escape(word) for word in words], copies=True)
    found = files.removals_of(holdings, asked, left)
    if not found and not any(one.path.startswith(folder) for one in left):
        left.append(Left(folder, _NOT_REMOVABLE))
    return found
