"""Digests against the reference tools, and what reading does to the machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import xxhash

from hubfold.errors import Interrupted
from hubfold.progress import Stop
from hubfold.reading.digests import AT_ONCE, SAMPLE, SMALL, available, read
from tests.building.reading import MIB, drop_from_cache, job, noise

SIZES = [
    0,
    1,
    4095,
    4096,
    4097,
    AT_ONCE,
    AT_ONCE + 1,
    SMALL,
    SMALL + 1,
    4 * MIB - 1,
    4 * MIB,
    4 * MIB + 1,
    9 * MIB + 5,
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cold", [False, True])
def test_digests_are_those_of_the_bytes(tmp_path: Path, size: int, cold: bool) -> None:
    content = noise(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    if cold:
        drop_from_cache(path)
    reading = read(job(path, "sha256", "git-sha1", "xxh3_128"))
    assert reading.digests == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "git-sha1": hashlib.sha1(b"blob %d\0" % size + content).hexdigest(),
        "xxh3_128": xxhash.xxh3_128_hexdigest(content),
    }
    assert reading.bytes_read == size, "one read for all of them"
    alone = read(job(path, "xxh3_128"))
    assert (alone.digests["xxh3_128"], alone.bytes_read) == (reading.digests["xxh3_128"], size)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_sha1_is_what_git_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(5000))
    said = subprocess.run(
        ["git", "hash-object", path], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert read(job(path, "git-sha1")).digests == {"git-sha1": said}


@pytest.mark.skipif(not available("xet"), reason="hf_xet is not installed")
def test_xet_is_what_the_client_says_and_leaves_no_log(tmp_path: Path, isolated: Path) -> None:
    from hf_xet import hash_files

    path = tmp_path / "file"
    path.write_bytes(noise(3 * MIB))
    (said,) = hash_files([str(path)])
    reading = read(job(path, "xet", "sha256"))
    assert reading.digests == {"xet": said.hash, "sha256": hashlib.sha256(noise(3 * MIB)).hexdigest()}
    assert not available("sha512")


def test_sparse_files_are_read_as_they_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(b"head")
        file.truncate(20 * MIB)
    expected = hashlib.sha256(b"head" + bytes(20 * MIB - 4)).hexdigest()
    assert read(job(path, "sha256")).digests == {"sha256": expected}


@pytest.mark.parametrize("size", [SMALL + 1, MIB, 5 * MIB + 123])
def test_samples_see_the_head_the_middle_and_the_tail(tmp_path: Path, size: int) -> None:
    content = noise(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    sample = read(job(path, SAMPLE))
    assert 0 < sample.bytes_read <= 100_000
    for at in (0, size // 2, size // 2 + 5000, size - 1, 10, size - 4000):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert read(job(path, SAMPLE)).digests != sample.digests, at
    path.write_bytes(content)
    assert read(job(path, SAMPLE)).digests == sample.digests


def test_equal_samples_are_no_proof(tmp_path: Path) -> None:
    """What a sample does not see is why samples only ever separate."""
    content = bytearray(noise(8 * MIB))
    path = tmp_path / "file"
    path.write_bytes(content)
    before = read(job(path, SAMPLE, "sha256")), read(job(path, SAMPLE))
    content[MIB] ^= 1
    path.write_bytes(content)
    assert read(job(path, SAMPLE)).digests == before[1].digests
    assert read(job(path, "sha256")).digests != {}


@pytest.mark.parametrize("algorithm", ["sha256", "xxh3_128"])
def test_a_file_that_is_not_what_it_was_gets_no_digest(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    old = job(path, algorithm)
    path.write_bytes(b"after!")
    os.utime(path, ns=(0, old.signature.mtime_ns))
    reading = read(old)
    assert (reading.changed, reading.digests, reading.bytes_read) == (True, {}, 0)


@pytest.mark.parametrize("how", ["write", "truncate", "grow", "replace"])
def test_a_file_that_changes_while_it_is_read_gets_no_digest(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(9 * MIB))

    def meddle(count: int) -> None:
        if how == "replace":
            path.unlink(missing_ok=True)
            path.write_bytes(b"another")
            return
        with open(path, "r+b") as file:
            if how == "truncate":
                file.truncate(5 * MIB)
            else:
                file.seek(0, os.SEEK_END if how == "grow" else os.SEEK_SET)
                file.write(b"x")

    reading = read(job(path, "sha256"), meddle)
    assert reading.changed
    assert reading.digests == {}
    assert reading.bytes_read > 0


@pytest.mark.parametrize("how", ["write", "truncate", "grow"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_small_file_that_changes_while_it_is_read_gets_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, when: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    wanted = job(path, "xxh3_128")
    real = os.read

    def meddling(fd: int, count: int) -> bytes:
        data = real(fd, count) if when == "after" else b""
        with open(path, "r+b") as file:
            if how == "truncate":
                file.truncate(3)
            else:
                file.seek(0, os.SEEK_END if how == "grow" else os.SEEK_SET)
                file.write(b"x")
        return data or real(fd, count)

    monkeypatch.setattr(os, "read", meddling)
    reading = read(wanted)
    assert (reading.changed, reading.digests) == (True, {})
    assert reading.bytes_read == (3 if (how, when) == ("truncate", "before") else 7)


@pytest.mark.parametrize("algorithm", ["sha256", "xxh3_128"])
def test_what_cannot_be_read_is_told_and_has_no_digest(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    wanted = job(path, algorithm)
    path.unlink()
    gone = read(wanted)
    assert (gone.missing, gone.digests) == (True, {})
    path.symlink_to("/etc/passwd")
    link = read(wanted)
    assert (link.changed, link.digests) == (True, {}), "a symlink is not followed"
    path.unlink()
    os.mkfifo(path)
    fifo = read(wanted)
    assert (fifo.changed, fifo.digests) == (True, {}), "and a FIFO does not hang it"


def test_a_read_error_is_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(MIB))

    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", failing)
    monkeypatch.setattr(os, "read", failing)
    reading = read(job(path, "sha256"))
    assert (reading.unreadable, reading.digests) == ("Input/output error", {})
    path.write_bytes(b"a few")
    reading = read(job(path, "xxh3_128"))
    assert (reading.unreadable, reading.digests) == ("Input/output error", {})


def test_it_stops_between_blocks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(9 * MIB))
    stop = Stop()
    counts: list[int] = []

    def advance(count: int) -> None:
        counts.append(count)
        stop.set()

    with pytest.raises(Interrupted):
        read(job(path, "sha256"), advance, stop)
    assert sum(counts) <= 4 * MIB
