"""Files read by workers: what they do is what we would have done, and what they fail to do is done here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from hubfold.engine.engine import Engine
from hubfold.errors import Interrupted
from hubfold.progress import Silent, Stop
from hubfold.reading import digests
from hubfold.reading.digests import Job, Reading
from hubfold.workers import answers, spread, tasks
from tests.building import teams
from tests.building.reading import job, noise


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    for number in range(6):
        (tmp_path / str(number)).write_bytes(noise(1000 + number))
    return [job(tmp_path / str(number), "sha256", "xxh3_128") for number in range(6)]


@pytest.fixture(autouse=True)
def one_file_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "TASK_JOBS", 1)


def read(executor: Executor, jobs: list[Job], patience: float = 30.0) -> tuple[set[Reading], dict[str, int]]:
    """What came of it, and how many files were read here, by why."""
    team = teams.spread(executor, patience)
    with executor:
        found = list(team.read(jobs, Silent(), Stop()))
    assert len(found) == len(jobs)
    return {hashable(one) for one in found}, dict(team.here)


def hashable(reading: Reading) -> Reading:
    return reading._replace(digests=tuple(sorted(reading.digests.items())))  # type: ignore[arg-type]


def right(jobs: list[Job]) -> set[Reading]:
    return {hashable(digests.read(one)) for one in jobs}


def test_workers_read_what_we_would(jobs: list[Job]) -> None:
    assert read(ThreadPoolExecutor(2), jobs) == (right(jobs), {})


NONSENSE = {
    "nothing": lambda nonce, asked: None,
    "an error": lambda nonce, asked: ValueError("no"),
    "another nonce": teams.changed(lambda answer: answer._replace(nonce="0" * 32)),
    "too few files": teams.changed(lambda answer: answer._replace(files=())),
    "no digests": teams.of_files(digests={}),
    "a digest more": teams.of_files(digests={"sha256": "0" * 64, "xxh3_128": "0" * 32, "md5": "0" * 32}),
    "a digest that is too short": teams.of_files(digests={"sha256": "0" * 63, "xxh3_128": "0" * 32}),
    "bytes for digests": teams.of_files(digests={"sha256": b"0" * 64, "xxh3_128": "0" * 32}),
    "more bytes than there are": teams.of_files(bytes_read=10**30),
    "less than nothing": teams.of_files(bytes_read=-1),
    "a problem that is no text": teams.of_files(problem=3),
}


@pytest.mark.parametrize("does", NONSENSE.values(), ids=NONSENSE)
def test_what_makes_no_sense_counts_for_nothing(jobs: list[Job], does: teams.Does) -> None:
    assert read(teams.Faulty(does, 2), jobs) == (right(jobs), {answers.NONSENSE: 2})


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (teams.of_files(filesystem="ext4:0"), answers.OTHER_FILE_SYSTEM),
        (teams.of_files(seen=(1, 2, 3, 4)), answers.OTHER_FILE),
        (teams.of_files(problem="Permission denied"), "Permission denied"),
    ],
)
def test_what_a_worker_sees_otherwise_is_read_here(jobs: list[Job], does: teams.Does, why: str) -> None:
    assert read(teams.Faulty(does), jobs) == (right(jobs), {why: len(jobs)})


def test_what_a_worker_dies_of_another_one_reads(jobs: list[Job]) -> None:
    assert read(teams.Faulty(teams.dies, 3), jobs) == (right(jobs), {})


def test_where_every_worker_dies_all_is_read_here(jobs: list[Job]) -> None:
    found, why = read(teams.Faulty(teams.dies), jobs)
    assert found == right(jobs)
    assert sum(why.values()) == len(jobs)
    assert why.keys() <= {spread.DIED, spread.BROKEN}


def test_what_hangs_is_read_here_after_a_while(jobs: list[Job]) -> None:
    found, why = read(teams.Hanging(2), jobs, patience=0.2)
    assert found == right(jobs)
    assert why.keys() == {spread.LATE}


def test_workers_that_all_hang_are_not_asked_for_ever(jobs: list[Job], tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"more-{number}").write_bytes(noise(2000 + number))
    more = [*jobs, *(job(tmp_path / f"more-{number}", "sha256") for number in range(40))]
    begun = time.monotonic()
    found, why = read(teams.Hanging(), more, patience=0.1)
    assert found == right(more)
    assert why[spread.LATE] + why[spread.BROKEN] == len(more)
    assert time.monotonic() - begun < 30


def test_an_executor_that_takes_nothing_costs_nothing(jobs: list[Job]) -> None:
    executor = ThreadPoolExecutor(2)
    team = teams.spread(executor)
    team.sees([os.path.dirname(jobs[0].path)], tasks.FileSystemNames.now(), Stop())
    executor.shutdown()
    found = {hashable(one) for one in team.read(jobs, Silent(), Stop())}
    assert (found, dict(team.here)) == (right(jobs), {spread.BROKEN: len(jobs)})


def test_what_is_gone_or_changed_is_told_as_it_is_here(jobs: list[Job]) -> None:
    os.unlink(jobs[0].path)
    with open(jobs[1].path, "ab") as file:
        file.write(b"more")
    found = {one.job: one for one in teams.spread(ThreadPoolExecutor(2)).read(jobs, Silent(), Stop())}
    assert found[jobs[0]].missing
    assert found[jobs[1]].changed
    assert all(found[one].digests for one in jobs[2:])


def test_each_task_has_a_nonce_of_its_own(jobs: list[Job]) -> None:
    executor = teams.Faulty(tasks.read_files, 0)
    team = teams.spread(executor)
    with executor:
        for _ in range(2):
            assert len(list(team.read(jobs, Silent(), Stop()))) == len(jobs)
    assert len(executor.nonces) == len(set(executor.nonces)) == 2 * len(jobs)


def test_a_stop_does_not_wait_for_workers(jobs: list[Job]) -> None:
    stop = Stop()
    executor = teams.Hanging()
    with executor:
        reading: Iterator[Reading] = teams.spread(executor).read(jobs, Silent(), stop)
        stop.set()
        with pytest.raises(Interrupted):
            list(reading)


def test_progress_counts_every_byte_once(jobs: list[Job]) -> None:
    class Counting(Silent):
        bytes = 0

        def advance(self, amount: int) -> None:
            self.bytes += amount

    counting = Counting()
    executor = teams.Faulty(teams.dies, 3)
    with executor:
        list(teams.spread(executor).read(jobs, counting, Stop()))
    assert counting.bytes == sum(one.signature.size for one in jobs)


def test_nothing_is_held_against_a_file_because_a_worker_says_so(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.gguf").write_bytes(noise(5000))
    with Engine(tmp_path / "home") as engine:
        assert engine.verify([tmp_path / "models"]).problems == ()
    with teams.Faulty(teams.lies) as liar, Engine(tmp_path / "home", executor=liar) as engine:
        assert engine.verify([tmp_path / "models"]).problems == ()
        assert liar.nonces
        (tmp_path / "models" / "a.gguf").write_bytes(noise(5000, b"other"))
        assert [one.kind for one in engine.verify([tmp_path / "models"]).problems] == ["edited"]


def test_it_is_told_once_what_was_done_here(jobs: list[Job]) -> None:
    team = teams.spread(teams.Faulty(teams.of_files(problem="it is asleep"), 2))
    list(team.read(jobs, Silent(), Stop()))
    assert team.told() == ["the Faulty: 2 files read here instead: it is asleep"]
    assert team.told() == []
