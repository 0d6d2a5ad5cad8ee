"""How reading scales with workers: real processes as far as there are cores, and a model of a cluster beyond them.

``python -m benchmarks.workers [--place DIR]``. The real part reads files of which nothing is claimed, warm, by
sha256, with 1, 2, … processes, paired. In the model a worker is a thread that waits as long as its storage would take
(`RATE`) and answers in the form of a real one: what is measured is whether one hubfold keeps so many busy, nothing of
a storage, a network or an engine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.trees import MIB, write
from hubfold.content import Signature
from hubfold.progress import Silent, Stop
from hubfold.reading.digests import Job
from hubfold.workers import tasks
from hubfold.workers.spread import Spread
from hubfold.workers.tasks import Answer, FileAnswer, FileTask
from hubfold.workers.team import HandedIn, Processes

#: Of the model: bytes a second for each worker, whoever else reads.
RATE = 500e6
MODELLED = (1, 4, 16, 64)
ROUNDS = 3


class Modelled(ThreadPoolExecutor):
    """Workers that wait instead of reading."""

    def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Any:
        return super().submit(modelled if function is tasks.read_files else function, *arguments, **kwargs)


def modelled(nonce: str, asked: list[FileTask]) -> Answer:
    time.sleep(sum(task.seen[1] for task in asked) / RATE)
    files = tuple(
        FileAnswer(task.filesystem, task.seen, {"sha256": "0" * 64}, task.seen[1], "") for task in asked
    )
    return Answer(nonce, "modelled", files)


def seconds(spread: Spread, jobs: list[Job]) -> float:
    begun = time.monotonic()
    read = sum(1 for one in spread.read(jobs, Silent(), Stop()) if one.digests)
    assert read == len(jobs) and not spread.here, spread.told()
    return time.monotonic() - begun


def of_processes(folder: str, files: int, size: int) -> None:
    paths = [os.path.join(folder, f"{number}.bin") for number in range(files)]
    for path in paths:
        write(path, path, size)
    jobs = [Job(path, Signature.of(os.lstat(path)), ("sha256",)) for path in paths]
    spreads = {}
    for number in range(1, (os.cpu_count() or 1) + 1):
        team = Processes(number)
        spreads[number] = Spread(lambda team=team: team, 1)  # type: ignore[misc]
        seconds(spreads[number], jobs)
    taken: dict[int, list[float]] = {number: [] for number in spreads}
    for _ in range(ROUNDS):
        for number, spread in spreads.items():
            taken[number].append(seconds(spread, jobs))
    for number, spread in spreads.items():
        spread.close()
        median = statistics.median(taken[number])
        ratio = statistics.median(taken[1]) / median
        print(f"| processes:{number} | {files * size / median / 1e6:.0f} MB/s | {ratio:.2f} × |")


def of_the_model(folder: str) -> None:
    """Large files as jobs that nobody opens, and small ones in tasks of 256."""
    device = os.stat(folder).st_dev
    for size, each in ((64 * MIB, 40), (20_000, 20_000)):
        for number in MODELLED:
            jobs = [
                Job(os.path.join(folder, str(one)), Signature(device, one, size, 0, 0), ("sha256",))
                for one in range(number * each)
            ]
            with Modelled(number) as executor:
                team = HandedIn(executor)
                taken = seconds(Spread(lambda team=team: team, 1), jobs)  # type: ignore[misc]
            ideal = each * size / RATE
            print(
                f"| {number} modelled, files of {size:,} bytes | {ideal / taken:.0%} of what they could do |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--place", default=None, help="where files are made (default: the temporary folder)")
    place = tempfile.mkdtemp(prefix="hubfold-workers-", dir=parser.parse_args().place)
    try:
        of_processes(place, 32, 32 * MIB)
        of_the_model(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
