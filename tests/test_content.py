"""The words of hubfold as data: what they say of themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import (
    DuplicateSet,
    IndexedReplica,
    Signature,
    Snapshot,
    SnapshotFile,
    Trust,
    signature_tuple,
)


def replica(path: str, inode: int, claims: dict[str, str], computed: dict[str, str]) -> IndexedReplica:
    return IndexedReplica(
        path, "/r", "plain", Signature(1, inode, 5, 0, 0), 4096, 1, 0o644, 0, 0, claims, computed
    )


def test_a_signature_is_what_stat_says_of_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    st = path.stat()
    assert Signature.of(st) == (st.st_dev, st.st_ino, 5, st.st_mtime_ns, st.st_ctime_ns)
    assert signature_tuple(st) == Signature.of(st)
    os.utime(path, ns=(1, 1))
    assert Signature.of(path.stat()) != Signature.of(st)


@pytest.mark.parametrize(
    ("claims", "computed", "lies"),
    [
        ({"sha256": "a"}, {}, False),
        ({"sha256": "a"}, {"sha256": "a"}, False),
        ({"sha256": "a"}, {"xxh3_128": "x"}, False),
        ({"sha256": "a"}, {"sha256": "b"}, True),
        ({}, {"sha256": "b"}, False),
    ],
)
def test_a_claim_is_a_lie_where_the_bytes_were_read_and_are_others(
    claims: dict[str, str], computed: dict[str, str], lies: bool
) -> None:
    one = replica("/r/a", 1, claims, computed)
    assert one.claim_is_a_lie is lies
    assert computed.items() <= one.digests.items(), "what was computed wins"


def test_a_set_has_its_replicas_by_payload_in_their_order() -> None:
    names = [("/r/c", 2), ("/r/a", 1), ("/r/b", 2)]
    made = tuple(replica(path, inode, {}, {}) for path, inode in names)
    payloads = DuplicateSet(5, {}, Trust.COMPUTED, made).payloads
    assert {payload: [one.path for one in same] for payload, same in payloads.items()} == {
        (1, 2): ["/r/c", "/r/b"],
        (1, 1): ["/r/a"],
    }
    assert list(payloads) == [(1, 2), (1, 1)]


def test_a_snapshot_is_broken_where_one_of_its_files_cannot_be_opened() -> None:
    whole = SnapshotFile("a", "/a", 0)
    broken = SnapshotFile("b", "/b", None)
    assert not Snapshot("org/a", "model", "1", (), "/s", (whole,)).broken
    assert Snapshot("org/a", "model", "1", (), "/s", (whole, broken)).broken
    assert not Snapshot("org/a", "model", "1", (), "/s", ()).broken
