"""What a log says of its run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold.content import LinkKind
from hubfold.errors import JournalDamaged
from hubfold.journal.run_log import RunLog
from tests.building.journals import (
    FARM,
    INTENT,
    RUN,
    RUN_NAME,
    states,
    written,
)

END = {"record": "end", "state": "finished"}
STOPPED = {"record": "end", "state": "interrupted"}
UNDO, UNDONE, RECOVERED = {"record": "undo"}, {"record": "undone"}, {"record": "recovered"}


@pytest.mark.parametrize(
    ("records", "others", "state", "needs_recovery", "open_"),
    [
        ((), (), "unfinished", True, []),
        ((), (END,), "finished", False, []),
        ((), (STOPPED,), "interrupted", False, []),
        (("done",), (), "unfinished", True, []),
        (("done",), (END,), "finished", False, []),
        (("dropped",), (END,), "finished", False, []),
        ((), (RECOVERED,), "recovered", False, []),
        ((), (END, RECOVERED), "finished", False, []),
        (("restore",), (END, UNDO), "partly undone", True, [1]),
        (("done",), (END, UNDO), "partly undone", False, []),
        (("restore", "restored"), (END, UNDO), "partly undone", True, []),
        (("kept",), (END, UNDO), "partly undone", True, []),
        (("restored",), (END, UNDO, UNDONE), "undone", False, []),
        (("restored",), (END, UNDO, UNDONE, UNDO), "partly undone", True, []),
        ((), (END, UNDO), "partly undone", False, []),
    ],
)
def test_the_state_of_a_run(
    tmp_path: Path,
    records: tuple[str, ...],
    others: tuple[dict[str, Any], ...],
    state: str,
    needs_recovery: bool,
    open_: list[int],
) -> None:
    log = states(tmp_path, *records, before=others)
    assert (log.state, log.needs_recovery, log.open_numbers) == (state, needs_recovery, open_)


def test_a_run_that_has_just_begun_has_done_nothing(tmp_path: Path) -> None:
    log = written(tmp_path, RUN)
    assert log == RunLog(str(tmp_path / f"{RUN_NAME}.jsonl"), RUN_NAME, "consolidate", RUN["started"])
    assert (log.freed, log.ended, log.undo_begun, log.undone) == (0, None, False, False)


def test_an_announced_replacement_needs_recovery_whatever_the_end_says(tmp_path: Path) -> None:
    log = written(tmp_path, RUN, {"record": "intent", **INTENT.as_record()}, END)
    assert log.open_numbers == [1] and log.needs_recovery


MOVED = {
    "record": "repoint",
    "path": "/models/m",
    "root": "/models",
    "before": "../hubfold/objects/ab/abc",
    "text": "../disk/hubfold/objects/ab/abc",
    "target": "/disk/hubfold/objects/ab/abc",
    "temporary": ".hubfold-20260101-000000-abcdef-1",
    "mount": "/",
}


def test_a_link_that_was_led_to_where_its_vault_is(tmp_path: Path) -> None:
    [link] = written(tmp_path, RUN, MOVED).repointed
    assert {"record": "repoint", **link.as_record()} == MOVED


@pytest.mark.parametrize("field", ["path", "root", "target", "temporary"])
def test_a_link_that_was_led_anywhere_else_is_no_record(tmp_path: Path, field: str) -> None:
    with pytest.raises(JournalDamaged):
        written(tmp_path, RUN, {**MOVED, field: "relative/and/of/the/user"}, END)


def test_the_paths_that_changed_are_those_that_were_replaced_or_put_back(tmp_path: Path) -> None:
    intents = [replace(INTENT, number=number, path=f"/models/{number}") for number in (1, 2, 3, 4)]
    records = [{"record": "intent", **intent.as_record()} for intent in intents]
    told = [
        {"record": "done", "number": 1},
        {"record": "dropped", "number": 2},
        {"record": "done", "number": 3},
        {"record": "restored", "number": 3},
    ]
    assert written(tmp_path, RUN, *records, *told, END).changed_paths == ["/models/1", "/models/3"]


def test_the_symlinks_that_a_run_made_are_those_not_taken_back(tmp_path: Path) -> None:
    intents = [
        INTENT,
        replace(INTENT, number=2, path="/models/hard", link=LinkKind.HARDLINK),
        replace(INTENT, number=3, path="/models/dropped"),
    ]
    records = [{"record": "intent", **intent.as_record()} for intent in intents]
    told = [
        {"record": "done", "number": 1},
        {"record": "done", "number": 2},
        {"record": "dropped", "number": 3},
    ]
    farm = {"record": "farm", **FARM.as_record()}
    log = written(tmp_path, RUN, *records, *told, farm, END)
    assert log.links_made() == [INTENT.path, "/farm/m"]
    assert written(tmp_path, RUN, farm, END, UNDO, UNDONE).links_made() == []
