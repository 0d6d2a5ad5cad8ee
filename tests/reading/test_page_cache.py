"""What reading does to the page cache: nothing."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

import pytest

from hubfold.reading import blocks, page_cache
from hubfold.reading.digests import read
from tests.building.reading import MIB, drop_from_cache, job, noise, resident_pages


def can_tell_residency(folder: Path) -> bool:
    """Whether pages can be dropped and asked about here (a tmpfs has nothing behind the cache)."""
    path = folder / "probe"
    path.write_bytes(noise(MIB))
    drop_from_cache(path)
    return resident_pages(path) == 0


def test_reading_brings_nothing_into_the_page_cache(tmp_path: Path) -> None:
    if not can_tell_residency(tmp_path):
        pytest.skip("pages cannot be dropped from the cache here")
    path = tmp_path / "file"
    path.write_bytes(noise(9 * MIB + 5))
    drop_from_cache(path)
    assert read(job(path, "sha256")).bytes_read == 9 * MIB + 5
    assert resident_pages(path) == 0


def test_every_way_to_ask_counts_the_pages_that_are_in_the_cache(tmp_path: Path) -> None:
    if not can_tell_residency(tmp_path):
        pytest.skip("pages cannot be dropped from the cache here")
    path = tmp_path / "file"
    path.write_bytes(noise(9 * MIB + 5))
    drop_from_cache(path)
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 3 * mmap.PAGESIZE, MIB)
        os.pread(file.fileno(), 1, 9 * MIB)
        counts = [probe(file.fileno(), 0, 9 * MIB + 5) for probe in page_cache._probes()]
    assert set(counts) - {None} == {4}
    assert counts[-1] == 4, "mincore has been there for ever"


def test_a_file_is_in_the_cache_where_every_page_of_it_is(tmp_path: Path) -> None:
    if not can_tell_residency(tmp_path):
        pytest.skip("pages cannot be dropped from the cache here")
    path = tmp_path / "file"
    path.write_bytes(noise(2 * MIB + 5))
    assert page_cache.in_cache(str(path), 2 * MIB + 5)
    assert not page_cache.in_cache(str(path), 3 * MIB), "it has not so many bytes"
    drop_from_cache(path)
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), MIB, 0)
    assert not page_cache.in_cache(str(path), 2 * MIB + 5)
    assert not page_cache.in_cache(str(tmp_path / "missing"), 1)


def test_what_was_in_the_page_cache_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(9 * MIB))
    before = resident_pages(path)
    read(job(path, "sha256"))
    assert resident_pages(path) == before


def test_without_a_way_past_the_cache_the_pages_are_dropped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_tell_residency(tmp_path):
        pytest.skip("pages cannot be dropped from the cache here")
    monkeypatch.setattr(blocks, "_DIRECT", 0)
    path = tmp_path / "file"
    content = noise(9 * MIB + 5)
    path.write_bytes(content)
    drop_from_cache(path)
    assert read(job(path, "sha256")).digests == {"sha256": hashlib.sha256(content).hexdigest()}
    assert resident_pages(path) <= 16
