"""What is marked, across all views. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hubfold.content import Marks
from hubfold.ui.rows import Row

NONE, SOME, ALL = " ", "-", "*"


def state(marks: Marks, row: Row) -> str:
    """Whether all that a row stands for is marked, some of it, or nothing."""
    if row.set:
        return ALL if row.set in marks.sets else NONE
    if row.files:
        [(place, name)] = row.files
        return ALL if place in marks.places or (place, name) in marks.files else NONE
    if not row.places:
        return NONE
    marked = len(row.places & marks.places)
    if marked == len(row.places):
        return ALL
    begun = marked or any(place in row.places for place, _ in marks.files)
    return SOME if begun else NONE


def toggled(marks: Marks, row: Row) -> Marks:
    """All of a row marked; where all of it is, none of it."""
    return cleared(marks, (row,)) if state(marks, row) == ALL else added(marks, (row,))


def added(marks: Marks, rows: Iterable[Row]) -> Marks:
    """The same with all that these rows stand for, but for what lies where everything stays."""
    places, files, sets = set(marks.places), set(marks.files), set(marks.sets)
    for row in rows:
        if row.root and row.root in marks.stays:
            continue
        places |= row.places
        files |= {one for one in row.files if one[0] not in places}
        sets |= {row.set} if row.set else set()
    files = {one for one in files if one[0] not in places}
    return replace(marks, places=frozenset(places), files=frozenset(files), sets=frozenset(sets))


def cleared(marks: Marks, rows: Iterable[Row]) -> Marks:
    """The same without what these rows stand for; of a file of a marked model, without the model."""
    places, files, sets = set(marks.places), set(marks.files), set(marks.sets)
    for row in rows:
        places -= row.places | {place for place, _ in row.files}
        files = {one for one in files - row.files if one[0] not in row.places}
        sets.discard(row.set)
    return replace(marks, places=frozenset(places), files=frozenset(files), sets=frozenset(sets))


def staying(marks: Marks, root: Row) -> Marks:
    """The same; what lies in a root stays from now on, or no longer. What was marked there is marked no more."""
    if root.root in marks.stays:
        return replace(marks, stays=marks.stays - {root.root})
    return replace(cleared(marks, (root,)), stays=marks.stays | {root.root})


def only_there(marks: Marks, places: Iterable[str], sets: Iterable[str]) -> Marks:
    """The same without what is there no more."""
    there, known = set(places), set(sets)
    return replace(
        marks,
        places=marks.places & there,
        files=frozenset(one for one in marks.files if one[0] in there),
        sets=marks.sets & known,
    )


def count(marks: Marks) -> str:
    """How much is marked, for people."""
    told = (
        (len(marks.places), "model", "models"),
        (len(marks.files), "file", "files"),
        (len(marks.sets), "duplicate set", "duplicate sets"),
    )
    return ", ".join(f"{number:,} {one if number == 1 else many}" for number, one, many in told if number)
