"""A real Dask cluster on loopback: a scheduler and workers, each a process of its own that can be killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from tests.building.waiting import PATIENCE


class Cluster:
    """A context manager. `workers` are the processes that work."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self._scheduler = _started("dask_scheduler", "--host", "127.0.0.1", "--port", port)
        self.workers: list[subprocess.Popen[bytes]] = []

    def work(self, *before: str) -> None:
        """One more worker; `before` is a command that runs it."""
        one = _started("dask_worker", self.address, "--nthreads", "1", "--no-nanny", before=before)
        self.workers.append(one)

    def wait(self, number: int) -> None:
        """Until there are so many workers."""
        from distributed import Client

        ends = time.monotonic() + PATIENCE
        with Client(self.address, timeout=PATIENCE, set_as_default=False) as client:
            while len(found := client.nthreads()) < number:
                assert time.monotonic() < ends, f"{len(found)} of {number} workers came"
                time.sleep(0.1)

    def devices(self, path: str) -> set[int]:
        """The device numbers that `path` has for the workers."""
        from distributed import Client

        with Client(self.address, timeout=PATIENCE, set_as_default=False) as client:
            return {st.st_dev for st in client.run(os.stat, path).values()}

    def close(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _started(name: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    command = [*before, sys.executable, "-m", f"distributed.cli.{name}", *arguments, "--no-dashboard"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
