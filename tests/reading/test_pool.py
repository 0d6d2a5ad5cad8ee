"""Many files read by an executor: all of them, a bounded number at a time, and no longer than until a stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubfold.content import Signature
from hubfold.errors import Interrupted
from hubfold.progress import Silent, Stop
from hubfold.reading import pool
from hubfold.reading.digests import Job
from tests.building.reading import job, noise


class Counting(Silent):
    def __init__(self) -> None:
        self.bytes = 0

    def advance(self, amount: int) -> None:
        self.bytes += amount


class Taken(Future[Any]):
    """A task that has nothing to read: it counts while it is under way."""

    def __init__(self, at: Instant) -> None:
        super().__init__()
        self._at = at
        self.set_result([])

    def result(self, timeout: float | None = None) -> Any:
        self._at.under_way -= 1
        return super().result(timeout)


class Instant:
    """An executor that reads nothing and notes what it is given."""

    def __init__(self) -> None:
        self.sizes: list[list[int]] = []
        self.under_way = self.most = 0

    def submit(self, function: object, task: list[Job], *_: object) -> Future[Any]:
        self.sizes.append([one.signature.size for one in task])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return Taken(self)


def given(asked: list[Job]) -> Instant:
    executor = Instant()
    assert list(pool.Readers(executor, Silent(), Stop()).read(asked)) == []  # type: ignore[arg-type]
    return executor


def files(folder: Path, count: int, size: int = 1000) -> list[Job]:
    made = []
    for number in range(count):
        (folder / str(number)).write_bytes(noise(size, b"%d" % number))
        made.append(job(folder / str(number), "xxh3_128"))
    return made


def jobs(*sizes: int, device: int = 7) -> list[Job]:
    return [Job(f"/{n}", Signature(device, n, size, 0, 0), ("xxh3_128",)) for n, size in enumerate(sizes)]


@pytest.fixture(params=["ours", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Any]:
    kinds = {"ours": pool.Threads, "threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}
    with kinds[request.param](2) as made:
        yield made


def test_every_file_is_read_and_told_whoever_reads(tmp_path: Path, executor: Any) -> None:
    progress = Counting()
    asked = files(tmp_path, 300)
    found = list(pool.Readers(executor, progress, Stop()).read(asked))
    assert {one.job.path for one in found} == {one.path for one in asked}
    assert all(one.digests.keys() == {"xxh3_128"} for one in found)
    assert progress.bytes == 300 * 1000


def test_files_are_read_in_the_order_of_the_device(tmp_path: Path) -> None:
    asked = [Job("", Signature(device, inode, 0, 0, 0), ()) for device, inode in [(2, 1), (1, 9), (1, 3)]]
    assert [one.signature[:2] for one in pool.in_order(asked)] == [(1, 3), (1, 9), (2, 1)]


@pytest.mark.parametrize(("turning", "at_once"), [(True, 1), (False, pool.IN_FLIGHT)])
def test_a_rotating_disk_has_one_reader_at_a_time(
    monkeypatch: pytest.MonkeyPatch, turning: bool, at_once: int
) -> None:
    monkeypatch.setattr(pool, "rotates", lambda device: turning)
    executor = given(jobs(*[pool.TASK_BYTES] * 50))
    assert (len(executor.sizes), executor.most) == (50, at_once)


def test_each_device_has_readers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "rotates", lambda device: True)
    big = [pool.TASK_BYTES] * 5
    assert given([*jobs(*big, device=1), *jobs(*big, device=2)]).most == 2


def test_small_files_are_handed_over_together_up_to_a_size_and_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "TASK_JOBS", 3)
    monkeypatch.setattr(pool, "TASK_BYTES", 100)
    together = [[40, 40], [40, 1, 1], [1, 1], [500], [5]]
    assert given(jobs(*(size for task in together for size in task))).sizes == together


def test_a_stop_hands_over_nothing_more_and_takes_what_is_nearly_read(tmp_path: Path) -> None:
    stop = Stop()
    asked = files(tmp_path, 40)
    found = []

    class Stopping(Silent):
        def advance(self, amount: int) -> None:
            stop.set()

    with ThreadPoolExecutor(1) as executor, pytest.raises(Interrupted):
        for reading in pool.Readers(executor, Stopping(), stop).read(asked):
            found.append(reading)
    assert len(found) < 40


def test_whoever_stops_listening_leaves_no_task_behind(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        readings = pool.Readers(executor, Silent(), Stop()).read(files(tmp_path, 500))
        next(readings)
        readings.close()  # type: ignore[attr-defined]
        assert executor.submit(int).result(60) == 0


def test_threads_are_made_for_the_first_task() -> None:
    with pool.Threads(1) as threads:
        before = threading.active_count()
        assert threads.submit(threading.current_thread).result().name.startswith("hubfold-read")
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [("queue", "1\n", True), ("queue", "0\n", False), ("../queue", "1\n", True), (None, "", False)],
)
def test_a_disk_says_whether_it_rotates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None, text: str, expected: bool
) -> None:
    device = tmp_path / "disk/part"
    device.mkdir(parents=True)
    if place is not None:
        (device / place).mkdir()
        (device / place / "rotational").write_text(text)
    really = open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, *rest: really(str(path).replace("/sys/dev/block/8:1", str(device)), *rest),
    )
    pool.rotates.cache_clear()
    try:
        assert pool.rotates(8 << 8 | 1) is expected
    finally:
        pool.rotates.cache_clear()
