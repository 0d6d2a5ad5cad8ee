"""No byte goes out that is not of the content: proved once, looked at with each block, and read again when touched."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubfold.content import Signature
from hubfold.progress import Stop
from hubfold.reading import digests
from hubfold.serving import proof
from hubfold.serving.proof import NotTheContent, Opened, Proofs
from hubfold.serving.shelf import Shelved
from tests.building.waiting import PATIENCE

DATA = os.urandom(5000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    settle(file)
    return file


def settle(file: Path) -> None:
    """As if it was written long ago, as far as the mtime tells."""
    os.utime(file, ns=(0, 0))


def shelved(path: Path, digest: str = SHA, algorithm: str = "sha256") -> Shelved:
    return Shelved("file", len(DATA), algorithm, digest, (str(path),))


class Known:
    """What the index knows and learns; `reads` are the files that were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, computed: Mapping[str, str] = {}) -> None:
        self.learned: list[Mapping[str, str]] = []
        self.reads = 0
        real = digests.read

        def read(job: digests.Job, *more: Any) -> digests.Reading:
            self.reads += 1
            return real(job, *more)

        monkeypatch.setattr(digests, "read", read)
        # So far ahead that nothing is too young to be believed.
        self.proofs = Proofs(lambda _: computed, lambda _, found: self.learned.append(found), lambda: 1 << 62)


def opened(
    path: Path, known: Known, do: Callable[[Opened], Awaitable[object]], file: Shelved | None = None
) -> object:
    async def go() -> object:
        with Opened(file or shelved(path), str(path), known.proofs) as one:
            return await do(one)

    return asyncio.run(go())


async def read(one: Opened, offset: int = 0, size: int = 10_000) -> bytes:
    block = memoryview(bytearray(size))
    return bytes(block[: await one.read(block, offset)])


def test_it_is_read_once_for_all_who_ask_and_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(monkeypatch)

    async def many(one: Opened) -> list[bytes]:
        await asyncio.gather(*(one.prove() for _ in range(8)))
        return [await read(one), await read(one, 4990), await read(one, 0, 3)]

    assert opened(path, known, many) == [DATA, DATA[4990:], DATA[:3]]
    assert known.reads == 1
    assert known.learned == [{"sha256": SHA}]


def test_what_the_index_knows_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(monkeypatch, {"sha256": SHA, "xxh3_128": "0" * 32})
    assert opened(path, known, read) == DATA
    assert known.reads == 0


@pytest.mark.parametrize("computed", [{}, {"sha256": "f" * 64}])
def test_what_is_not_what_its_name_says_gives_no_byte(
    path: Path, monkeypatch: pytest.MonkeyPatch, computed: dict[str, str]
) -> None:
    known = Known(monkeypatch, computed)
    file = shelved(path, "e" * 64)
    with pytest.raises(NotTheContent):
        opened(path, known, read, file)


def test_a_git_blob_is_proved_by_its_own_digest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA).hexdigest()
    assert opened(path, Known(monkeypatch), read, shelved(path, git, "git-sha1")) == DATA


def test_bytes_that_change_while_they_are_read_do_not_come(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(monkeypatch)

    async def change(one: Opened) -> None:
        assert await read(one, 0, 10) == DATA[:10]
        with path.open("r+b") as file:
            file.write(b"other")
        await read(one, 0, 10)

    with pytest.raises(NotTheContent):
        opened(path, known, change)


def test_what_was_only_touched_is_read_again_and_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(monkeypatch)

    async def touch(one: Opened) -> bytes:
        first = await read(one, 0, 10)
        path.with_name("second").hardlink_to(path)
        return first + await read(one, 10)

    assert opened(path, known, touch) == DATA
    assert known.reads == 2


def test_the_last_look_sees_what_came_after_the_last_block(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(monkeypatch)

    async def change(one: Opened) -> None:
        await read(one)
        await one.still()
        path.write_bytes(DATA[:-1] + b"x")
        await one.still()

    with pytest.raises(NotTheContent):
        opened(path, known, change)


def test_what_is_no_file_of_that_length_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(monkeypatch)
    before = len(os.listdir("/proc/self/fd"))
    for what in (path.parent, path.with_name("fifo"), path.with_name("short")):
        if what.name == "fifo":
            os.mkfifo(what)
        if what.name == "short":
            what.write_bytes(b"x")
        with pytest.raises((NotTheContent, OSError)):
            Opened(shelved(what), str(what), known.proofs)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_was_just_written_is_believed_only_when_its_times_would_tell(path: Path) -> None:
    """A second write within one tick of the clock keeps the times: the digest of the first would be taken for it."""
    signature = Signature.of(os.stat(path))
    slept: list[float] = []

    async def go() -> None:
        proofs = Proofs(lambda _: {}, lambda *_: None, lambda: signature.ctime_ns + proof.SETTLED // 4)
        real = asyncio.sleep

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await real(0)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            assert await proofs.prove(str(path), signature, shelved(path))

    asyncio.run(go())
    assert [round(one, 3) for one in slept if one] == [1.5]


def test_closing_ends_what_is_being_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proofs = Proofs(lambda _: {}, lambda *_: None, lambda: 1 << 62)

    def read(job: digests.Job, advance: object, stop: Stop) -> digests.Reading:
        stop.wait(PATIENCE)
        stop.check()
        raise AssertionError("it was not told to stop")

    monkeypatch.setattr(digests, "read", read)

    async def go() -> bool:
        proving = asyncio.create_task(proofs.prove(str(path), Signature.of(os.stat(path)), shelved(path)))
        await asyncio.sleep(0.01)
        proofs.close()
        return await proving

    assert not asyncio.run(go())
