"""Past runs as people look at them, and what runs say about each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold.errors import RunNotFound
from hubfold.journal import history
from hubfold.state.home import StateHome
from tests.building.journals import FARM, MEND, RUN, about, intent, restored, written

FINISHED = {"record": "end", "state": "finished", "freed": 4}


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
