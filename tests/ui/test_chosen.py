"""What is marked, across views."""

from __future__ import annotations

from hubfold.content import Marks
from hubfold.ui import chosen
from hubfold.ui.chosen import ALL, NONE, SOME
from hubfold.ui.rows import Kind, Row

HERE = Row(Kind.PLACE, "/hub/a", "org/a", root="/hub", places=frozenset({"/hub/a"}))
THERE = Row(Kind.PLACE, "/two/a", "org/a", root="/two", places=frozenset({"/two/a"}))
MODEL = Row(Kind.MODEL, "org/a", "org/a", places=HERE.places | THERE.places)
HUB = Row(Kind.ROOT, "/hub", "/hub", root="/hub", places=frozenset({"/hub/a", "/hub/b"}))
FILE = Row(Kind.FILE, "/hub/a\nw", "w", root="/hub", files=frozenset({("/hub/a", "w")}))
OTHER = Row(Kind.FILE, "/hub/a\nv", "v", root="/hub", files=frozenset({("/hub/a", "v")}))
SET = Row(Kind.SET, "/hub/w", "w", set="/hub/w")
ROWS = (HERE, THERE, MODEL, HUB, FILE, OTHER, SET)


def states(marks: Marks) -> str:
    return "".join(chosen.state(marks, row) for row in ROWS)


def test_a_mark_is_seen_in_every_view() -> None:
    assert states(Marks()) == NONE * len(ROWS)
    marks = chosen.toggled(Marks(), HERE)
    assert states(marks) == ALL + NONE + SOME + SOME + ALL + ALL + NONE
    marks = chosen.toggled(marks, MODEL)
    assert states(marks) == ALL + ALL + ALL + SOME + ALL + ALL + NONE
    assert chosen.toggled(chosen.toggled(Marks(), MODEL), MODEL) == Marks()


def test_a_file_alone_marks_its_model_in_part_and_goes_into_its_mark() -> None:
    marks = chosen.toggled(Marks(), FILE)
    assert states(marks) == SOME + NONE + SOME + SOME + ALL + NONE + NONE
    assert chosen.added(marks, (HERE,)) == Marks(places=HERE.places)
    assert chosen.toggled(chosen.added(marks, (HERE,)), FILE) == Marks(), (
        "of a marked model no file is left out"
    )


def test_sets_are_marked_beside_models() -> None:
    marks = chosen.added(Marks(), (SET, HERE, FILE))
    assert (marks.sets, marks.places, marks.files) == ({"/hub/w"}, HERE.places, frozenset())
    assert chosen.count(marks) == "1 model, 1 duplicate set"
    assert chosen.count(chosen.added(Marks(), (FILE, OTHER))) == "2 files"


def test_what_stays_is_marked_no_more_and_not_again() -> None:
    marks = chosen.staying(chosen.added(Marks(), (MODEL, FILE)), HUB)
    assert marks == Marks(places=THERE.places, stays=frozenset({"/hub"}))
    assert chosen.added(marks, (HUB, FILE)) == marks
    assert not chosen.staying(marks, HUB).stays


def test_what_is_there_no_more_is_not_marked() -> None:
    marks = chosen.added(Marks(), (MODEL, SET))
    assert chosen.only_there(marks, ["/two/a"], []) == Marks(places=THERE.places)
    files = chosen.added(Marks(), (FILE,))
    assert chosen.only_there(files, ["/hub/a"], []) == files
