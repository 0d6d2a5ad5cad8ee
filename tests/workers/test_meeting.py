"""Who is given work: who has the same hubfold, sees the same files and computes the same digests."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubfold.disk.identity import FileSystemNames
from hubfold.errors import Interrupted
from hubfold.progress import Stop
from hubfold.workers import meeting, tasks
from hubfold.workers.meeting import Met
from hubfold.workers.tasks import Greeted
from hubfold.workers.team import HandedIn


class Answering(Executor):
    """One worker, whose greeting is changed on its way."""

    _max_workers = 1

    def __init__(self, change: Callable[[Greeted], Any]) -> None:
        self._change = change

    def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        found = self._change(function(*arguments, **kwargs))
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)
        return future


def met(executor: Executor, *folders: Path, own: str = "") -> Met:
    names = FileSystemNames.now()
    places = [meeting.place(str(folder), names) for folder in folders]
    return meeting.meet(HandedIn(executor), places, own, stop=Stop(), patience=0.3)


def wrong(change: Callable[[Greeted], Any], tmp_path: Path, own: str = "") -> str:
    """What is wrong with the one worker, of whom nothing else is believed then."""
    found = met(Answering(change), tmp_path, own=own)
    assert not found.fit
    assert not found.seen
    (text,) = found.wrong.values()
    return text


def test_who_sees_all_is_fit_for_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        found = met(executor, tmp_path, own=str(tmp_path))
    assert found == Met({str(tmp_path)}, {}, {tasks.this_worker()})
    assert not os.listdir(tmp_path)


def test_another_version_is_told_with_both(tmp_path: Path) -> None:
    found = wrong(lambda answer: answer._replace(version="0.0.1"), tmp_path)
    assert found == f"hubfold is 0.0.1 there, and {tasks.this_version()} here"
    assert "hubfold is" in wrong(lambda answer: answer._replace(protocol=0), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: None,
        lambda answer: answer._replace(nonce=""),
        lambda answer: answer._replace(places=()),
    ],
)
def test_nonsense_is_told(change: Callable[[Greeted], Any], tmp_path: Path) -> None:
    assert wrong(change, tmp_path) == "it answers what makes no sense"


def test_who_cannot_hash_is_no_worker(tmp_path: Path) -> None:
    found = wrong(lambda answer: answer._replace(sample=("0" * 64, *answer.sample[1:])), tmp_path)
    assert found.startswith("it gets digests wrong")


def test_who_has_no_hubfold_is_told_so(tmp_path: Path) -> None:
    found = wrong(lambda answer: ModuleNotFoundError("No module named 'hubfold'"), tmp_path)
    assert found.startswith("hubfold is not installed there")


def test_what_goes_wrong_there_is_told(tmp_path: Path) -> None:
    assert wrong(lambda answer: OSError("out of everything"), tmp_path) == "out of everything"


def test_a_copy_of_the_file_system_is_not_the_file_system(tmp_path: Path) -> None:
    # As of a disk image that two machines were made from: all that a file system tells of itself is the same.
    found = wrong(lambda answer: answer._replace(probe=b""), tmp_path, own=str(tmp_path))
    assert found.startswith("its file system is a copy of the one here")


def test_a_full_disk_has_no_probe_and_nothing_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, mode: str) -> Any:
        os.close(fd)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(meeting, "open", full, raising=False)
    found = met(Answering(lambda answer: answer), tmp_path, own=str(tmp_path))
    assert (found.seen, found.wrong) == ({str(tmp_path)}, {})
    assert os.listdir(tmp_path) == []


def test_who_may_not_read_the_probe_may_be_right(tmp_path: Path) -> None:
    found = met(Answering(lambda answer: answer._replace(probe=None)), tmp_path, own=str(tmp_path))
    assert (found.seen, found.wrong) == ({str(tmp_path)}, {})


def test_a_place_that_one_host_has_alone_costs_nobody_the_others(tmp_path: Path) -> None:
    own, common = tmp_path / "own", tmp_path / "common"
    own.mkdir()
    common.mkdir()
    name = FileSystemNames.now().of_folder(str(common), common.stat().st_dev)

    def elsewhere(answer: Greeted) -> Greeted:
        return answer._replace(places=(("nfs4:server:/x", 1, ""), *answer.places[1:]))

    found = met(Answering(elsewhere), own, common)
    assert (found.seen, len(found.fit)) == ({str(common)}, 1)
    (told,) = found.wrong.values()
    assert told == f"{own} is on another file system there (nfs4:server:/x; here {name})"


class Named(HandedIn):
    """Workers with names, each with its own greeting."""

    def __init__(self, **workers: Callable[[Greeted], Any]) -> None:
        super().__init__(ThreadPoolExecutor(1))
        self._workers = {name: Answering(change) for name, change in workers.items()}
        self.left_out: list[str] = []

    def each(self, function: Any, *arguments: Any) -> Iterator[tuple[str, Future[Any]]]:
        return ((name, one.submit(function, *arguments)) for name, one in self._workers.items())

    def members(self) -> frozenset[str]:
        return frozenset(self._workers)

    def leave_out(self, names: Sequence[str]) -> None:
        self.left_out = sorted(names)


def test_who_is_no_use_is_left_out_where_others_are(tmp_path: Path) -> None:
    def blind(answer: Greeted) -> Greeted:
        return answer._replace(places=(("", 0, "No such file or directory"),))

    places = [meeting.place(str(tmp_path), FileSystemNames.now())]
    team = Named(good=lambda answer: answer, bad=lambda answer: None, blind=blind)
    assert meeting.meet(team, places, "", stop=Stop()).fit == {"good", "blind"}
    assert team.left_out == ["bad", "blind"]
    # A folder that nobody sees is nobody's fault.
    team = Named(blind=blind, other=blind)
    meeting.meet(team, places, "", stop=Stop())
    assert team.left_out == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = met(
        Answering(lambda answer: answer._replace(places=(("", 0, "No such file or directory"),))), tmp_path
    )
    assert list(found.wrong.values()) == [f"{tmp_path}: No such file or directory"]


def test_who_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    class Silent(Answering):
        def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    found = met(Silent(lambda answer: answer), tmp_path)
    assert list(found.wrong.values()) == ["it does not answer"]


def test_a_stop_ends_a_meeting(tmp_path: Path) -> None:
    class Silent(Answering):
        def submit(self, function: Any, /, *arguments: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    stop = Stop()
    stop.set()
    with pytest.raises(Interrupted):
        meeting.meet(HandedIn(Silent(lambda answer: answer)), [], "", stop=stop)
