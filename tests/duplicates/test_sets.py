"""Duplicate sets out of the index: those of the bytes, by what is known of them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubfold.backend.contract import StorageBackend, Walk
from hubfold.content import Replica, Root, Signature, Trust
from hubfold.duplicates import pending
from hubfold.duplicates import sets as sizes
from hubfold.duplicates.cost import Cost, duplicate_cost
from hubfold.duplicates.sets import duplicate_sets
from hubfold.index.index import Index
from hubfold.scanning.recording import Recording
from tests.building.scanned import Place, made_up, record
from tests.building.tiers import tries

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
@settings(max_examples=tries(15, 60), deadline=None, suppress_health_check=list(HealthCheck))
def test_sets_are_those_of_the_bytes(tmp_path: Path, data: st.DataObject) -> None:
    """Any mix of names, links, claims and what was read: a set has equal bytes, and equal bytes that share a known
    digest are in one set."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
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
