"""Processes of ours: they read, they may be killed, and they do not outlive who made them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hubfold.progress import Silent, Stop
from hubfold.reading import digests
from hubfold.workers import spread
from hubfold.workers.spread import Spread
from hubfold.workers.team import Processes
from tests.building.reading import job, noise
from tests.building.waiting import PATIENCE


def gone(process: int) -> bool:
    """Whether it has ended (or is another's by now)."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_processes_that_are_killed_lose_nothing_and_get_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "TASK_JOBS", 4)
    for number in range(400):
        (tmp_path / str(number)).write_bytes(noise(50_000, b"%d" % number))
    jobs = [job(tmp_path / str(number), "sha256") for number in range(400)]
    right = {one: digests.read(one).digests for one in jobs}
    team = Processes(2)
    ended, killed = threading.Event(), []

    def kill() -> None:
        while not ended.wait(random.random()):
            for process in team.started[:1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                killed.append(process)

    killer = threading.Thread(target=kill)
    killer.start()
    workers = Spread(lambda: team, 2)
    try:
        while len(killed) < 3:
            found = {one.job: one.digests for one in workers.read(jobs, Silent(), Stop())}
            assert found == right
    finally:
        ended.set()
        killer.join()
        workers.close()


@pytest.mark.slow
def test_one_that_is_stopped_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    team = Processes(1)
    workers = Spread(lambda: team, 1, patience=3.0)
    asked = [job(tmp_path / "a", "sha256")]
    assert [one.digests for one in workers.read(asked, Silent(), Stop())] == [digests.read(asked[0]).digests]
    (process,) = team.started
    os.kill(process, signal.SIGSTOP)
    assert [one.digests for one in workers.read(asked, Silent(), Stop())] == [digests.read(asked[0]).digests]
    begun = time.monotonic()
    workers.close()
    assert time.monotonic() - begun < 20
    assert gone(process)


@pytest.mark.slow
def test_processes_never_hear_an_interrupt() -> None:
    team = Processes(1)
    assert signal.SIGINT in team.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    team.close()


@pytest.mark.slow
def test_processes_do_not_outlive_who_began_them() -> None:
    script = (
        "import os, time; from hubfold.workers.team import Processes;"
        "team = Processes(1); print(team.submit(os.getpid).result(), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as began:
        assert began.stdout is not None
        worker = int(began.stdout.readline())
        began.kill()
    ends = time.monotonic() + PATIENCE
    while not gone(worker):
        assert time.monotonic() < ends
        time.sleep(0.1)
