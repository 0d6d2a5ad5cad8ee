"""Blocks of files: read whole, however few bytes a call gives and whatever the system lacks."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.disk.held import HeldFile
from hubfold.errors import BytesDiffer, LeftAlone
from hubfold.reading import blocks, compare, page_cache
from tests.building.reading import Seen

STEP = blocks.RESIDENT_BLOCK


COLD_SIZE = 2 * blocks.BLOCK + STEP + 7


@pytest.mark.parametrize("cold", ["k", "t", "kt", "kts"])
@pytest.mark.parametrize(
    "at", [0, 4095, blocks.BLOCK - 1, blocks.BLOCK, 2 * blocks.BLOCK + STEP, COLD_SIZE - 1]
)
def test_one_bit_anywhere_is_a_difference_from_the_page_cache_and_past_it(
    hold: Callable[..., HeldFile], cold: str, at: int
) -> None:
    content = os.urandom(COLD_SIZE)
    other = bytearray(content)
    other[at] ^= 1
    files = {"k": hold("k", content), "t": hold("t", bytes(other)), "s": hold("s", content)}
    for name in cold:
        os.fsync(files[name].fd)
        os.posix_fadvise(files[name].fd, 0, 0, os.POSIX_FADV_DONTNEED)
    before = {name: page_cache.pages(held.fd, 0, COLD_SIZE) for name, held in files.items()}
    seen = Seen()
    wrong = compare.compare(files["k"], [files["t"], files["s"]], update=seen.update, tick=seen.tick)
    assert list(wrong) == [files["t"]] and isinstance(wrong[files["t"]], BytesDiffer)
    assert seen.bytes == content
    assert {name: page_cache.pages(held.fd, 0, COLD_SIZE) for name, held in files.items()} == before


def test_a_direct_read_goes_to_huge_pages_where_the_kernel_has_them() -> None:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[never]" in setting.read_text():
        pytest.skip("no huge pages here")
    block = blocks._block()
    block[:] = bytes(blocks.BLOCK)
    huge = [line for line in Path("/proc/self/smaps").read_text().splitlines() if "AnonHugePages" in line]
    assert sum(int(line.split()[1]) for line in huge) >= blocks.BLOCK // 1024


def test_short_reads_are_put_together(hold: Callable[..., HeldFile], monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(1000)
    held, real = hold("k", content), os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: real(fd, [buffers[0][:7]], offset))
    buffer = bytearray(990)
    compare.read_exactly(held.fd, buffer, 3)
    assert buffer == content[3:993]


def test_without_preadv_the_same_bytes_are_read(
    hold: Callable[..., HeldFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(1000)
    held, real = hold("k", content), os.read
    monkeypatch.delattr(os, "preadv")
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 7)))
    buffer = bytearray(990)
    compare.read_exactly(held.fd, buffer, 3)
    assert buffer == content[3:993]
    with pytest.raises(LeftAlone, match="became shorter"):
        compare.read_exactly(held.fd, bytearray(998), 3)


def test_the_hint_to_the_system_may_be_refused(
    hold: Callable[..., HeldFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "")

    held = hold("k", b"1")
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    compare.read_ahead(held.fd)
    monkeypatch.delattr(os, "posix_fadvise")
    compare.read_ahead(held.fd)
