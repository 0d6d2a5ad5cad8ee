"""Workers of a Dask cluster (extra ``dask``): found, or made; met one by one, and asked with nothing remembered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any

from distributed import Client, LocalCluster

from hubfold.errors import HubfoldError, UsageError
from hubfold.progress import Stop
from hubfold.workers.team import deaf_to_interrupts

#: Seconds that a scheduler may take to answer.
_CONNECT = 20.0
#: Seconds that its workers have to end what they are at.
_CLOSE = 2.0
#: Seconds that the first worker of a cluster may take to come; jobs wait in queues.
_LOCAL_WAIT = 60.0
_QUEUE_WAIT = 600.0
_TICK = 0.1
#: Seconds for which it is taken as known who works.
_KNOWN_FOR = 1.0


class DaskTeam:
    """See `team.Team`. `closing` end what was made for it."""

    def __init__(self, client: Client, name: str, closing: Sequence[Callable[[], object]] = ()) -> None:
        self.name = name
        self._client = client
        self._closing = closing
        self._left_out: set[str] = set()
        self._threads: Mapping[str, int] = {}
        self._asked = float("-inf")

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As `Executor.submit`; only by workers with whom nothing is wrong."""
        fit = sorted(self._now().keys() - self._left_out) if self._left_out else None
        return self._sent(fit, function, *arguments)

    def _sent(
        self, workers: Sequence[str] | None, function: Callable[..., Any], *arguments: Any
    ) -> Future[Any]:
        """Not by the client's own executor: that waits for ever for a result that was lost with its worker."""
        asked = self._client.submit(function, *arguments, pure=False, workers=workers)
        answer: Future[Any] = Future()
        loop = self._client.loop
        assert loop is not None

        async def settle() -> None:
            try:
                found = await self._client.gather(asked, asynchronous=True)
            except BaseException as error:  # noqa: BLE001 - also that it was cancelled: whoever waits is told
                outcome = partial(answer.set_exception, error)
            else:
                outcome = partial(answer.set_result, found)
            with suppress(InvalidStateError):
                outcome()

        def end(done: Future[Any]) -> None:
            if done.cancelled():
                loop.add_callback(self._client.cancel, [asked], asynchronous=True)

        loop.add_callback(settle)
        answer.add_done_callback(end)
        return answer

    def width(self) -> int:
        return sum(number for name, number in self._now().items() if name not in self._left_out)

    def each(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Future[Any]]]:
        for name in self._now():
            yield name, self._sent([name], function, *arguments)

    def leave_out(self, names: Sequence[str]) -> None:
        self._left_out = set(names)

    def members(self) -> frozenset[str]:
        return frozenset(self._now())

    def mend(self) -> bool:
        """Dask mends itself: whether its scheduler is there."""
        return bool(self._client.status == "running")

    def close(self) -> None:
        for close in self._closing:
            # An end that fails is an end, too: the scheduler may be gone already.
            with suppress(Exception):
                close()

    def _now(self) -> Mapping[str, int]:
        """Threads of each worker, by its address. Those that were there last, where the scheduler does not answer."""
        if time.monotonic() > self._asked + _KNOWN_FOR:
            with suppress(Exception):
                self._threads = dict(self._client.nthreads())
            self._asked = time.monotonic()
        return self._threads


def connect(name: str, address: str, stop: Stop) -> DaskTeam:
    """The cluster of the scheduler at `address`. Raises `HubfoldError`, `Interrupted`."""
    _quiet()
    try:
        client = Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise HubfoldError(
            f"no Dask scheduler answers at {address}: {error}", "is it running, and the port open?"
        ) from None
    return _with_workers(DaskTeam(client, name, [client.close]), stop, _LOCAL_WAIT)


def local(name: str, number: int, stop: Stop) -> DaskTeam:
    """A cluster of `number` processes on this machine."""
    _quiet()
    return _of_cluster(
        name,
        lambda: LocalCluster(
            n_workers=number, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        ),
        stop,
    )


def slurm(name: str, settings: Mapping[str, str | int], stop: Stop) -> DaskTeam:
    """A cluster of ``jobs`` jobs; the first has ``wait`` seconds to begin. Raises `UsageError`, `HubfoldError`."""
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise UsageError(f"dask-jobqueue is not installed ({error})", "pip install 'hubfold[dask]'") from None
    _quiet()
    given: dict[str, Any] = {"scheduler_options": {"dashboard_address": None}, **settings}
    jobs, wait = given.pop("jobs", 1), given.pop("wait", _QUEUE_WAIT)
    if not isinstance(jobs, int) or not jobs or not isinstance(wait, int | float):
        raise UsageError(f"{name!r}: jobs and wait are numbers", "write jobs=4&wait=600")

    def made() -> Any:
        cluster = SLURMCluster(**given)
        cluster.scale(jobs=jobs)
        return cluster

    return _of_cluster(name, made, stop, wait)


def _of_cluster(name: str, make: Callable[[], Any], stop: Stop, wait: float = _LOCAL_WAIT) -> DaskTeam:
    try:
        with deaf_to_interrupts():
            cluster = make()
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise UsageError(f"{name!r}: Dask makes no cluster of it: {error}", "see what it says") from None
    client = Client(cluster, timeout=_CONNECT, set_as_default=False)
    return _with_workers(
        DaskTeam(client, name, [client.close, partial(cluster.close, timeout=_CLOSE)]), stop, wait
    )


def _with_workers(team: DaskTeam, stop: Stop, wait: float) -> DaskTeam:
    """The team once it has a worker. Raises `HubfoldError` where none comes, `Interrupted`."""
    ends = time.monotonic() + wait
    try:
        while not team.width():
            stop.check()
            if time.monotonic() > ends:
                raise HubfoldError(
                    f"{team.name}: no worker came within {wait:.0f} seconds", "are any started, or queued?"
                )
            time.sleep(_TICK)
    except BaseException:
        team.close()
        raise
    return team


def _quiet() -> None:
    """What Dask logs of workers that come and go is told by us, as far as it matters."""
    # Its configuration gives some of its loggers a level of their own.
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
