"""Who works: an executor of the caller's, processes of ours, a cluster; all asked in one way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Protocol

#: Workers of a plain executor that are greeted: nobody can be chosen there, so each is asked twice to meet them all.
_MOST_GREETED = 256
#: Seconds that a worker of a plain executor stays at a greeting, so that the next one is met by another.
STAY = 0.02


class Team(Protocol):
    """Workers."""

    #: What the user called it.
    name: str

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As `concurrent.futures.Executor.submit`. Raises anything where the executor is broken."""
        ...

    def width(self) -> int:
        """How many tasks are worked on at a time."""
        ...

    def each(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Future[Any]]]:
        """The answer of every worker, by its name, "" where the executor has none for it."""
        ...

    def leave_out(self, names: Sequence[str]) -> None:
        """Give these workers, named as in `each`, nothing to do; as far as the executor can."""
        ...

    def members(self) -> frozenset[str]:
        """Changes where a worker came or went, as far as that can be told."""
        ...

    def mend(self) -> bool:
        """After a failure of the executor itself: whether it takes tasks again."""
        ...

    def close(self) -> None:
        """End what is ours, without waiting for what is under way."""
        ...


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes, and threads, that are begun meanwhile never hear Ctrl-C: that is for who began them, and waits."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It lets interrupts through again where it is begun.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class HandedIn:
    """An executor that somebody else made, and ends."""

    def __init__(self, executor: Executor, name: str = "") -> None:
        self.name = name or f"the {type(executor).__name__}"
        self._executor = executor

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._executor.submit(function, *arguments)

    def width(self) -> int:
        # `_max_workers` of the standard library, `num_workers` of mpi4py.
        for name in ("num_workers", "_max_workers"):
            found = getattr(self._executor, name, None)
            if isinstance(found, int) and found > 0:
                return found
        return os.cpu_count() or 1

    def each(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Future[Any]]]:
        for _ in range(min(2 * self.width(), _MOST_GREETED)):
            yield "", self.submit(function, *arguments)

    def leave_out(self, names: Sequence[str]) -> None:
        """There is no such choice: what they answer counts for nothing."""

    def members(self) -> frozenset[str]:
        return frozenset()

    def mend(self) -> bool:
        return False

    def close(self) -> None:
        """It is not ours."""


class Processes(HandedIn):
    """Processes on this machine. One that dies takes the others with it, and all are begun anew."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._context = _Noting()
        super().__init__(self._made(), f"processes:{number}")

    def _made(self) -> Executor:
        return ProcessPoolExecutor(
            self._number, mp_context=self._context, initializer=_settle_in, initargs=(os.getpid(),)
        )

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with deaf_to_interrupts():
            return super().submit(function, *arguments)

    @property
    def started(self) -> list[int]:
        """The processes, by their ids."""
        return [process.pid for process in self._context.started if process.pid is not None]

    def mend(self) -> bool:
        self.close()
        self._executor = self._made()
        return True

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        # One that hangs would keep this process from ending.
        for process in self._context.started:
            with suppress(ValueError, OSError):
                process.kill()
        for process in self._context.started:
            process.join(1.0)
        self._context.started.clear()


class _Noting(SpawnContext):
    """Processes that are begun afresh, so that no lock of ours is theirs too; it is noted which there are."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        process = SpawnProcess(*args, **kwargs)
        self.started.append(process)
        return process


def _settle_in(parent: int) -> None:
    """A process of ours does not outlive who began it."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
