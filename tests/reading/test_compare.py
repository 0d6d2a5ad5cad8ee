"""Comparing and copying whole files: every byte counts, holes stay holes, a file that shrinks is no equal."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.disk.directory import Directory
from hubfold.disk.held import HeldFile
from hubfold.errors import BytesDiffer, LeftAlone
from hubfold.reading import blocks, compare
from hubfold.reading.compare import CHUNK
from tests.building.descriptors import nothing_stays_open
from tests.building.reading import Seen

STEP = blocks.RESIDENT_BLOCK
#: Whole steps and chunks, a byte to each side, and nothing.
SIZES = {
    "nothing": 0,
    "a byte": 1,
    "a step less one": STEP - 1,
    "a step": STEP,
    "a step and one": STEP + 1,
    "steps": 2 * STEP,
    "a chunk": CHUNK,
    "a chunk and one": CHUNK + 1,
    "chunks and more": 2 * CHUNK + 5,
}
ALL_SIZES = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


@ALL_SIZES
def test_equal_files_of_any_size_are_equal_and_each_is_read_once(
    hold: Callable[..., HeldFile], size: int
) -> None:
    content, seen = os.urandom(size), Seen()
    keeper, victims = hold("k", content), [hold("a", content), hold("b", content)]
    assert compare.compare(keeper, victims, update=seen.update, tick=seen.tick) == {}
    assert seen.bytes == content and seen.total == 3 * size


@pytest.mark.parametrize("at", [0, STEP - 1, STEP, STEP + 1, 2 * STEP + 6], ids="abcde")
def test_one_bit_anywhere_is_a_difference(hold: Callable[..., HeldFile], at: int) -> None:
    content = os.urandom(2 * STEP + 7)
    other = bytearray(content)
    other[at] ^= 1
    keeper, tuned, same = hold("k", content), hold("t", bytes(other)), hold("s", content)
    seen = Seen()
    wrong = compare.compare(keeper, [tuned, same], update=seen.update, tick=seen.tick)
    assert list(wrong) == [tuned] and isinstance(wrong[tuned], BytesDiffer)
    assert str(wrong[tuned]) == f"its bytes differ from {keeper.path} at or after offset {at // STEP * STEP}"
    assert seen.bytes == content


def test_another_size_is_told_without_reading(hold: Callable[..., HeldFile]) -> None:
    keeper, shorter, longer = hold("k", b"12345"), hold("s", b"1234"), hold("l", b"123456")
    wrong = compare.compare(keeper, [shorter, longer], update=bytes, tick=int)
    assert {str(reason) for reason in wrong.values()} == {"its size is another"} and len(wrong) == 2
    assert all(isinstance(reason, BytesDiffer) for reason in wrong.values())


def test_reading_ends_when_nobody_is_equal_any_more(hold: Callable[..., HeldFile]) -> None:
    content = bytes(4 * STEP)
    keeper, other, seen = hold("k", content), hold("o", b"x" + content[1:]), Seen()
    assert list(compare.compare(keeper, [other], update=seen.update, tick=seen.tick)) == [other]
    assert len(seen.bytes) == STEP and seen.ticks == [STEP]


def test_a_victim_that_cannot_be_read_is_wrong_and_the_others_go_on(
    hold: Callable[..., HeldFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(STEP + 1)
    keeper, broken, same = hold("k", content), hold("b", content), hold("s", content)
    real = os.preadv

    def reading(fd: int, buffers: list[memoryview], offset: int) -> int:
        if fd == broken.fd and offset >= STEP:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", reading)
    wrong = compare.compare(keeper, [broken, same], update=bytes, tick=int)
    assert list(wrong) == [broken] and isinstance(wrong[broken], OSError)


@pytest.mark.parametrize("who", ["k", "v"])
def test_a_file_that_becomes_shorter_is_equal_to_nothing(
    hold: Callable[..., HeldFile], tmp_path: Path, who: str
) -> None:
    content = os.urandom(STEP + 9)
    keeper, victim = hold("k", content), hold("v", content)
    os.truncate(tmp_path / who, STEP + 8)
    if who == "k":
        with pytest.raises(LeftAlone, match="became shorter"):
            compare.compare(keeper, [victim], update=bytes, tick=int)
    else:
        wrong = compare.compare(keeper, [victim], update=bytes, tick=int)
        assert str(wrong[victim]) == "it became shorter while it was read"


def want_to_write(path: Path) -> None:
    """As `open(path, "wb")`, without waiting for the lease to be let go."""
    with pytest.raises(BlockingIOError):
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)


def test_a_writer_who_comes_during_the_compare_is_let_in(
    hold: Callable[..., HeldFile], tmp_path: Path
) -> None:
    content = bytes(3 * STEP)
    keeper, one = hold("k", content, lease=True), hold("v", content, lease=True)
    other, seen = hold("o", content, lease=True), Seen()

    def update(view: memoryview) -> None:
        if len(seen.bytes) == STEP:
            want_to_write(tmp_path / "v")
        seen.update(view)

    wrong = compare.compare(keeper, [one, other], update=update, tick=seen.tick)
    assert {held.name: str(reason) for held, reason in wrong.items()} == {
        "v": "a program wants to write to it"
    }
    want_to_write(tmp_path / "k")
    with pytest.raises(LeftAlone, match="wants to write to the kept file"):
        compare.compare(keeper, [other], update=bytes, tick=int)


# -- copies ------------------------------------------------------------------------------------------------------------


def copied(source: Path, target: Path) -> tuple[int, Seen]:
    seen = Seen()
    with open(source, "rb") as one, open(target, "wb") as other:
        size = compare.copy_bytes(one.fileno(), other.fileno(), update=seen.update, tick=seen.tick)
    return size, seen


@ALL_SIZES
def test_a_copy_has_every_byte(tmp_path: Path, size: int) -> None:
    (tmp_path / "f").write_bytes(content := os.urandom(size))
    told, seen = copied(tmp_path / "f", tmp_path / "copy")
    assert told == size == seen.total and seen.bytes == content and max(seen.ticks, default=0) <= CHUNK
    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize(
    "parts",
    [
        "hole",
        "data hole",
        "hole data",
        "data hole data",
        "hole data hole",
        "data hole data hole data",
    ],
)
def test_holes_are_copied_as_holes_and_read_as_zeros(tmp_path: Path, parts: str) -> None:
    length, source = CHUNK + 4096, tmp_path / "f"
    with open(source, "wb") as file:
        for part in parts.split():
            file.write(os.urandom(length)) if part == "data" else file.seek(length, os.SEEK_CUR)
        file.truncate(file.tell())
    size, seen = copied(source, tmp_path / "copy")
    assert size == len(parts.split()) * length == seen.total and seen.bytes == source.read_bytes()
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    blocks = (tmp_path / "copy").stat().st_blocks * 512
    assert blocks == source.stat().st_blocks * 512 == parts.split().count("data") * length


def test_where_holes_cannot_be_told_everything_is_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(content := bytes(10) + os.urandom(5000))
    real = os.lseek

    def seeking(fd: int, offset: int, how: int) -> int:
        if how == os.SEEK_DATA:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(fd, offset, how)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lseek", seeking)
        copied(tmp_path / "f", tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.delattr(os, "SEEK_DATA")
        copied(tmp_path / "f", tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == content


def test_where_holes_cannot_be_told_any_more_the_rest_is_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "f", "wb") as file:
        for _ in range(2):
            file.write(os.urandom(8192))
            file.seek(8192, os.SEEK_CUR)
        file.write(b"tail")
    real = os.lseek

    def seeking(fd: int, offset: int, how: int) -> int:
        if how == os.SEEK_DATA and offset > 0:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, offset, how)

    monkeypatch.setattr(os, "lseek", seeking)
    size, seen = copied(tmp_path / "f", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "f").read_bytes() == bytes(seen.bytes)
    assert size == seen.total == 4 * 8192 + 4


def test_a_file_that_grows_while_it_is_copied_is_copied_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length is the one that was seen first, even where the last piece of data has become longer."""
    (tmp_path / "f").write_bytes(content := os.urandom(5000))
    real = os.lseek

    def seeking(fd: int, offset: int, how: int) -> int:
        if how == os.SEEK_HOLE:
            with open(tmp_path / "f", "ab") as file:
                file.write(b"more")
        return real(fd, offset, how)

    monkeypatch.setattr(os, "lseek", seeking)
    size, seen = copied(tmp_path / "f", tmp_path / "copy")
    assert size == 5000 and (tmp_path / "copy").read_bytes() == content == bytes(seen.bytes)


def test_short_writes_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(content := os.urandom(1000))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    copied(tmp_path / "f", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_a_copy_replaces_what_was_longer(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"short")
    (tmp_path / "copy").write_bytes(b"longer than that")
    with open(tmp_path / "f", "rb") as one, open(tmp_path / "copy", "r+b") as other:
        compare.copy_bytes(one.fileno(), other.fileno(), update=bytes, tick=int)
    assert (tmp_path / "copy").read_bytes() == b"short"


@ALL_SIZES
def test_a_whole_file_is_read_in_order(hold: Callable[..., HeldFile], tmp_path: Path, size: int) -> None:
    content, one, other = os.urandom(size), Seen(), Seen()
    held = hold("f", content)
    compare.read_held(held, update=one.update, tick=one.tick)
    with Directory.open(str(tmp_path)) as here, nothing_stays_open():
        assert compare.read_all(here, "f", update=other.update, tick=other.tick) == size
        assert compare.read_all(here, "f", update=bytes) == size
    assert one.bytes == other.bytes == content and one.ticks == other.ticks and one.total == size


def test_a_held_file_that_became_shorter_is_not_called_read(
    hold: Callable[..., HeldFile], tmp_path: Path
) -> None:
    held = hold("f", b"12345")
    os.truncate(tmp_path / "f", 4)
    with pytest.raises(LeftAlone, match="became shorter"):
        compare.read_held(held, update=bytes, tick=int)
