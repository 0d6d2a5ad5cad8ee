"""The index: what it answers, what it survives, and that its groups are those of the bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubfold.backend.contract import StorageBackend, Walk
from hubfold.content import LinkKind, Replica, Role, Root, Signature, Trust
from hubfold.duplicates import pending
from hubfold.duplicates import sets as sizes
from hubfold.duplicates.cost import Cost, duplicate_cost
from hubfold.duplicates.sets import duplicate_sets
from hubfold.errors import IndexDamaged, Locked
from hubfold.index import schema
from hubfold.index.database import (
    TOGETHER_SECONDS,
    Hostile,
    IndexUnusable,
    Newer,
    fingerprint,
    loaded_time,
    signed,
    stored_time,
    unsigned,
)
from hubfold.index.index import Index
from hubfold.index.migrations import migrations
from hubfold.scanning.recording import Recording
from tests.building.scanned import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    with one.index:
        yield one


def record(index: Index, root: str, *replicas: Replica, backend: str = "hub-cache") -> None:
    recording = Recording(index, Root(root, backend))
    for replica in replicas:
        assert recording.put(replica)
    recording.abandon()


def made_up(path: str, inode: int, size: int = 100, device: int = 1, **fields: Any) -> Replica:
    """A replica with a stat of our choosing."""
    numbers = {"st_blocks": -(-size // 512), "st_mtime_ns": 10, "st_ctime_ns": 20}
    result = os.stat_result((0o100644, inode, device, 1, 0, 0, size, 0, 0, 0), numbers)
    return Replica(path, result, **fields)


# what it remembers


def test_a_replica_comes_back_as_it_was_put(place: Place) -> None:
    path = place.file("hub/file", b"content")
    stat = path.stat()
    replica = Replica(
        str(path),
        stat,
        {"sha256": "a" * 64, "git-sha1": "b" * 40, "xet": "c" * 64},
        repo_id="org/n\udcffame",
        repo_type="model",
        revision="d" * 40,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        pinned=True,
        latest_mtime_ns=5,
    )
    record(place.index, str(place.folder / "hub"), replica)
    place.index.record_digests(Signature.of(stat), {"xxh3_128": "e" * 32, "sha256": "f" * 64})
    found = place.index.replica(str(path))
    assert found is not None
    assert (found.path, found.root, found.backend) == (str(path), str(place.folder / "hub"), "hub-cache")
    assert found.signature == Signature.of(stat)
    assert (found.allocated, found.nlink, found.mode) == (stat.st_blocks * 512, 1, stat.st_mode)
    assert (found.uid, found.gid) == (stat.st_uid, stat.st_gid)
    assert found.claims == replica.claims
    assert found.computed == {"xxh3_128": "e" * 32, "sha256": "f" * 64}
    assert found.claim_is_a_lie
    assert (found.repo_id, found.repo_type, found.revision) == ("org/n\udcffame", "model", "d" * 40)
    assert (found.links, found.pinned, found.latest_mtime_ns) == (replica.links, True, 5)
    record(place.index, str(place.folder / "hub"), Replica(str(path), stat, links=frozenset()))
    assert (again := place.index.replica(str(path))) is not None
    assert (again.links, again.claims, again.repo_id, again.pinned) == (frozenset(), {}, None, False)


@pytest.mark.parametrize("number", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_numbers_beyond_63_bits(place: Place, number: int) -> None:
    assert unsigned(signed(number)) == number
    record(place.index, "/hub", made_up("/hub/a", inode=number, device=number))
    found = place.index.replica("/hub/a")
    assert found is not None
    assert found.payload == (number, number)


@pytest.mark.parametrize(
    "ns", [0, -1, -2_208_988_800_000_000_000, 1 << 62, (1 << 63) + 5, 13_000_000_000_000_000_000]
)
def test_times_from_1900_to_2380(ns: int) -> None:
    assert loaded_time(stored_time(ns)) == ns


def test_times_that_no_integer_of_sqlite_holds_are_stored_as_others(place: Place) -> None:
    record(place.index, "/hub", made_up("/hub/a", 1))
    place.index.record_digests(Signature(1, 1, 100, 1 << 80, -(1 << 90)), {"sha256": "a" * 64})
    found = place.index.replica("/hub/a")
    assert found is not None
    assert found.computed == {}


def test_digests_are_of_one_signature(place: Place) -> None:
    record(place.index, "/hub", made_up("/hub/a", 1))
    signature = Signature(1, 1, 100, 10, 20)

    def computed() -> dict[str, str]:
        found = place.index.replica("/hub/a")
        assert found is not None
        return dict(found.computed)

    place.index.record_digests(signature, {"sha256": "a" * 64})
    place.index.record_digests(signature, {"xxh3_128": "b" * 32})
    assert computed() == {"sha256": "a" * 64, "xxh3_128": "b" * 32}
    for other in (
        signature._replace(mtime_ns=11),
        signature._replace(ctime_ns=21),
        signature._replace(size=101),
    ):
        place.index.record_digests(other, {"xxh3_128": "c" * 32})
        assert computed() == {}
        place.index.record_digests(signature, {"sha256": "d" * 64})
        assert computed() == {"sha256": "d" * 64}, "what was known of another signature is not mixed in"


def test_roots_with_their_roles_and_limits(place: Place) -> None:
    roots = [Root("/a", "local-dir", Role.PRIMARY, 1 << 40), Root("/b", "hub-cache"), Root("/v", "vault")]
    for root in reversed(roots):
        place.index.save_root(root)
    assert place.index.roots() == roots[:2]
    assert place.index.roots(vaults=True) == roots
    place.index.save_root(Root("/b", "hub-cache", Role.PRIMARY, 5))
    assert place.index.roots()[1] == Root("/b", "hub-cache", Role.PRIMARY, 5)
    assert place.index.remove_root("/a")
    assert not place.index.remove_root("/a")
    assert [root.path for root in place.index.roots()] == ["/b"]


def test_removing_a_root_forgets_its_rows_only(place: Place) -> None:
    record(place.index, "/a", made_up("/a/x", 1))
    record(place.index, "/b", made_up("/b/x", 2))
    place.index.remove_root("/a")
    assert [replica.path for replica in place.index.below("/")] == ["/b/x"]


def test_another_backend_for_a_root_begins_anew(place: Place) -> None:
    record(place.index, "/a", made_up("/a/x", 1))
    place.index.save_root(Root("/a", "local-dir"))
    assert list(place.index.below("/a")) == []


def test_what_lies_below_a_path(place: Place) -> None:
    paths = ["/r/a", "/r/a.b/x", "/r/ab/x", "/r/b/c/d", "/r/b/e", "/r/b!/f", "/r/b/c0/g"]
    record(place.index, "/r", *(made_up(path, number) for number, path in enumerate(paths)))

    def below(path: str) -> list[str]:
        return [replica.path for replica in place.index.below(path)]

    assert sorted(below("/")) == sorted(paths)
    assert sorted(below("/r")) == sorted(paths)
    assert below("/r/b") == ["/r/b/e", "/r/b/c/d", "/r/b/c0/g"]
    assert below("/r/b/c") == ["/r/b/c/d"]
    assert below("/r/b/") == below("/r/b")
    assert below("/r/a") == ["/r/a"]
    assert below("/elsewhere") == []
    assert sorted(replica.path for replica in place.index.replicas("/r")) == sorted(paths)


def test_totals_of_roots_without_touching_the_disk(place: Place) -> None:
    path = place.file("tree/a", b"x" * 5000)
    os.link(path, place.folder / "tree/b")
    place.scan("tree")
    shutil.rmtree(place.folder / "tree")
    (state,) = place.index.states()
    assert (state.files, state.bytes, state.allocated) == (2, 5000, 8192)
    assert state.scanned_at is not None
    assert state.device == os.stat(place.folder).st_dev


# our own actions


def test_an_action_of_our_own_is_not_taken_for_an_edit(place: Place) -> None:
    keeper, victim, other = (
        place.file(f"tree/{name}", b"same" * 1000) for name in ("keeper", "victim", "other")
    )
    place.scan("tree")
    before = place.index.replica(str(keeper))
    assert before is not None
    victim.unlink()
    os.link(keeper, victim)
    with place.index.batch():
        for path in (keeper, victim):
            place.index.refresh(str(path), os.lstat(path), keep_digests_of=before.signature)
    for path in (keeper, victim):
        found = place.index.replica(str(path))
        assert found is not None
        assert found.signature == Signature.of(os.lstat(path))
        assert found.nlink == 2
        assert found.computed == before.computed
    assert [len(one.payloads) for one in place.duplicates()] == [2], "the other one is a payload of its own"
    assert place.scan("tree").files_read == 0
    other.unlink()
    place.index.forget(str(other))
    assert place.index.replica(str(other)) is None
    assert place.sets() == []


def test_every_known_name_of_a_payload_is_brought_up_to_date(place: Place) -> None:
    path = place.file("one/a", b"same" * 1000)
    (place.folder / "two").mkdir()
    os.link(path, place.folder / "two/b")
    place.scan("one", "two")
    os.link(path, place.folder / "object")
    place.index.refresh(str(path), os.lstat(path))
    found = place.index.replica(str(place.folder / "two/b"))
    assert found is not None
    assert (found.signature, found.nlink) == (Signature.of(os.lstat(path)), 3)


def test_a_batch_is_done_whole_or_not_at_all(place: Place) -> None:
    record(place.index, "/a", made_up("/a/x", 1))
    with pytest.raises(KeyError), place.index.batch():
        place.index.forget("/a/x")
        raise KeyError
    assert place.index.replica("/a/x") is not None


def test_questions_about_no_root_have_an_answer(place: Place) -> None:
    """A download into a home where nothing was ever scanned asks them."""
    assert place.index.liars([]) == []
    assert list(duplicate_sets(place.index, [], 0)) == []


def test_results_are_remembered_until_something_changes(place: Place) -> None:
    place.index.remember("key", "value 1")
    assert place.index.remembered("key") == "value 1"
    place.index.forget("/nothing")
    assert place.index.remembered("key") is None


# duplicate sets


A, B, C = "a" * 64, "b" * 64, "c" * 64


def sets(index: Index, **options: Any) -> list[tuple[list[str], Trust]]:
    return [
        ([replica.path for replica in one.replicas], one.trust) for one in duplicate_sets(index, **options)
    ]


def test_no_roots_have_nothing(place: Place) -> None:
    record(
        place.index, "/r", made_up("/r/a", 1, claims={"sha256": A}), made_up("/r/b", 2, claims={"sha256": A})
    )
    place.index.record_digests(Signature(1, 1, 100, 10, 20), {"sha256": B})
    assert [liar.path for liar in place.index.liars(["/r"])] == ["/r/a"]
    assert place.index.liars([]) == []
    assert list(duplicate_sets(place.index, [])) == []
    assert duplicate_cost(place.index, [], 0) == Cost(0, 0)


def test_unknown_digests_are_equal_to_nothing(place: Place) -> None:
    record(
        place.index, "/r", made_up("/r/a", 1), made_up("/r/b", 2), made_up("/r/c", 3, claims={"sha256": A})
    )
    assert sets(place.index) == []


def test_claims_join_over_several_algorithms(place: Place) -> None:
    record(
        place.index,
        "/r",
        made_up("/r/a", 1, claims={"sha256": A}),
        made_up("/r/b", 2, claims={"sha256": A, "xet": B}),
        made_up("/r/c", 3, claims={"xet": B}),
        made_up("/r/d", 4, claims={"xet": A}),
    )
    (one,) = duplicate_sets(place.index)
    assert [replica.path for replica in one.replicas] == ["/r/a", "/r/b", "/r/c"]
    assert one.digests == {"sha256": A, "xet": B}
    assert (one.size, one.trust) == (100, Trust.CLAIMED)


def test_equal_digests_of_different_sizes_or_algorithms_join_nothing(place: Place) -> None:
    record(
        place.index,
        "/r",
        made_up("/r/a", 1, claims={"sha256": A}),
        made_up("/r/b", 2, size=101, claims={"sha256": A}),
        made_up("/r/c", 3, claims={"xet": A}),
    )
    assert sets(place.index) == []


def test_a_lie_joins_by_what_was_computed_only(place: Place) -> None:
    record(
        place.index,
        "/r",
        made_up("/r/liar", 1, claims={"sha256": A, "xet": C}),
        made_up("/r/named-so", 2, claims={"sha256": A}),
        made_up("/r/same-bytes", 3, claims={"sha256": B}),
        made_up("/r/same-xet", 4, claims={"xet": C}),
    )
    place.index.record_digests(Signature(1, 1, 100, 10, 20), {"sha256": B})
    assert sets(place.index) == [(["/r/liar", "/r/same-bytes"], Trust.CLAIMED)]


def test_a_conflict_splits_a_set(place: Place) -> None:
    record(
        place.index,
        "/r",
        made_up("/r/a", 1, claims={"sha256": A, "xet": C}),
        made_up("/r/b", 2, claims={"sha256": B, "xet": C}),
        made_up("/r/c", 3, claims={"sha256": A, "xet": C}),
        made_up("/r/d", 4, claims={"xet": C}),
    )
    assert sets(place.index) == [(["/r/a", "/r/c"], Trust.CLAIMED)]


def test_names_of_one_payload_that_contradict_each_other_claim_nothing(place: Place) -> None:
    record(
        place.index,
        "/r",
        made_up("/r/a", 1, claims={"sha256": A}),
        made_up("/r/b", 1, claims={"sha256": B}),
        made_up("/r/c", 2, claims={"sha256": A}),
        made_up("/r/d", 3, claims={"sha256": B}),
    )
    assert sets(place.index) == []


def test_one_payload_is_no_set(place: Place) -> None:
    record(place.index, "/r", *(made_up(f"/r/{name}", 1, claims={"sha256": A}) for name in "abc"))
    assert sets(place.index) == []


def test_trust_is_computed_only_where_everything_was_read(place: Place) -> None:
    record(place.index, "/r", *(made_up(f"/r/{inode}", inode, claims={"sha256": A}) for inode in (1, 2, 3)))
    for inode in (1, 2):
        place.index.record_digests(Signature(1, inode, 100, 10, 20), {"sha256": A})
    assert sets(place.index)[0][1] is Trust.CLAIMED
    place.index.record_digests(Signature(1, 3, 100, 10, 20), {"sha256": A})
    assert sets(place.index)[0][1] is Trust.COMPUTED


def test_sets_of_some_roots_and_of_a_least_size(place: Place) -> None:
    for number, root in enumerate(("/a", "/b", "/c")):
        record(
            place.index,
            root,
            made_up(f"{root}/x", number * 2 + 1, claims={"sha256": A}),
            made_up(f"{root}/big", number * 2 + 2, size=5000, claims={"sha256": B}),
        )
    assert [paths for paths, _ in sets(place.index)] == [
        ["/a/big", "/b/big", "/c/big"],
        ["/a/x", "/b/x", "/c/x"],
    ]
    assert [paths for paths, _ in sets(place.index, roots=["/a", "/c"])] == [
        ["/a/big", "/c/big"],
        ["/a/x", "/c/x"],
    ]
    assert sets(place.index, roots=["/b"]) == []
    assert sets(place.index, roots=[]) == []
    assert [paths for paths, _ in sets(place.index, min_size=101)] == [["/a/big", "/b/big", "/c/big"]]


def test_a_name_that_was_not_scanned_again_lends_no_digest(place: Place) -> None:
    """Two names of a payload in two roots, of which one was scanned again after an edit in place."""
    record(place.index, "/a", made_up("/a/x", 1))
    place.index.record_digests(Signature(1, 1, 100, 10, 20), {"sha256": A})
    edited = os.stat_result(
        (0o100644, 1, 1, 2, 0, 0, 100, 0, 0, 0), {"st_blocks": 1, "st_mtime_ns": 11, "st_ctime_ns": 21}
    )
    record(place.index, "/b", Replica("/b/x", edited))
    record(place.index, "/c", made_up("/c/y", 2, claims={"sha256": A}))
    assert sets(place.index) == []


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_sets_are_those_of_the_bytes(data: st.DataObject) -> None:
    """Any mix of names, links, claims and what was read: a set has equal bytes, and equal bytes that share a known
    digest are in one set."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        contents = data.draw(
            st.lists(st.sampled_from([b"aa", b"ab", b"ba", b"a", b"b", b""]), min_size=1, max_size=12)
        )
        with Index(Path(folder) / "index.db") as index:
            replicas, known = [], {}
            for number, content in enumerate(contents):
                path = root / str(number)
                previous = [other for other in range(number) if contents[other] == content]
                if previous and data.draw(st.booleans()):
                    os.link(root / str(previous[0]), path)
                else:
                    path.write_bytes(content)
                true = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "git-sha1": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
                    "xxh3_128": xxhash.xxh3_128_hexdigest(content),
                }
                claims = data.draw(st.sets(st.sampled_from(["sha256", "git-sha1"])))
                computed = data.draw(st.sets(st.sampled_from(list(true))))
                replicas.append(
                    (path, {name: true[name] for name in claims}, {name: true[name] for name in computed})
                )
                known.setdefault(os.lstat(path).st_ino, set()).update(claims | computed)
            record(
                index,
                str(root),
                *(Replica(str(path), os.lstat(path), claims) for path, claims, _ in replicas),
            )
            for path, _, computed_digests in replicas:
                index.record_digests(Signature.of(os.lstat(path)), computed_digests)
            found = list(duplicate_sets(index))
        member_of = {}
        for number, one in enumerate(found):
            assert len(one.payloads) > 1
            assert len({Path(replica.path).read_bytes() for replica in one.replicas}) == 1
            for replica in one.replicas:
                assert replica.path not in member_of
                member_of[replica.path] = number
        by_content = defaultdict(list)
        for path, _, _ in replicas:
            by_content[path.read_bytes()].append(path)
        for content, paths in by_content.items():
            for one_path in paths:
                for other in paths:
                    inodes = os.lstat(one_path).st_ino, os.lstat(other).st_ino
                    if content and inodes[0] != inodes[1] and known[inodes[0]] & known[inodes[1]]:
                        assert member_of.get(str(one_path), 0) == member_of.get(str(other), 1)


# sizes that very many files have


class MadeUp(StorageBackend):
    """Rows without files."""

    name = "made-up"

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for inode in range(1, self.rows + 1):
            yield made_up(f"{root.path}/{inode % 100}/{inode}", inode, size=100)


@pytest.mark.slow
def test_memory_is_bounded_by_the_rows_of_a_part(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 30_000
    monkeypatch.setattr(sizes, "CLASS_IN_MEMORY", 2000)
    monkeypatch.setattr(pending, "PAGE", 2000)
    tracemalloc.start()
    root = Root(str(place.folder), "made-up")
    recording = Recording(place.index, root)
    for replica in MadeUp(rows).replicas(root, None):  # type: ignore[arg-type]
        recording.put(replica)
    recording.abandon()
    recorded = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    pages = [len(page) for page in pending.payloads_of(place.index, 100)]
    assert sum(pages) == rows
    assert max(pages) <= 2000
    for first in range(1, rows + 1, 1000):
        place.index.record_all(
            (Signature(1, inode, 100, 10, 20), {"xxh3_128": f"{inode // 3:032x}"})
            for inode in range(first, first + 1000)
        )
    counted = sum(len(one.replicas) for one in duplicate_sets(place.index))
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counted == rows - 1, "the first two and all threes but the last one"
    assert recorded < 15 << 20
    assert read < 15 << 20


# what it survives


def test_an_index_that_was_cut_short_is_put_aside_and_begun_anew(place: Place) -> None:
    for number in range(200):
        place.file(f"tree/{number}", b"content %d" % number)
    place.scan("tree")
    place.index.close()
    length = place.database.stat().st_size
    os.truncate(place.database, length - 8192)
    with pytest.raises(IndexDamaged, match="should be") as caught:
        Index(place.database)
    assert "delete" in caught.value.hint
    index, warning = Index.open_or_rebuild(place.database)
    with index:
        assert warning is not None
        assert "damaged-1" in warning
        assert index.roots() == []
    assert (place.folder / "index.db.damaged-1").stat().st_size == length - 8192


@pytest.mark.parametrize("content", [b"not a database" * 100, b"x", b"SQLite format 3\0" + b"\xff" * 200])
def test_what_is_no_database_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(content)
    with pytest.raises(IndexDamaged):
        Index(path)
    for number in (1, 2):
        path.write_bytes(content)
        index, warning = Index.open_or_rebuild(path)
        index.close()
        assert warning is not None
        assert (tmp_path / f"index.db.damaged-{number}").read_bytes() == content


def test_damage_in_the_middle_is_told_when_it_is_met(place: Place) -> None:
    for number in range(400):
        place.file(f"tree/{number}", b"content")
    place.scan("tree")
    place.index.close()
    connection = sqlite3.connect(place.database)
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files'").fetchall()
    connection.close()
    with open(place.database, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 200)
    place.file("tree/new", b"content")
    place.index = Index(place.database)
    with pytest.raises(IndexDamaged, match="is damaged"):
        place.names()
    with pytest.raises(IndexDamaged, match="is damaged"):
        place.scan("tree")


HOSTILE = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON files BEGIN DELETE FROM files; END",
    "view": "CREATE VIEW v AS SELECT 1",
    "table": "CREATE TABLE more (x)",
    "index": "CREATE INDEX more ON files (mode)",
    "column": "ALTER TABLE files ADD COLUMN more TEXT DEFAULT 'x'",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_planted_schema_is_refused_and_not_mended(tmp_path: Path, what: str) -> None:
    path = tmp_path / "index.db"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute(HOSTILE[what])
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Hostile) as caught:
        Index.open_or_rebuild(path)
    assert "delete" in caught.value.hint
    assert path.read_bytes() == before


def test_a_missing_table_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE digests")
    connection.commit()
    connection.close()
    with pytest.raises(IndexDamaged, match="missing"):
        Index(path)


def test_an_index_of_a_newer_hubfold_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    Index(path).close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('hubfold-index', 'm999_more', '')"
    )
    connection.execute("CREATE TABLE more (x)")
    connection.commit()
    connection.close()
    with pytest.raises(Newer, match="newer") as caught:
        Index.open_or_rebuild(path)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE files SET name = x'2e2e'",
        "UPDATE files SET name = x'612f62'",
        "UPDATE files SET name = 'text'",
        "UPDATE files SET size = 'text'",
        "UPDATE files SET links = 'telepathy'",
        "UPDATE folders SET path = x'72656c6174697665'",
        "UPDATE roots SET role = 'nobody'",
    ],
)
def test_a_row_that_hubfold_cannot_have_written_is_an_error(place: Place, damage: str) -> None:
    record(
        place.index, "/r", made_up("/r/a", 1, claims={"sha256": A}), made_up("/r/b", 2, claims={"sha256": A})
    )
    connection = sqlite3.connect(place.database)
    with connection:
        if "SET name" in damage:
            damage += " WHERE name = x'61'"
        connection.execute(damage)
    connection.close()
    with pytest.raises(IndexDamaged):
        place.index.roots()
        list(place.index.below("/"))
        list(duplicate_sets(place.index))


def test_an_index_that_another_program_writes_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.index.database.LOCK_SECONDS", 0.05)
    other = sqlite3.connect(place.database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(Locked, match="in use by another program"):
            Index(place.database)
    finally:
        other.rollback()
        other.close()
    Index(place.database).close()


def test_an_index_that_is_deleted_while_it_is_open_is_not_written_to(place: Place) -> None:
    place.file("tree/a", b"content")
    place.scan("tree")
    place.database.unlink()
    for _ in range(2):
        with pytest.raises(IndexDamaged, match="deleted or replaced"):
            place.scan("tree")
        # Nor into one that somebody else began meanwhile.
        Index(place.database).close()
    place.index.close()
    place.index = Index(place.database)
    assert place.scan("tree").files == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.db").mkdir()
    with pytest.raises(IndexUnusable):
        Index(tmp_path / "index.db")
    with pytest.raises(IndexUnusable) as caught:
        Index(tmp_path / "missing" / "index.db")
    assert "HUBFOLD_HOME" in caught.value.hint


def test_two_first_runs_at_once(tmp_path: Path) -> None:
    program = f"from hubfold.index.index import Index; Index({str(tmp_path / 'index.db')!r}).close()"
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [one.wait() for one in running] == [0, 0, 0, 0]


@pytest.mark.parametrize("lie", [1.5, 7, "text"])
def test_a_folder_whose_path_is_no_path_is_damage(place: Place, lie: object) -> None:
    place.file("tree/gone/a", b"same")
    place.file("tree/b", b"same")
    place.scan("tree")
    shutil.rmtree(place.folder / "tree/gone")
    place.index.close()
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        assert (
            connection.execute(
                "UPDATE folders SET path = ? WHERE CAST(path AS TEXT) LIKE '%gone'", (lie,)
            ).rowcount
            == 1
        )
        connection.commit()
    place.index = Index(place.database)
    with pytest.raises(IndexDamaged, match="is no path"):
        place.scan("tree")


def test_deleting_the_index_loses_time_only(place: Place) -> None:
    for name in ("a", "b"):
        place.file(f"tree/{name}", b"same")
    place.scan("tree")
    before = place.sets()
    place.index.close()
    place.database.unlink()
    place.index = Index(place.database)
    place.scan("tree")
    assert place.sets() == before


def test_an_index_of_today_is_made_and_opened_without_sqlite_utils(tmp_path: Path) -> None:
    """Its import takes as long as a whole scan of a few models."""
    code = "from hubfold.index.index import Index; Index(sys.argv[1]).close(); print('sqlite_utils' in sys.modules)"
    for _ in range(2):
        command = [sys.executable, "-c", f"import sys; {code}", str(tmp_path / "index.db")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_new_index_is_what_the_migrations_make(tmp_path: Path) -> None:
    made = sqlite_utils.Database(memory=True, recursive_triggers=False, execute_plugins=False)
    migrations.apply(made)
    Index(tmp_path / "index.db").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "index.db")) as new:
        assert fingerprint(new) == fingerprint(made.conn) == schema.CURRENT
        names = "SELECT migration_set, name FROM _sqlite_migrations ORDER BY id"
        assert new.execute(names).fetchall() == made.conn.execute(names).fetchall()


def test_changes_made_together_are_committed_before_anybody_waits_long(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with Index(path) as ours, Index(path) as theirs, ours.together():
        ours.save_root(Root("/one", "local-dir"))
        assert theirs.roots() == []
        time.sleep(TOGETHER_SECONDS + 0.05)
        ours.file.settle()
        theirs.save_root(Root("/two", "local-dir"))
        ours.save_root(Root("/three", "local-dir"))
    with Index(path) as after:
        assert [root.path for root in after.roots()] == ["/one", "/three", "/two"]


def test_a_change_that_fails_leaves_the_ones_after_it_whole(tmp_path: Path) -> None:
    with Index(tmp_path / "index.db") as index:
        with pytest.raises(RuntimeError), index.together():
            index.save_root(Root("/one", "local-dir"))
            raise RuntimeError
        index.save_root(Root("/two", "local-dir"))
    with Index(tmp_path / "index.db") as after:
        assert [root.path for root in after.roots()] == ["/one", "/two"]
