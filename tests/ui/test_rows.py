"""Rows out of what the engine told: sorted, filtered, and what a mark on them means."""

from __future__ import annotations

import pytest

from hubfold.content import DuplicateSet, IndexedReplica, Role, Signature, Trust
from hubfold.reports.models import Judged, Model, ModelPlace, Revision, Wholeness
from hubfold.reports.pictures import Figures, FileFigures, PlaceFigures, RootFigures
from hubfold.reports.scans import DupesReport, Remembered, RememberedModel, RememberedRoot
from hubfold.ui import rows
from hubfold.ui.rows import Kind, Order, Row

A, B, C = (
    Row(Kind.MODEL, name, name, size=size, frees=frees, place=place)
    for name, size, frees, place in (("org/A", 1, 3, "/z"), ("org/b", 3, None, "/y"), ("org/c", 2, 3, "/x"))
)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (Order("size"), "bcA"),
        (Order("size", backwards=True), "Acb"),
        (Order("name"), "Abc"),
        (Order("frees"), "Acb"),
        (Order("place"), "cbA"),
    ],
)
def test_rows_are_sorted_by_each_column(order: Order, names: str) -> None:
    assert "".join(row.name[-1] for row in rows.arranged((A, B, C), order)) == names


def test_a_second_look_at_a_column_turns_it_round() -> None:
    order = Order("size").by_column("name")
    assert order == Order("name") and order.by_column("name") == Order("name", backwards=True)
    seen = [order]
    for _ in rows.SORTS:
        seen.append(seen[-1].next())
    assert {one.by for one in seen} == set(rows.SORTS) and seen[-1].by == "name"


@pytest.mark.parametrize(
    ("wanted", "found"), [("", 3), ("org", 3), ("a", 1), ("ORG /y", 1), ("nothing", 0), ("b c", 0)]
)
def test_a_filter_wants_every_word(wanted: str, found: int) -> None:
    assert len(rows.arranged((A, B, C), Order(), wanted)) == found


def test_what_was_scanned_is_shown_and_cannot_be_marked() -> None:
    known = Remembered(
        (
            RememberedRoot("/hub", "hub-cache", 3, 30, 40, None),
            RememberedRoot("/two", "hub-cache", 1, 5, 6, 7),
        ),
        (
            RememberedModel("/hub", "org/a", 2, 20, 24),
            RememberedModel("/two", "org/a", 1, 5, 6),
            RememberedModel("/hub", "org/b", 1, 10, 12),
        ),
    )
    shown = rows.remembered(known)
    assert [(row.name, row.size, row.on_disk) for row in shown.models] == [
        ("org/a", 20, 30),
        ("org/b", 10, 12),
    ]
    assert [row.name for row in shown.in_root("/hub")] == ["org/a", "org/b"]
    assert [row.name for row in shown.of_model("org/a")] == ["/hub", "/two"]
    assert not any(row.can_be_marked for row in (*shown.roots, *shown.models, *shown.in_root("/hub")))


def model(name: str, *roots: str) -> Model:
    revision = Revision("c", ("main",), "/", Wholeness.WHOLE, Judged.FILES, 10, files=())
    places = tuple(
        ModelPlace(
            root, "hub-cache", Role.PRIMARY, True, path=f"{root}/{name}", bytes=10, revisions=(revision,)
        )
        for root in roots
    )
    return Model(name, "model", 10, 12, places=places)


def figures(**changes: bool) -> Figures:
    def place(name: str, root: str, used: float | None) -> PlaceFigures:
        file = FileFigures("w", f"{root}/{name}/w", 10, 12, 2)
        return PlaceFigures(
            name=name,
            root=root,
            path=f"{root}/{name}",
            cache=True,
            state="whole",
            bytes=10,
            physical_bytes=12,
            used=used,
            files=(file, FileFigures("gone", f"{root}/{name}/gone", 0, 0, 0)),
            away=changes.get("away", False) and root == "/two",
        )

    return Figures(
        places=(place("org/a", "/hub", 5.0), place("org/a", "/two", None), place("org/b", "/hub", 9.0)),
        roots=tuple(
            RootFigures(path=path, backend="hub-cache", role="primary", bytes=20, physical_bytes=24)
            for path in ("/hub", "/two")
        ),
        models=(model("org/a", "/hub", "/two"), model("org/b", "/hub")),
        pinned=frozenset({"org/b"}),
    )


def test_a_mark_on_a_row_means_all_places_below_it() -> None:
    shown = rows.shown(figures())
    hub, two = shown.roots
    assert hub.places == {"/hub/org/a", "/hub/org/b"} and two.places == {"/two/org/a"}
    assert {row.name: row.places for row in shown.models} == {
        "org/a": {"/hub/org/a", "/two/org/a"},
        "org/b": {"/hub/org/b"},
    }
    [file, gone] = shown.files("/two/org/a")
    assert (file.files, file.note) == ({("/two/org/a", "w")}, "2 names")
    assert gone.note == "cannot be opened"
    assert shown.files("/nothing") == []


def test_when_it_was_used_and_what_is_said_of_it() -> None:
    shown = rows.shown(figures())
    assert [row.used for row in shown.roots] == [9.0, None]
    assert [(row.name, row.used, row.note) for row in shown.models] == [
        ("org/a", 5.0, ""),
        ("org/b", 9.0, "pinned"),
    ]


def test_what_is_away_cannot_be_marked() -> None:
    shown = rows.shown(figures(away=True))
    assert shown.roots[1].places == frozenset() and shown.models[0].places == {"/hub/org/a"}


def test_a_root_without_models_has_what_the_last_scan_saw() -> None:
    known = [
        Row(Kind.ROOT, "/plain", "/plain", size=7, on_disk=8),
        Row(Kind.ROOT, "/hub", "/hub", size=1, on_disk=1),
    ]
    plain = RootFigures(path="/plain", backend="plain", role="secondary", bytes=0, physical_bytes=0)
    one = figures()
    shown = rows.shown(Figures(one.places, (*one.roots, plain), one.models), known)
    assert {row.name: row.on_disk for row in shown.roots} == {"/hub": 24, "/two": 24, "/plain": 8}


def test_a_duplicate_set_is_called_by_its_model_and_lists_its_files() -> None:
    def at(path: str, inode: int, repo: str | None) -> IndexedReplica:
        signature = Signature(1, inode, 100, 0, 0)
        return IndexedReplica(path, "/r", "plain", signature, 512, 1, 0o644, 0, 0, {}, {}, repo)

    blob = f"/hub/{'ab' * 32}"
    first = DuplicateSet(100, {}, Trust.CLAIMED, (at(blob, 1, "org/a"), at("/m/w.bin", 2, None)))
    second = DuplicateSet(100, {}, Trust.CLAIMED, (at("/p", 3, None), at("/q", 4, None), at("/r", 4, None)))
    report = DupesReport(((first, 512), (second, 0)), 512)
    one, other = rows.sets(report)
    assert (one.name, one.frees, one.on_disk, one.set) == ("org/a: abababababab", 512, 1024, blob)
    assert (other.name, other.on_disk, other.place) == ("/p", 1024, "3 copies")
    assert [row.name for row in rows.copies(report, "/p")] == ["/p", "/q", "/r"]
    assert not any(row.can_be_marked for row in rows.copies(report, "/p")) and rows.copies(report, "/x") == []
