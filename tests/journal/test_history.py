"""Past runs as people look at them, and what runs say about each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold.errors import RunNotFound
from hubfold.journal import history
from hubfold.journal.run_log import RunLog
from hubfold.state.home import StateHome
from tests.building.journals import FARM, INTENT, KEEPER, MEND, RUN, written

FINISHED = {"record": "end", "state": "finished", "freed": 4}


def intent(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"record": "intent", **replace(INTENT, number=number, **fields).as_record()}


def about(number: int, record: str, **fields: Any) -> dict[str, Any]:
    return {"record": record, "number": number, **fields}


def restored(number: int, inode: int) -> list[dict[str, Any]]:
    return [about(number, "restore", temporary=".hubfold-u"), about(number, "restored", inode=inode)]


@pytest.fixture
def logs(tmp_path: Path) -> Any:
    """Makes logs, each called by its number."""
    made = 0

    def log(*records: dict[str, Any]) -> RunLog:
        nonlocal made
        made += 1
        folder = tmp_path / str(made)
        folder.mkdir()
        found = written(folder, RUN, *records)
        found.run = str(made)
        return found

    return log


def test_a_summary_counts_what_is_done_and_what_it_frees_now(logs: Any) -> None:
    log = logs(
        *(intent(number, path=f"/models/{number}", bytes=10) for number in (1, 2, 3)),
        *(about(number, "done") for number in (1, 2)),
        about(3, "dropped", reason="it was changed"),
        *restored(2, 99),
        FINISHED,
    )
    found = history.summary(log)
    assert (found.run, found.command, found.actions) == ("1", "consolidate", 2)
    assert found.bytes == 10 + 4, "what was taken back frees nothing"


def test_every_sort_of_action_is_told_with_what_became_of_it(logs: Any) -> None:
    log = logs(
        *(intent(number, path=f"/models/{number}") for number in (1, 2, 3, 4)),
        about(1, "done"),
        about(2, "dropped", reason="it was changed"),
        about(3, "done"),
        *restored(3, 99),
        {"record": "farm", **FARM.as_record()},
        {"record": "remove", "path": "/hub/f", "bytes": 3},
        {"record": "mend", **replace(MEND, number=5).as_record()},
    )
    told = [(done.path, state) for done, state in history.detail(log).actions]
    assert told == [
        ("/models/1", "done"),
        ("/models/2", "rolled back"),
        ("/models/3", "undone"),
        ("/models/4", "unfinished"),
        ("/farm/m", "done"),
        ("/hub/f", "unfinished"),
        ("/models/m", "unfinished"),
    ]


def test_a_keeper_is_in_use_while_a_link_of_another_run_reads_it(logs: Any) -> None:
    first = logs(intent(keeper_inode=5), about(1, "done"))
    second = logs(intent(keeper_inode=6), about(1, "done"), *restored(1, 9))
    third = logs(
        {"record": "keeper", **replace(KEEPER, inode=7).as_record()}, {"record": "farm", **FARM.as_record()}
    )
    opened = logs(intent(keeper_inode=8))
    every = [first, second, third, opened]
    assert history.keepers_in_use(every, but="none") == {5, 7, 8}
    assert history.keepers_in_use(every, but=first.run) == {7, 8}
    third.undone = True
    assert history.keepers_in_use(every, but="none") == {5, 8}


def test_a_keeper_that_a_later_run_put_back_is_known_by_its_new_inode(logs: Any) -> None:
    """The first run kept /hub/b; the second replaced it, and its undo made another inode of the same bytes."""
    first = logs(
        {"record": "keeper", **KEEPER.as_record()}, intent(keeper="/hub/b", keeper_inode=5), about(1, "done")
    )
    second = logs(intent(path="/hub/b", inode=5, keeper_inode=6), about(1, "done"), *restored(1, 77))
    earlier, later = history.as_they_lie_now([first, second])
    assert earlier.intents[1].keeper_inode == 77
    assert [change.inode for change in earlier.keepers] == [77]
    assert later.intents[1].keeper_inode == 6


def test_a_link_that_was_put_right_is_still_its_runs(logs: Any) -> None:
    first = logs(intent(keeper="/models/m", keeper_inode=21), about(1, "done"))
    whole = {"record": "mended", "numbers": [1]}
    mended = logs(
        {"record": "mend", **MEND.as_record()}, {"record": "fresh", "inode": 22, "numbers": [1]}, whole
    )
    assert history.as_they_lie_now([first, mended])[0].intents[1].keeper_inode == 22


def test_another_name_of_the_keeper_says_nothing_about_a_hard_link(logs: Any) -> None:
    first = logs(intent(link="hardlink", path="/models/m", keeper="/hub/b", keeper_inode=5), about(1, "done"))
    second = logs(intent(path="/hub/b", inode=5), about(1, "done"), *restored(1, 77))
    assert history.as_they_lie_now([first, second])[0].intents[1].keeper_inode == 5


def test_what_a_later_run_replaced_again_waits_for_that_run(logs: Any) -> None:
    first = logs(intent(path="/m/a"), about(1, "done"))
    second = logs(
        intent(1, path="/m/a"), about(1, "done"), intent(2, path="/m/b", link="reflink"), about(2, "done")
    )
    third = logs(intent(path="/m/a"), about(1, "done"), *restored(1, 9))
    assert history.folded_again([first, second, third], first) == {"/m/a": second.run}
    assert history.folded_again([first, second, third], second) == {}


def test_what_can_be_taken_back(logs: Any) -> None:
    assert history.undoable(logs(intent(), about(1, "done")))
    assert history.undoable(logs({"record": "farm", **FARM.as_record()}))
    assert not history.undoable(logs(intent())), "what is open is for recovery"
    assert not history.undoable(logs(intent(), about(1, "done"), *restored(1, 9)))


def test_the_run_to_take_back_is_the_last_that_can_be(tmp_path: Path) -> None:
    state = StateHome.locate(tmp_path / "state")
    with pytest.raises(RunNotFound, match="no run to take back"):
        history.find(state, None)
    runs = Path(state.runs)
    runs.mkdir(parents=True)
    written(runs, RUN, intent(), about(1, "done"))
    only = next(runs.iterdir())
    (runs / "20270101-000000-000001.jsonl").write_bytes(only.read_bytes().splitlines(keepends=True)[0])
    chosen, every = history.find(state, None)
    assert (chosen.run, len(every)) == (only.stem, 2)
    assert history.find(state, "20270101-000000-000001")[0].intents == {}
    with pytest.raises(RunNotFound, match="'nobody'"):
        history.find(state, "nobody")
