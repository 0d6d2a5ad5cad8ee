"""Many files read by an executor: a bounded number at a time, in the order that suits the device."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import cache
from typing import TYPE_CHECKING

from hubfold import hashing
from hubfold.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor, Future

    from hubfold.hashing import Job, Reading
    from hubfold.progress import Progress, Stop

#: Jobs handed to the executor and not finished yet: enough to keep it busy, few enough to stop soon.
IN_FLIGHT = 16


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """By device, then by inode number, which on most file systems is close to the order on the device."""
    return sorted(jobs, key=lambda job: (job.signature.device, job.signature.inode))


def read_all(jobs: Iterable[Job], executor: Executor, progress: Progress, stop: Stop) -> Iterator[Reading]:
    """Read every job's file; results come as they are ready.

    A rotating disk has one reader at a time. Raises `Interrupted` where `stop` is set, after the reads that are
    under way have ended.
    """
    # Progress and stop live in this process: an executor of other processes is told of neither.
    shared = isinstance(executor, ThreadPoolExecutor)
    waiting: dict[int, deque[Job]] = {}
    for job in jobs:
        waiting.setdefault(job.signature.device, deque()).append(job)
    running: dict[Future[Reading], int] = {}
    try:
        while waiting or running:
            if stop:
                # What is nearly read is still taken; the files under way end by themselves.
                waiting.clear()
            for device in list(waiting):
                limit = 1 if rotates(device) else IN_FLIGHT
                while waiting[device] and list(running.values()).count(device) < limit:
                    job = waiting[device].popleft()
                    future = (
                        executor.submit(hashing.read, job, progress.advance, stop)
                        if shared
                        else executor.submit(hashing.read, job)
                    )
                    running[future] = device
                if not waiting[device]:
                    del waiting[device]
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                try:
                    reading = future.result()
                except Interrupted:
                    continue
                if not shared:
                    progress.advance(reading.bytes_read)
                yield reading
        stop.check()
    finally:
        for future in running:
            future.cancel()
        wait(running)


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
