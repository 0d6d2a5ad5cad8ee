"""Whether a program has a file open."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from hubfold.disk.in_use import is_open


def test_open_or_mapped_for_reading_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    assert not is_open(str(path))
    with path.open("rb") as file:
        if not is_open(str(path)):
            pytest.skip("the file system grants no leases")
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    assert is_open(str(path))
    mapped.close()
    assert not is_open(str(path))
    with path.open("ab"):
        assert is_open(str(path))


def test_what_is_not_there_is_not_in_use(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert not is_open(str(tmp_path / "none"))
    assert not is_open(str(tmp_path / "link"))
