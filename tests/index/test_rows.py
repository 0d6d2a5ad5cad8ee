"""A replica as columns and back, and what is no row of hubfold's."""

from __future__ import annotations

import os
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfold.content import Signature
from hubfold.index import rows

NUMBER = st.integers(0, (1 << 64) - 1)
TIME = st.integers(-(1 << 62), (1 << 63) + (1 << 61))


@given(NUMBER, NUMBER, st.integers(0, (1 << 63) - 1), TIME, TIME)
def test_a_signature_comes_back_as_it_was(device: int, inode: int, size: int, mtime: int, ctime: int) -> None:
    signature = (device, inode, size, mtime, ctime)
    columns = rows.stored_signature(signature)
    assert all(-(1 << 63) <= column < 1 << 63 for column in columns), "what SQLite holds"
    assert rows.loaded_signature(columns) == Signature(*signature)


@pytest.mark.parametrize("path", ["/a", "/a/", "/", "/a/b", "/a\udcff"])
def test_below_a_folder_is_what_lies_below_it_and_nothing_beside_it(path: str) -> None:
    folders = ["/", "/a", "/a/b", "/a/b/c", "/a b", "/a.", "/a0", "/a/\udcff", "/ab", "/a\udcff", "/b"]
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE p (path BLOB)")
    connection.executemany("INSERT INTO p VALUES (?)", [(os.fsencode(folder),) for folder in folders])
    clause, values = rows.below_clause("path", path)
    found = [os.fsdecode(one) for (one,) in connection.execute(f"SELECT path FROM p WHERE {clause}", values)]
    top = path.rstrip("/") or "/"
    assert found == [one for one in folders if one == top or one.startswith(top if top == "/" else top + "/")]


@pytest.mark.parametrize(
    ("folder", "name"),
    [(b"/a", b""), (b"/a", b"."), (b"/a", b".."), (b"/a", b"b/c"), (b"a", b"b"), (b"", b"b")],
)
def test_a_name_that_hubfold_cannot_have_written_is_refused(folder: bytes, name: bytes) -> None:
    with pytest.raises(ValueError, match="the name"):
        rows.joined(folder, name)


@given(
    st.binary(min_size=1).filter(
        lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
    )
)
def test_any_name_of_a_disk_is_a_name(name: bytes) -> None:
    assert os.fsencode(rows.joined(b"/a", name)) == b"/a/" + name


def test_a_digest_is_stored_as_its_bytes() -> None:
    assert rows.raw("ab" * 16) == b"\xab" * 16
    assert rows.raw(None) is None
