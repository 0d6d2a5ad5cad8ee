"""Executors whose workers die, hang, lie or see something else: all in this process, so that they are quick."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from hubfold.workers import tasks
from hubfold.workers.spread import Spread
from hubfold.workers.tasks import Answer, FileTask
from hubfold.workers.team import HandedIn

#: What a worker does to what it is asked to read: nonce and tasks, to an answer.
Does = Callable[[str, "list[FileTask]"], Any]


class Died(Exception):
    """A worker is gone."""


class Faulty(Executor):
    """Greets as it should. Of the reads the first `number` are done by `does`, None for all of them."""

    def __init__(self, does: Does, number: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._left = itertools.repeat(True) if number is None else iter([True] * number)
        self._does = does
        self._max_workers = 2
        #: The nonces of the reads, in their order.
        self.nonces: list[str] = []

    def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
        if function is tasks.read_files:
            self.nonces.append(arguments[0])
            if next(self._left, False):
                function = self._does
        return self._pool.submit(function, *arguments, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Hanging(Faulty):
    """The reads of this one never end."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__(tasks.read_files, number)

    def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
        if function is tasks.read_files and next(self._left, False):
            return Future()
        return self._pool.submit(function, *arguments, **kwargs)


def dies(nonce: str, asked: list[FileTask]) -> Answer:
    raise Died


def changed(change: Callable[[Answer], Any]) -> Does:
    """Reads as it should, and answers something else."""
    return lambda nonce, asked: change(tasks.read_files(nonce, asked))


def of_files(**values: Any) -> Does:
    """Answers other things of each file."""
    return changed(
        lambda answer: answer._replace(files=tuple(one._replace(**values) for one in answer.files))
    )


def lies(nonce: str, asked: list[FileTask]) -> Answer:
    """Answers as it should, but for the digests: their form is right."""
    answer = tasks.read_files(nonce, asked)
    files = [
        one._replace(digests={name: "0" * len(value) for name, value in one.digests.items()})
        for one in answer.files
    ]
    return answer._replace(files=tuple(files))


def spread(executor: Executor, patience: float = 30.0) -> Spread:
    return Spread(lambda: HandedIn(executor), threads=2, patience=patience)
