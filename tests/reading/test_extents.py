"""Shared extents: on a real btrfs, and with answers of a kernel that this machine does not give."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from hubfold.content import LinkKind
from hubfold.disk.held import HeldFile
from hubfold.errors import BytesDiffer, Interrupted, LeftAlone
from hubfold.folding.executor import Executor
from hubfold.folding.plan import Plan
from hubfold.folding.planner import Policy
from hubfold.journal.journal import Journal
from hubfold.progress import Silent, Stop
from hubfold.reading import extents, page_cache
from tests.building.descriptors import nothing_stays_open
from tests.building.folding import Scene
from tests.faults.filesystems import Mounts, Unavailable, physical

MIB = 1 << 20
#: More than the kernel takes in one call, and no whole number of anything.
SIZE = 17 * MIB + 5


@pytest.fixture(scope="module")
def btrfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with Mounts(tmp_path_factory.mktemp("mounts")) as mounts:
        try:
            place = mounts.image("btrfs", 1 << 30).path
        except Unavailable as lack:
            pytest.skip(str(lack))
        yield Path(place)


@pytest.fixture
def place(btrfs: Path) -> Iterator[Path]:
    """A folder of the test's own on btrfs."""
    folder = btrfs / "place"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return path


def shared(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(length for _, length in extents.shared(file.fileno()))


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    with nothing_stays_open():
        yield


class Pair:
    """Keeper and victim, held as for a reflink."""

    def __init__(self, folder: Path, keeper: bytes, victim: bytes) -> None:
        self.keeper = HeldFile(str(folder), str(write(folder / "keeper", keeper)), lease=False)
        self.victim = HeldFile(str(folder), str(write(folder / "victim", victim)), lease=False)
        self.ticks: list[int] = []

    def share(self) -> None:
        try:
            wrong = extents.share_extents(self.keeper, [self.victim], tick=self.ticks.append)
        finally:
            self.keeper.close()
            self.victim.close()
        if wrong:
            raise wrong[self.victim]


# -- on btrfs ----------------------------------------------------------------------------------------------------------


def test_two_files_come_to_lie_in_the_same_place_and_stay_two_files(place: Path) -> None:
    content = os.urandom(SIZE)
    pair = Pair(place, content, content)
    inode = pair.victim.signature.inode
    assert physical(place / "keeper") != physical(place / "victim")
    assert shared(place / "keeper") == 0
    pair.share()
    assert physical(place / "keeper") == physical(place / "victim") is not None
    assert os.stat(place / "victim").st_ino == inode and (place / "victim").read_bytes() == content
    assert sum(pair.ticks) == 2 * SIZE
    assert SIZE <= shared(place / "victim") < SIZE + 4096


@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 16 * MIB])
def test_files_of_every_size(place: Path, size: int) -> None:
    content = os.urandom(size)
    pair = Pair(place, content, content)
    pair.share()
    assert sum(pair.ticks) == 2 * size
    if size >= MIB:
        assert physical(place / "keeper") == physical(place / "victim")


@pytest.mark.parametrize("at", [0, 16 * MIB, SIZE - 1])
def test_the_kernel_finds_the_one_byte(place: Path, at: int) -> None:
    content = os.urandom(SIZE)
    tuned = bytearray(content)
    tuned[at] ^= 1
    with pytest.raises(
        BytesDiffer, match=rf"its bytes differ from {place}/keeper at or after offset \d+"
    ) as no:
        Pair(place, content, bytes(tuned)).share()
    assert int(str(no.value).split()[-1]) <= at
    assert (place / "victim").read_bytes() == tuned


def test_one_read_of_the_keeper_serves_all_and_one_that_differs_leaves_the_others_alone(place: Path) -> None:
    content = os.urandom(SIZE)
    tuned = bytearray(content)
    tuned[5] ^= 1
    named = {"keeper": content, "first": content, "tuned": bytes(tuned), "last": content}
    files = {
        name: HeldFile(str(place), str(write(place / name, data)), lease=False)
        for name, data in named.items()
    }
    ticks: list[int] = []
    keeper, *victims = files.values()
    wrong = extents.share_extents(keeper, victims, tick=ticks.append)
    for held in files.values():
        held.close()
    assert list(wrong) == [files["tuned"]] and isinstance(wrong[files["tuned"]], BytesDiffer)
    assert physical(place / "first") == physical(place / "last") == physical(place / "keeper")
    assert (place / "tuned").read_bytes() == tuned
    assert sum(ticks) == 3 * SIZE + 16 * MIB


def test_what_was_not_in_the_page_cache_does_not_stay_there(place: Path) -> None:
    content = os.urandom(SIZE)
    pair = Pair(place, content, content)
    for held in (pair.keeper, pair.victim):
        os.posix_fadvise(held.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert page_cache.pages(held.fd, 0, SIZE) == 0
    pair.share()
    with open(place / "keeper", "rb") as keeper, open(place / "victim", "rb") as victim:
        left = sum(page_cache.pages(file.fileno(), 0, SIZE) or 0 for file in (keeper, victim))
    assert left < 2 * SIZE // page_cache.PAGE // 10
    assert (place / "victim").read_bytes() == content


def test_a_keeper_that_cannot_be_read_is_raised(place: Path) -> None:
    pair = Pair(place, b"x" * 4999, b"x" * 5000)
    pair.keeper.signature = pair.keeper.signature._replace(size=5000)
    with pytest.raises(LeftAlone, match="became shorter"):
        pair.share()


def test_a_victim_that_is_shorter_than_it_was_is_left_alone(place: Path) -> None:
    pair = Pair(place, b"x" * 5000, b"x" * 4999)
    with pytest.raises(LeftAlone, match="became shorter"):
        pair.share()


def test_a_clone_shares_everything(place: Path) -> None:
    content = os.urandom(MIB)
    write(place / "f", content)
    with open(place / "f", "rb") as source, open(place / "clone", "wb") as target:
        extents.clone_extents(source.fileno(), target.fileno())
    assert (place / "clone").read_bytes() == content and physical(place / "clone") == physical(place / "f")


def test_neighbouring_extents_are_one_however_they_were_written(place: Path) -> None:
    one = write(place / "one", os.urandom(2 * MIB))
    found = physical(one)
    assert isinstance(found, tuple) and sum(length for _, _, length in found) == 2 * MIB
    for (offset, where, length), (after, there, _) in pairwise(found):
        assert offset + length != after or where + length != there


def test_a_file_with_many_extents_is_told_whole(place: Path) -> None:
    with open(place / "f", "wb") as file:
        for number in range(300):
            file.seek(number * 8192)
            file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
    found = physical(place / "f")
    assert isinstance(found, tuple) and [offset for offset, _, _ in found] == [n * 8192 for n in range(300)]


def test_what_lies_in_no_place_of_its_own_is_unknown(place: Path) -> None:
    assert physical(write(place / "inline", b"tiny")) is None
    (place / "delayed").write_bytes(b"x" * MIB)
    assert physical(place / "delayed") is None
    (place / "empty").write_bytes(b"")
    assert physical(place / "empty") == ()
    assert shared(place / "inline") == shared(place / "empty") == 0


def folded(scene: Scene) -> tuple[Path, Path]:
    content = os.urandom(MIB)
    keeper, victim = (
        scene.file(scene.cache, "blobs/x", content),
        scene.file(scene.root("models"), "m", content),
    )
    for path in (keeper, victim):
        write(path, content)
    return keeper, victim


def test_a_run_with_reflinks_is_journalled_and_undo_says_it_is_taken_back(place: Path) -> None:
    scene = Scene(place)
    keeper, victim = folded(scene)
    before = os.lstat(victim)
    plan = scene.plan(keeper, victim)
    assert [action.link for action in plan.actions] == [LinkKind.REFLINK]
    (outcome,) = scene.apply(plan)
    assert outcome.error == "" and outcome.action is plan.actions[0]
    assert physical(keeper) == physical(victim) is not None
    after = os.lstat(victim)
    assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mtime_ns, 1)
    log = scene.log()
    assert log.states == {1: "done"} and log.intents[1].path == str(victim)
    assert log.intents[1].keeper_mtime_ns == os.lstat(keeper).st_mtime_ns
    assert scene.undo().restored == [str(victim)]


def test_a_reflink_is_announced_on_the_disk_before_it_is_made(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(place)
    keeper, victim = folded(scene)
    real = extents.share_extents

    def share(*args: object, **kwargs: object) -> None:
        assert scene.log().states == {1: "intent"}
        real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(extents, "share_extents", share)
    assert [outcome.error for outcome in scene.apply(scene.plan(keeper, victim))] == [""]
    assert scene.log().states == {1: "done"}


def test_a_keeper_that_cannot_be_read_shares_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(place)
    keeper, victim = folded(scene)
    what = scene.plan(keeper, victim)
    inode, real = os.stat(keeper).st_ino, os.preadv

    def read(fd: int, *args: object) -> int:
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", read)
    (outcome,) = scene.apply(what)
    assert "the drive reported an error" in outcome.error
    assert scene.log().states == {1: "dropped"} and physical(keeper) != physical(victim)


def test_every_keeper_of_a_batch_has_its_turn(place: Path) -> None:
    scene = Scene(place)
    pairs = []
    for name in "ab":
        content = os.urandom(MIB)
        keeper = scene.file(scene.cache, f"blobs/{name}", content)
        pairs.append(
            (write(keeper, content), write(scene.file(scene.root("models"), name, content), content))
        )
    plans = [scene.plan(*pair) for pair in pairs]
    outcomes = scene.apply(Plan(tuple(action for what in plans for action in what.actions)))
    assert [outcome.error for outcome in outcomes] == ["", ""]
    assert all(physical(keeper) == physical(victim) is not None for keeper, victim in pairs)
    assert scene.log().states == {1: "done", 2: "done"}


def test_a_reflink_that_fails_is_dropped_with_its_reason_and_the_next_goes_on(place: Path) -> None:
    scene = Scene(place)
    keeper, victim = folded(scene)
    other = scene.file(scene.root("models"), "other", keeper.read_bytes())
    plan = scene.plan(keeper, victim, other)
    with open(victim, "r+b") as file:
        file.write(b"edited")
    os.utime(victim, ns=(0, plan.actions[0].victim.signature.mtime_ns))
    outcomes = {outcome.action.path: outcome for outcome in scene.apply(plan)}
    assert outcomes[str(victim)].error == "it changed since it was scanned"
    assert outcomes[str(other)].error == ""
    tuned = bytearray(keeper.read_bytes())
    tuned[-1] ^= 1
    third = write(scene.root("models") / "third", bytes(tuned))
    (outcome,) = scene.apply(scene.plan(keeper, third))
    assert outcome.differs and "bytes differ" in outcome.error
    log = scene.log()
    assert log.states == {1: "dropped"} and "bytes differ" in log.reasons[1]


def test_a_stop_in_the_middle_of_a_reflink_leaves_nothing_open(place: Path) -> None:
    scene = Scene(place)
    keeper, victim = folded(scene)
    stop = Stop()

    class Asking(Silent):
        def advance(self, amount: int) -> None:
            stop.set()

    with Journal.create(scene.runs, "consolidate", "test") as log:
        executor = Executor(log, locks=lambda action: (), readers=2, progress=Asking(), stop=stop)
        with pytest.raises(Interrupted):
            executor.apply(scene.plan(keeper, victim, policy=Policy(link=LinkKind.REFLINK)))
    assert scene.log().states == {1: "dropped"} and executor.outcomes == []


# -- what a kernel may answer ------------------------------------------------------------------------------------------


Answer = Callable[[int, int, bytearray], object]


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr(fcntl, "ioctl", answer)


def test_a_kernel_that_shares_a_part_is_asked_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def answer(fd: int, request: int, buffer: bytearray) -> None:
        offset, length, count, *zeros, target, theirs, shared, status, last = struct.unpack(
            "=QQHHIqQQiI", buffer
        )
        assert request == 0xC0189436 and count == 1 and [*zeros, shared, status, last] == [0] * 5
        asked.append((fd, offset, length, target, theirs))
        struct.pack_into("=Qi", buffer, 40, min(length, 3 * MIB), 0)

    content = bytes(SIZE)
    pair = Pair(tmp_path, content, content)
    mine, theirs = pair.keeper.fd, pair.victim.fd
    answering(monkeypatch, answer)
    pair.share()
    steps = [(n * 3 * MIB, 16 * MIB - n * 3 * MIB) for n in range(6)] + [(16 * MIB, MIB + 5)]
    assert asked == [(mine, offset, length, theirs, offset) for offset, length in steps]


@pytest.mark.parametrize(
    ("done", "status", "code"),
    [
        (0, -errno.EPERM, errno.EPERM),
        (0, 0, errno.EIO),
        (0, -errno.EXDEV, errno.EXDEV),
        (5, -errno.EIO, errno.EIO),
    ],
)
def test_a_kernel_that_refuses_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int, status: int, code: int
) -> None:
    answering(monkeypatch, lambda fd, request, buffer: struct.pack_into("=Qi", buffer, 40, done, status))
    pair = Pair(tmp_path, b"123456", b"123456")
    with pytest.raises(OSError) as caught:
        pair.share()
    assert (caught.value.errno, caught.value.filename) == (code, str(tmp_path / "victim"))


def test_a_kernel_that_shares_more_than_asked_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole blocks at the end of a file."""
    answering(monkeypatch, lambda fd, request, buffer: struct.pack_into("=Qi", buffer, 40, 4096, 0))
    Pair(tmp_path, b"123456", b"123456").share()


def test_where_extents_cannot_be_told_nothing_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    write(tmp_path / "f", b"x" * MIB)
    answering(monkeypatch, refuse)
    assert physical(tmp_path / "f") is None and shared(tmp_path / "f") == 0


HEADER, EXTENT = struct.Struct("=QQIIII"), struct.Struct("=QQQQQIIII")


def told(*found: tuple[int, int, int, int], room: int = 128) -> Answer:
    """A kernel that knows these extents: (logical, physical, length, flags)."""

    def answer(fd: int, request: int, buffer: bytearray) -> None:
        start, length, *zeros, asked, last = HEADER.unpack_from(buffer)
        assert request == 0xC020660B and start + length == (1 << 64) - 1 and [*zeros, last] == [0] * 3
        assert len(buffer) == HEADER.size + asked * EXTENT.size
        now = [extent for extent in found if extent[0] + extent[2] > start][: min(asked, room)]
        HEADER.pack_into(buffer, 0, start, length, 0, len(now), asked, 0)
        for number, (logical, where, size, bits) in enumerate(now):
            EXTENT.pack_into(
                buffer, HEADER.size + number * EXTENT.size, logical, where, size, 0, 0, bits, 0, 0, 0
            )

    return answer


LAST, SHARED = 0x1, 0x2000


@pytest.mark.parametrize("room", [1, 2, 128])
def test_extents_are_asked_for_until_the_last(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Neighbours on the disk that are neighbours in the file are one."""
    parts = [
        (0, 100, 10, SHARED),
        (10, 110, 10, SHARED),
        (20, 500, 10, 0),
        (40, 510, 10, SHARED),
        (50, 520, 20, 0),
        (70, 540, 30, 0),
        (100, 110, 10, LAST),
    ]
    told_all, asked = told(*parts, room=room), []

    def answer(fd: int, request: int, buffer: bytearray) -> None:
        asked.append(HEADER.unpack_from(buffer)[0])
        told_all(fd, request, buffer)

    answering(monkeypatch, answer)
    assert extents.physical(0) == ((0, 100, 20), (20, 500, 10), (40, 510, 60), (100, 110, 10))
    assert len(asked) == -(-len(parts) // room), "nobody asks behind the last"
    assert sum(length for _, length in extents.shared(0)) == 30


def test_a_list_without_a_last_extent_ends_where_the_kernel_has_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, told((0, 100, 10, 0)))
    assert extents.physical(0) == ((0, 100, 10),)


@pytest.mark.parametrize("mark", [0x2, 0x4, 0x200])
def test_an_extent_without_an_address_makes_the_whole_unknown(
    monkeypatch: pytest.MonkeyPatch, mark: int
) -> None:
    answering(monkeypatch, told((0, 100, 10, 0), (10, 0, 10, mark | LAST)))
    assert extents.physical(0) is None


def test_another_platform_shares_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "lesser")
    with open(write(tmp_path / "f", b"x"), "rb") as file:
        with pytest.raises(OSError) as caught:
            extents.clone_extents(file.fileno(), file.fileno())
        assert caught.value.errno == errno.EOPNOTSUPP
        assert extents.physical(file.fileno()) is None and extents.shared(file.fileno()) == []


# -- asked by path -----------------------------------------------------------------------------------------------------


def pooled(pool: str) -> SimpleNamespace:
    """File systems that share extents, all of them, if `pool` says so."""
    return SimpleNamespace(of=lambda folder: SimpleNamespace(pool=pool))


def test_a_key_is_only_asked_for_where_extents_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    monkeypatch.setattr(extents, "physical", lambda fd: os.fstat(fd).st_size)
    assert extents.extents_of(str(path)) == 5
    assert extents.extents_key(str(path), pooled("pool")) == ("pool", 5)  # type: ignore[arg-type]
    assert extents.extents_key(str(path), pooled("")) is None  # type: ignore[arg-type]
    replica = SimpleNamespace(path=str(path))
    assert extents.shared_extents(replica, pooled("pool")) == ("pool", 5)  # type: ignore[arg-type]


def test_what_cannot_be_opened_has_no_key(tmp_path: Path) -> None:
    assert extents.extents_of(str(tmp_path / "gone")) is None
    assert extents.extents_key(str(tmp_path / "gone"), pooled("pool")) is None  # type: ignore[arg-type]


def test_a_file_that_is_written_in_place_is_told_by_its_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    assert not extents.written_in_place(str(path))
    assert not extents.written_in_place(str(tmp_path / "gone"))

    def flagged(fd: int, request: int, flags: bytearray) -> None:
        flags[:4] = (0x00800000).to_bytes(4, sys.byteorder)

    monkeypatch.setattr(fcntl, "ioctl", flagged)
    assert extents.written_in_place(str(path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not extents.written_in_place(str(path))
