"""Many files read by an executor: a bounded number at a time, in the order that suits the device."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from hubfold.progress import Progress, Silent, Stop
from hubfold.reading import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future, ThreadPoolExecutor

    from hubfold.reading.digests import Job, Reading

#: Tasks handed to the executor and not finished yet: enough to keep it busy, few enough to stop soon.
IN_FLIGHT = 16
#: Small files are handed over together: a task costs as much as reading some of them.
TASK_JOBS = 128
TASK_BYTES = 2 << 20


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """By device, then by inode number, which on most file systems is close to the order on the device."""
    return sorted(jobs, key=lambda job: (job.signature.device, job.signature.inode))


class Threads:
    """Threads that are made for the first task, with the modules they take: most scans have nothing to read."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As `concurrent.futures.Executor.submit`."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._number, "hubfold-read")
        return self._pool.submit(function, *arguments)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


class Elsewhere(ABC):
    """Workers who are asked in a way of their own (`workers/spread`)."""

    @abstractmethod
    def read(self, jobs: Iterable[Job], progress: Progress, stop: Stop) -> Iterator[Reading]:
        """See `Readers.read`."""


#: What reads: threads of ours, any executor of this machine, or workers elsewhere.
Workers: TypeAlias = "Threads | Executor | Elsewhere"


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads files, who is told how far that is, and who may stop it."""

    workers: Workers
    progress: Progress = field(default_factory=Silent)
    stop: Stop = field(default_factory=Stop)

    def confirmed(self, reading: Reading) -> Reading:
        """What was read of a file, by this machine: nothing is held against a file because another one says so."""
        return digests.read(reading.job, stop=self.stop) if isinstance(self.workers, Elsewhere) else reading

    def read(self, jobs: Iterable[Job]) -> Iterator[Reading]:
        """Read every job's file; results come as they are ready.

        A rotating disk has one reader at a time. Raises `Interrupted` where a stop is asked for, after the reads that
        are under way have ended.
        """
        if isinstance(self.workers, Elsewhere):
            yield from self.workers.read(jobs, self.progress, self.stop)
            return
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

        # Progress and stop live in this process: an executor of other processes is told of neither.
        shared = isinstance(self.workers, Threads | ThreadPoolExecutor)
        told = (self.progress.advance, self.stop) if shared else ()
        waiting: dict[int, deque[Job]] = {}
        for job in jobs:
            waiting.setdefault(job.signature.device, deque()).append(job)
        running: dict[Future[list[Reading]], int] = {}
        try:
            while waiting or running:
                if self.stop:
                    # What is nearly read is still taken; the files under way end by themselves.
                    waiting.clear()
                for device in list(waiting):
                    limit = 1 if rotates(device) else IN_FLIGHT
                    while waiting[device] and list(running.values()).count(device) < limit:
                        task = next_task(waiting[device], TASK_JOBS, TASK_BYTES)
                        running[self.workers.submit(digests.read_many, task, *told)] = device
                    if not waiting[device]:
                        del waiting[device]
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    del running[future]
                    for reading in future.result():
                        if not shared:
                            self.progress.advance(reading.bytes_read)
                        yield reading
            self.stop.check()
        finally:
            for future in running:
                future.cancel()
            wait(running)


def next_task(waiting: deque[Job], most: int, most_bytes: int) -> list[Job]:
    """The next job, or as many small ones as are worth the way to who reads them."""
    task = [waiting.popleft()]
    size = task[0].signature.size
    while waiting and len(task) < most and size + waiting[0].signature.size <= most_bytes:
        size += waiting[0].signature.size
        task.append(waiting.popleft())
    return task


@cache
def rotates(device: int) -> bool:
    """Whether the device is known to be a rotating disk (Linux: sysfs of the device or of the disk it is part of).

    Disks of virtual machines call themselves rotating whatever they are, so they are not believed.
    """
    base = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    if "/virtio" in os.path.realpath(base):
        return False
    for place in ("queue/rotational", "../queue/rotational"):
        try:
            with open(f"{base}/{place}") as file:
                return file.read().strip() == "1"
        except OSError:
            continue
    return False
