"""Figures that are kept per size: after any changes they are what counting everything anew gives."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hubfold.content import IndexedReplica, LinkKind, Replica, Root, Signature
from hubfold.duplicates import pending
from hubfold.duplicates.cost import duplicate_cost, reclaimable
from hubfold.duplicates.sets import duplicate_sets
from hubfold.index import schema
from hubfold.index.housekeeping import Taken, prune_digests, taken, totals
from hubfold.index.index import Index
from hubfold.index.tallies import Tally
from hubfold.reports.scans import ScanReport
from hubfold.scanning.recording import Recording
from tests.building.scanned import Place, read_nothing
from tests.building.tiers import tries


def figures(report: ScanReport) -> tuple[object, ...]:
    return (
        report.files,
        report.bytes,
        report.duplicate_sets,
        report.reclaimable_bytes,
        [(root.path, root.files, root.bytes, root.allocated_bytes) for root in report.roots],
    )


# any change of rows and digests

Draw = Callable[[st.SearchStrategy[Any]], Any]
#: Making a failing history shorter takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

A, B = "a" * 64, "b" * 64
INODES, SIZES, TIMES = st.integers(1, 4), st.sampled_from([*[100] * 6, 101]), st.sampled_from([*[20] * 9, 21])
PATHS = st.sampled_from([f"/{root}/{folder}/{name}" for root in "ab" for folder in "xy" for name in "123"])
DIGESTS = st.sampled_from(
    [*[{"xxh3_128": "aa"}] * 8, *[{"xxh3_128": "bb"}] * 4, {"sample": "aa"}, {}, {"sha256": A}]
)


@st.composite
def stats(draw: st.DrawFn) -> os.stat_result:
    size = draw(SIZES)
    numbers = {
        "st_blocks": draw(st.sampled_from([1, 8])),
        "st_mtime_ns": 10,
        "st_ctime_ns": draw(TIMES),
    }
    return os.stat_result(
        (0o100644, draw(INODES), 1, draw(st.sampled_from([1, 1, 1, 2, 3])), 0, 0, size, 0, 0, 0), numbers
    )


@st.composite
def replicas(draw: st.DrawFn, path: str) -> Replica:
    return Replica(
        path,
        draw(stats()),
        draw(st.sampled_from([*[{}] * 50, {"sha256": A}, {"sha256": B}])),
        links=draw(st.sampled_from([None] * 6 + [frozenset[LinkKind](), frozenset({LinkKind.HARDLINK})])),
        pinned=draw(st.sampled_from([False] * 6 + [True])),
    )


def change(draw: Draw, index: Index) -> None:
    what = draw(
        st.sampled_from(["walk"] * 4 + ["digest"] * 4 + ["refresh"] * 3 + ["forget", "remove", "other"])
    )
    top = draw(st.sampled_from(["/a", "/a", "/b", "/b", "/a/x"]))
    if what == "walk":
        recording = Recording(index, Root(top, "local-dir"))
        for path in sorted(draw(st.sets(PATHS.filter(lambda path: path.startswith(f"{top}/")), max_size=6))):
            assert recording.put(draw(replicas(path)))
        if draw(st.booleans()):
            recording.finish(1, ())
        else:
            recording.abandon()
    elif what == "digest":
        index.record_all(
            (Signature(1, inode, draw(SIZES), 10, draw(TIMES)), draw(DIGESTS))
            for inode in draw(st.sets(INODES, min_size=1))
        )
    elif what == "refresh":
        old = draw(st.none() | st.builds(Signature, st.just(1), INODES, SIZES, st.just(10), TIMES))
        index.refresh(draw(PATHS), draw(stats()), keep_digests_of=old)
    elif what == "forget":
        index.forget(draw(PATHS))
    elif what == "remove":
        index.remove_root(top)
    else:
        index.save_root(Root(top, draw(st.sampled_from(["local-dir", "hub-cache"]))))
    prune_digests(index)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=tries(5, 20), deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_figures_stay_those_of_the_rows(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever happens to rows and digests in between, and whatever is asked when."""
    draw = data.draw
    folder = tempfile.mkdtemp(dir=tmp_path)
    with Index(Path(folder) / "index.db") as index, index.together():
        index.file.connection.execute("PRAGMA synchronous = 0")
        for _ in range(30):
            change(draw, index)
            asked, least = draw(
                st.sampled_from([*[(("/a", "/b"), 0)] * 4, (("/a",), 0), (("/b", "/a"), 101)])
            )
            sets = list(duplicate_sets(index, asked, least))
            cost = duplicate_cost(index, asked, least)
            assert (cost.sets, cost.bytes) == (len(sets), sum(reclaimable(one) for one in sets))
            for path in asked:
                found = totals(index, Root(path, "local-dir"))
                assert (found.files, found.bytes, found.allocated) == added_up(index.replicas(path))
            kept = taken(index, ["/a"], ["/b"], ["/a/x"])
            assert kept == taken(index, ["/a"], ["/b"], ["/a/x"], keep=False) == by_kind(index)


def by_kind(index: Index) -> Taken:
    """What payloads take in ``/a``, else in ``/b``, else in ``/a/x``, each once."""
    payloads: dict[Any, int] = {}
    kinds: dict[Any, int] = {}
    for kind, root in enumerate(("/a", "/b", "/a/x")):
        for replica in index.replicas(root):
            key = (*replica.payload, replica.signature.size)
            kinds.setdefault(key, kind)
            payloads[key] = max(payloads.get(key, 0), replica.allocated)
    return Taken(*(sum(size for key, size in payloads.items() if kinds[key] == kind) for kind in range(3)))


def added_up(found: Iterator[IndexedReplica]) -> tuple[int, int, int]:
    names, payloads = 0, dict[Any, int]()
    for replica in found:
        names += 1
        key = (*replica.payload, replica.signature.size)
        payloads[key] = max(payloads.get(key, 0), replica.allocated)
    return names, sum(size for *_, size in payloads), sum(payloads.values())


def named(path: str, inode: int, blocks: int, *, nlink: int = 1, ctime: int = 20, **more: Any) -> Replica:
    numbers = {"st_blocks": blocks, "st_mtime_ns": 10, "st_ctime_ns": ctime}
    return Replica(path, os.stat_result((0o100644, inode, 1, nlink, 0, 0, 100, 0, 0, 0), numbers), **more)


@pytest.mark.parametrize(
    ("found", "freed"),
    [
        ([named("/a/1", 1, 1), named("/a/2", 2, 8)], 512),
        ([named("/a/1", 1, 1, pinned=True), named("/a/2", 2, 8)], 8 * 512),
        ([named("/a/1", 1, 1, links=frozenset()), named("/a/2", 2, 8)], 8 * 512),
        ([named("/a/1", 1, 1, links=frozenset({LinkKind.HARDLINK})), named("/a/2", 2, 8)], 512),
        ([named("/a/1", 1, 1, nlink=2), named("/a/2", 2, 8)], 8 * 512),
        ([named("/a/1", 1, 1, nlink=2), named("/a/3", 1, 1, nlink=2), named("/a/2", 2, 8)], 512),
        # A name that was not walked past again since the other one: still a name of the payload.
        ([named("/a/1", 1, 1, nlink=2), named("/a/3", 1, 1, nlink=2, ctime=19), named("/a/2", 2, 8)], 512),
    ],
    ids=["free", "pinned", "no links", "some links", "name elsewhere", "names", "name of before"],
)
def test_what_folding_frees_is_the_same_in_sql(place: Place, found: list[Replica], freed: int) -> None:
    recording = Recording(place.index, Root("/a", "local-dir"))
    assert all(recording.put(replica) for replica in found)
    recording.abandon()
    place.index.record_all((Signature(1, inode, 100, 10, 20), {"xxh3_128": "aa"}) for inode in (1, 2))
    (one,) = duplicate_sets(place.index)
    assert reclaimable(one) == freed
    cost = duplicate_cost(place.index, ["/a"], 0)
    assert (cost.sets, cost.bytes) == (1, freed)


# any change of the trees


class Tree:
    """Two roots, changed at random."""

    def __init__(self, folder: Path) -> None:
        self.tops = [folder / "one", folder / "two"]
        for top in self.tops:
            (top / "sub").mkdir(parents=True)

    def change(self, draw: Draw) -> None:
        path = (
            draw(st.sampled_from(self.tops))
            / draw(st.sampled_from(["", "sub"]))
            / draw(st.sampled_from("abc"))
        )
        path.parent.mkdir(exist_ok=True)
        what = draw(
            st.sampled_from(["write", "write", "write", "unlink", "link", "rename", "folder", "chmod"])
        )
        other = draw(st.sampled_from(self.tops)) / draw(st.sampled_from("abc"))
        if what == "write":
            path.write_bytes(draw(st.sampled_from([b"one", b"two", b"four", b"five", b"", b"six" * 2000])))
        elif what == "unlink":
            path.unlink(missing_ok=True)
        elif what == "folder":
            shutil.rmtree(
                path.parent if path.parent.name == "sub" else path.parent / "sub", ignore_errors=True
            )
        elif path.exists() and what == "chmod":
            path.chmod(draw(st.sampled_from([0o600, 0o644])))
        elif path.exists() and path != other:
            other.unlink(missing_ok=True)
            os.link(path, other)
            if what == "rename":
                path.unlink()


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=tries(4, 12), deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_a_scan_again_tells_what_a_first_scan_would(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever was changed in the trees since."""
    draw = data.draw
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        one = Place(Path(folder))
        tree = Tree(one.folder)
        with one.index:
            one.index.file.connection.execute("PRAGMA synchronous = 0")
            for _ in range(draw(st.integers(1, 4))):
                for _ in range(draw(st.integers(0, 6))):
                    tree.change(draw)
                asked = draw(st.sampled_from([tree.tops, tree.tops, tree.tops[:1]]))
                least = draw(st.sampled_from([0, 0, 5]))
                anew = Place(Path(tempfile.mkdtemp(dir=folder)))
                anew.index.file.connection.execute("PRAGMA synchronous = 0")
                with anew.index:
                    expected = figures(anew.scan(*asked, min_size=least))
                assert figures(one.scan(*asked, min_size=least)) == expected


# what is looked at again


def test_only_sizes_that_changed_are_looked_at_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        place.file(f"tree/{number}/a", b"x" * (number + 1))
        place.file(f"tree/{number}/b", b"x" * (number + 1))
    place.scan("tree")
    place.file("tree/3/a", b"y" * 4)
    looked: list[int] = []
    counted = pending.plain_costs

    def looking(index: Index, roots: Collection[str]) -> list[tuple[int, int, int]]:
        looked.extend(size for (size,) in index.rows("SELECT size FROM wanted"))
        return counted(index, roots)

    monkeypatch.setattr(pending, "plain_costs", looking)
    report = place.scan("tree")
    assert looked == [4]
    assert (report.files_read, report.duplicate_sets) == (1, 9)


def test_a_file_that_could_not_be_read_is_tried_again_and_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        place.file(f"tree/{name}", b"same")
        place.file(f"tree/{name}{name}", b"and others")
    place.file("tree/broken", b"have")
    real = os.open

    def opened(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path).endswith("broken"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", opened)
    for read in (4, 0, 0):
        report = place.scan("tree")
        assert report.files_read == read
        assert [warning.path for warning in report.warnings] == [str(place.folder / "tree/broken")]
    monkeypatch.setattr(os, "open", real)
    report = place.scan("tree")
    assert (report.files_read, report.warnings, report.duplicate_sets) == (1, (), 2)
    assert place.scan("tree", executor=_Reads(read_nothing)).files_read == 0


class _Reads:
    def __init__(self, instead: Any) -> None:
        self.submit = instead


def test_extents_are_asked_for_at_every_change(place: Place) -> None:
    for name in "ab":
        place.file(f"tree/{name}", b"same" * 1000)
    shared = [False]
    key = {True: "one", False: None}
    ask = lambda replica: key[shared[0]] or replica.path  # noqa: E731
    assert place.scan("tree", shared_extents=ask).duplicate_sets == 1
    shared[0] = True
    place.file("tree/c", b"of another size")
    assert place.scan("tree", shared_extents=ask).duplicate_sets == 0


@pytest.mark.parametrize("counted", [False, True], ids=["first count", "second count"])
def test_what_another_process_changes_meanwhile_is_counted_next_time(place: Place, counted: bool) -> None:
    def figures_of(tally: Tally) -> list[tuple[int, int, int, int]]:
        rows = place.index.rows(
            f"SELECT size, COUNT(*), 0, 0 FROM files WHERE {tally.where('size')} GROUP BY size"
        )
        return [(size, count, 0, 0) for size, count, *_ in rows]

    recording = Recording(place.index, Root("/a", "local-dir"))
    recording.put(named("/a/1", 1, 1))
    recording.abandon()
    if counted:
        tally = Tally(place.index, "files")
        assert tally.put(figures_of(tally))
        assert not Tally(place.index, "files").stale
        place.index.refresh("/a/1", named("/a/1", 7, 1).stat)
    tally = Tally(place.index, "files")
    found = figures_of(tally)
    with Index(place.database) as theirs:
        recording = Recording(theirs, Root("/b", "local-dir"))
        recording.put(named("/b/1", 2, 1))
        recording.abandon()
    assert tally.put(found)
    assert tally.sums() == (1, 0, 0)
    again = Tally(place.index, "files")
    assert again.stale
    assert again.put(figures_of(again))
    assert again.sums() == (2, 0, 0)
    assert not Tally(place.index, "files").stale


# an index of before


_OF_STORES = (
    "DROP INDEX files_claimed",
    "DROP INDEX digests_named",
    "ALTER TABLE files DROP COLUMN md5",
    "ALTER TABLE files DROP COLUMN keeps",
    "ALTER TABLE files DROP COLUMN edited",
    "ALTER TABLE digests DROP COLUMN md5",
    "DELETE FROM _sqlite_migrations WHERE name = 'm003_stores'",
)
_OF_TALLIES = (
    "DROP TABLE tallies",
    "DROP TABLE figures",
    "DROP TABLE changed_sizes",
    "DELETE FROM _sqlite_migrations WHERE name = 'm002_tallies'",
    "DELETE FROM state WHERE key LIKE 'total %'",
)
_INDEXES_OF_TALLIES = tuple(one for one in schema.M002_TALLIES if one.startswith("CREATE INDEX"))


@pytest.mark.parametrize(
    "back", [(*_OF_STORES, *_INDEXES_OF_TALLIES), (*_OF_STORES, *_OF_TALLIES)], ids=["m002", "m001"]
)
def test_an_index_of_before_is_brought_up_to_date(place: Place, back: tuple[str, ...]) -> None:
    for name in "abc":
        place.file(f"tree/{name}", b"same")
    before = figures(place.scan("tree"))
    place.index.close()
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        for statement in back:
            connection.execute(statement)
        connection.commit()
    place.index, notice = Index.open_or_rebuild(place.database)
    assert notice is None
    again = place.scan("tree")
    assert (figures(again), again.files_read) == (before, 0)
    place.file("tree/b", b"else")
    assert place.scan("tree").duplicate_sets == 1
    place.index.close()
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        names = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
    assert [name for (name,) in names] == list(schema.NAMES)
