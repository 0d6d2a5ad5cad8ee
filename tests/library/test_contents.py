"""Bytes that were read and are not what their layout says: known wherever the payload has a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Signature, Snapshot, SnapshotFile
from hubfold.library.contents import EMPTY, Contents

GOOD, OTHER = "0" * 64, "1" * 64


def snapshot(*files: SnapshotFile) -> Snapshot:
    return Snapshot("org/a", "model", "c" * 40, ("main",), "/r", files)


def test_a_payload_is_wrong_by_each_of_its_names(tmp_path: Path) -> None:
    blob, link, name = tmp_path / "blob", tmp_path / "link", tmp_path / "name"
    blob.write_bytes(b"xy")
    link.symlink_to(blob)
    os.link(blob, name)
    computed = {Signature.of(blob.stat()): {"sha256": OTHER}}
    stated = SnapshotFile("a", str(link), 2, {"sha256": GOOD})
    nameless = SnapshotFile("a", str(name), 2)
    contents = Contents.of([snapshot(nameless, stated)], lambda signature: computed.get(signature, {}))
    assert "not the sha256" in str(contents.wrong(stated))
    assert contents.wrong(nameless) is not None
    blob.write_bytes(b"zz")
    os.utime(blob, ns=(1, 1))
    contents = Contents.of([snapshot(stated)], lambda signature: computed.get(signature, {}))
    assert contents.wrong(stated) is None, "these bytes nobody has read"


@pytest.mark.parametrize("read", [{}, {"xxh3_128": OTHER}, {"sha256": GOOD}])
def test_nothing_contradicts_what_was_not_read_or_is_right(tmp_path: Path, read: dict[str, str]) -> None:
    (tmp_path / "a").write_bytes(b"xy")
    file = SnapshotFile("a", str(tmp_path / "a"), 2, {"sha256": GOOD})
    assert Contents.of([snapshot(file)], lambda signature: read).wrong(file) is None
    assert Contents.of([snapshot(file)], None).wrong(file) is None
    gone = SnapshotFile("b", str(tmp_path / "b"), 2, {"sha256": GOOD})
    assert Contents.of([snapshot(gone)], lambda signature: {"sha256": OTHER}).wrong(gone) is None


@pytest.mark.parametrize("algorithm", sorted(EMPTY))
def test_an_empty_file_has_the_digest_of_nothing_or_is_wrong(algorithm: str) -> None:
    nothing = Contents()
    assert nothing.wrong(SnapshotFile("a", "/a", 0, {algorithm: EMPTY[algorithm]})) is None
    assert nothing.wrong(SnapshotFile("a", "/a", 0)) is None
    value = "0" * len(EMPTY[algorithm])
    assert "is empty" in str(nothing.wrong(SnapshotFile("a", "/a", 0, {algorithm: value})))


def test_what_could_not_be_read_hides_what_is_below_and_above_it() -> None:
    contents = Contents(unreadable=("/hub/models--a/snapshots",))
    assert contents.hidden("/hub/models--a/snapshots/c") == "/hub/models--a/snapshots"
    assert contents.hidden("/hub/models--a") == "/hub/models--a/snapshots"
    assert contents.hidden("/hub/models--b/snapshots/c") is None
