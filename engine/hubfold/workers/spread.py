"""Files read by a team: what is asked of it at a time, how long it may take, and what becomes of what it does not do.

Digests count only as `answers` has it. A task whose worker died is given to another one once; what that does not do
either, what takes too long and what was answered with anything but the digests of the very file is read here. So the
worst that workers do is nothing.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any

from hubfold.disk.identity import FileSystemNames
from hubfold.display import count
from hubfold.progress import Progress, Stop
from hubfold.reading import digests
from hubfold.reading.digests import Job, Reading
from hubfold.reading.pool import IN_FLIGHT, Elsewhere, Threads, next_task, rotates
from hubfold.workers import meeting, tasks
from hubfold.workers.answers import judge
from hubfold.workers.tasks import FileTask
from hubfold.workers.team import Team

#: Seconds that a task may take, beside what its bytes take at `SLOWEST` bytes a second.
PATIENCE = 60.0
SLOWEST = 4 << 20
#: Tasks given out for each that is worked on at a time: the next one is there when one is done.
AHEAD = 2
#: Small files are given out together: a task takes a way through a network.
TASK_JOBS = 256
TASK_BYTES = 32 << 20
#: Seconds between two looks whether a stop was asked for, a task is overdue, a worker came or went.
_TICK = 0.1
_CENSUS = 5.0
#: Meetings without anybody who is fit, after which that is believed.
_MEETINGS = 3
#: After so many failures without an answer in between nothing more is asked of it.
_HOPELESS = 8

DIED = "a worker died"
LATE = "no worker answered in time"
NOBODY = "no worker sees them as they are here"
BROKEN = "the executor takes no more work"


@dataclass(slots=True)
class _Sent:
    jobs: list[Job]
    asked: list[FileTask]
    nonce: str
    device: int
    size: int
    #: When it has taken too long.
    overdue: float
    again: bool


@dataclass
class Spread(Elsewhere):
    """Reads files by a team, and here what the team does not. `folder` is as in `meeting.meet`.

    `open_team` is called when there is work: making a cluster takes longer than most scans.
    """

    open_team: Callable[[], Team]
    threads: int
    folder: str = ""
    patience: float = PATIENCE
    #: What is wrong with workers, by their names.
    wrong: dict[str, str] = field(default_factory=dict)
    #: How many files were read here, by why.
    here: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, bool] = field(default_factory=dict)
    _members: frozenset[str] = frozenset()
    _fruitless: int = 0

    @cached_property
    def team(self) -> Team:
        """Raises what `open_team` does."""
        return self.open_team()

    def read(self, jobs: Iterable[Job], progress: Progress, stop: Stop) -> Iterator[Reading]:
        """As `Readers.read`; a stop does not wait for what workers are at."""
        with ExitStack() as ends:
            yield from _Round(self, progress, stop, ends).run(jobs)

    def sees(self, paths: Sequence[str], names: FileSystemNames, stop: Stop) -> dict[str, bool]:
        """Of folders, whether some worker sees each as it is here. Asked once, and of a changed team again."""
        members = self.team.members()
        if members != self._members:
            self._members = members
            self._seen.clear()
        places = [meeting.place(path, names) for path in paths if path not in self._seen]
        if places:
            met = meeting.meet(self.team, places, self.folder, stop=stop)
            self._fruitless = 0 if met.fit else self._fruitless + 1
            self.wrong.update(met.wrong)
            found = {one.path: one.path in met.seen for one in places}
            if not met.fit and self._fruitless < _MEETINGS:
                # They may have died of something else just then.
                return {path: self._seen.get(path, False) for path in paths}
            self._seen.update(found)
        return {path: self._seen[path] for path in paths}

    def told(self) -> list[str]:
        """What the user should know of the workers, once."""
        lines = [f"worker {name}: {problem}" for name, problem in sorted(self.wrong.items())]
        for reason, number in sorted(self.here.items()):
            lines.append(f"{self.team.name}: {count(number, 'file')} read here instead: {reason}")
        self.wrong.clear()
        self.here.clear()
        return lines

    def close(self) -> None:
        if "team" in vars(self):
            self.team.close()
            del self.team


class _Round:
    """One `Spread.read`."""

    def __init__(self, spread: Spread, progress: Progress, stop: Stop, ends: ExitStack) -> None:
        self._spread = spread
        self._progress = progress
        self._stop = stop
        self._threads = ends.enter_context(Threads(spread.threads))
        ends.callback(self._give_up)
        self._waiting: dict[int, deque[Job]] = {}
        self._filesystems: dict[int, str] = {}
        self._sent: dict[Future[Any], _Sent] = {}
        self._ours: dict[Future[list[Reading]], None] = {}
        self._for_here: deque[Job] = deque()
        #: Devices that some worker sees as they are here.
        self._shared: set[int] = set()
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._failures = 0

    def run(self, jobs: Iterable[Job]) -> Iterator[Reading]:
        for job in jobs:
            self._waiting.setdefault(job.signature.device, deque()).append(job)
        self._meet()
        census = time.monotonic() + _CENSUS
        while self._waiting or self._sent or self._ours or self._for_here:
            self._stop.check()
            self._give_out()
            for future in self._finished():
                yield from self._taken(future)
            now = time.monotonic()
            self._overdue(now)
            if now > census and self._waiting:
                census = now + _CENSUS
                self._meet()

    def _meet(self) -> None:
        """See what of the file systems the team can read now; the rest is ours meanwhile."""
        names = FileSystemNames.now()
        folders: dict[int, str] = {}
        for device, jobs in self._waiting.items():
            folders[device] = os.path.dirname(jobs[0].path)
            self._filesystems[device] = names.of(jobs[0].path, device)
        seen = self._spread.sees(list(folders.values()), names, self._stop)
        self._shared = {device for device, folder in folders.items() if seen[folder]}

    def _read_here(self, jobs: Iterable[Job], why: str) -> None:
        before = len(self._for_here)
        self._for_here.extend(jobs)
        self._spread.here[why] += len(self._for_here) - before

    def _give_out(self) -> None:
        room = max(1, AHEAD * self._spread.team.width())
        for device in list(self._waiting):
            waiting = self._waiting[device]
            alone = rotates(device)
            if device not in self._shared and not self._for_here:
                self._read_here(_task(waiting), NOBODY)
            while (
                device in self._shared
                and waiting
                and len(self._sent) < room
                and not (alone and self._under_way(device))
            ):
                if self._failures >= _HOPELESS:
                    self._read_here(waiting, BROKEN)
                    waiting.clear()
                    break
                self._send(device, _task(waiting), again=False)
            if not waiting:
                del self._waiting[device]
        while self._for_here and len(self._ours) < IN_FLIGHT:
            if self._ours and rotates(self._for_here[0].signature.device):
                break
            task = _task(self._for_here)
            future = self._threads.submit(digests.read_many, task, self._progress.advance, self._stop)
            self._ours[future] = None
            future.add_done_callback(self._done.put)

    def _under_way(self, device: int) -> bool:
        return any(one.device == device for one in self._sent.values())

    def _send(self, device: int, jobs: list[Job], *, again: bool) -> None:
        asked = [tasks.travelling(job, self._filesystems[device]) for job in jobs]
        nonce = secrets.token_hex(16)
        future = self._submitted(nonce, asked)
        if future is None:
            self._read_here(jobs, BROKEN)
            return
        size = sum(job.signature.size for job in jobs)
        # Nobody tells what else the worker has to do first.
        before = max((one.size for one in self._sent.values()), default=0)
        overdue = time.monotonic() + self._spread.patience + (size + before) / SLOWEST
        self._sent[future] = _Sent(jobs, asked, nonce, device, size, overdue=overdue, again=again)
        future.add_done_callback(self._done.put)

    def _submitted(self, nonce: str, asked: list[FileTask]) -> Future[Any] | None:
        """The task with the team, which is mended if need be; None where nobody takes it."""
        team = self._spread.team
        while self._failures < _HOPELESS:
            try:
                return team.submit(tasks.read_files, nonce, asked)
            except Exception:  # noqa: BLE001 - whatever an executor of others raises
                self._failures += 1
                if not team.mend():
                    self._failures = _HOPELESS
        return None

    def _finished(self) -> list[Future[Any]]:
        found: list[Future[Any]] = []
        with suppress(Empty):
            found.append(self._done.get(timeout=_TICK))
            while True:
                found.append(self._done.get_nowait())
        return found

    def _taken(self, future: Future[Any]) -> Iterator[Reading]:
        if future in self._ours:
            del self._ours[future]
            yield from future.result()
            return
        sent = self._sent.pop(future, None)
        if sent is None:
            return  # it came too late
        if future.cancelled() or future.exception() is not None:
            self._failed(future, sent)
            return
        self._failures = 0
        for job, found in judge(sent.nonce, sent.jobs, sent.asked, future.result()):
            if isinstance(found, Reading):
                self._progress.advance(found.bytes_read)
                yield found
            else:
                self._read_here([job], found)

    def _failed(self, future: Future[Any], sent: _Sent) -> None:
        """A task came to nothing: once more by another worker, then here."""
        if future.cancelled() or not isinstance(future.exception(), BrokenExecutor):
            # With a broken executor all that it had comes to nothing at once: counted where it is mended.
            self._failures += 1
        if sent.again:
            self._read_here(sent.jobs, DIED)
        else:
            self._send(sent.device, sent.jobs, again=True)

    def _overdue(self, now: float) -> None:
        for future, sent in list(self._sent.items()):
            if now > sent.overdue:
                del self._sent[future]
                future.cancel()
                self._failures += 1
                self._read_here(sent.jobs, LATE)

    def _give_up(self) -> None:
        """Workers that are at something end by themselves; threads of ours are waited for."""
        for future in self._sent:
            future.cancel()
        for future in self._ours:
            future.cancel()


def _task(waiting: deque[Job]) -> list[Job]:
    return next_task(waiting, TASK_JOBS, TASK_BYTES)
