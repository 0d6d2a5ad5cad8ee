"""What the runs say about each other: whose keepers they read, and what later ones made of earlier ones' paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hubfold.journal import others
from hubfold.journal.records import Repointed
from tests.building.journals import FARM, KEEPER, MEND, about, intent, restored

REPOINTED = Repointed(FARM.path, FARM.root, "a", "b", target="/v/b", temporary=".hubfold-x", mount="/")


def test_a_keeper_is_in_use_while_a_link_of_another_run_reads_it(logs: Any) -> None:
    first = logs(intent(keeper_inode=5), about(1, "done"))
    second = logs(intent(keeper_inode=6), about(1, "done"), *restored(1, 9))
    third = logs(
        {"record": "keeper", **replace(KEEPER, inode=7).as_record()}, {"record": "farm", **FARM.as_record()}
    )
    opened = logs(intent(keeper_inode=8))
    every = [first, second, third, opened]
    assert others.keepers_in_use(every, but="none") == {5, 7, 8}
    assert others.keepers_in_use(every, but=first.run) == {7, 8}
    third.undone = True
    assert others.keepers_in_use(every, but="none") == {5, 8}


def test_a_keeper_that_a_later_run_put_back_is_known_by_its_new_inode(logs: Any) -> None:
    """The first run kept /hub/b; the second replaced it, and its undo made another inode of the same bytes."""
    first = logs(
        {"record": "keeper", **KEEPER.as_record()}, intent(keeper="/hub/b", keeper_inode=5), about(1, "done")
    )
    second = logs(intent(path="/hub/b", inode=5, keeper_inode=6), about(1, "done"), *restored(1, 77))
    earlier, later = others.as_they_lie_now([first, second])
    assert earlier.intents[1].keeper_inode == 77
    assert [change.inode for change in earlier.keepers] == [77]
    assert later.intents[1].keeper_inode == 6


def test_a_link_that_was_put_right_is_still_its_runs(logs: Any) -> None:
    first = logs(intent(keeper="/models/m", keeper_inode=21), about(1, "done"))
    whole = {"record": "mended", "numbers": [1]}
    mended = logs(
        {"record": "mend", **MEND.as_record()}, {"record": "fresh", "inode": 22, "numbers": [1]}, whole
    )
    assert others.as_they_lie_now([first, mended])[0].intents[1].keeper_inode == 22


def test_another_name_of_the_keeper_says_nothing_about_a_hard_link(logs: Any) -> None:
    first = logs(intent(link="hardlink", path="/models/m", keeper="/hub/b", keeper_inode=5), about(1, "done"))
    second = logs(intent(path="/hub/b", inode=5), about(1, "done"), *restored(1, 77))
    assert others.as_they_lie_now([first, second])[0].intents[1].keeper_inode == 5


def test_what_a_later_run_replaced_again_waits_for_that_run(logs: Any) -> None:
    first = logs(intent(path="/m/a"), about(1, "done"))
    second = logs(
        intent(1, path="/m/a"), about(1, "done"), intent(2, path="/m/b", link="reflink"), about(2, "done")
    )
    third = logs(intent(path="/m/a"), about(1, "done"), *restored(1, 9))
    assert others.folded_again([first, second, third], first) == {"/m/a": second.run}
    assert others.folded_again([first, second, third], second) == {}


def test_what_all_runs_mean_for_one(logs: Any) -> None:
    first = logs(
        {"record": "keeper", **KEEPER.as_record()}, intent(path="/m/a", keeper_inode=5), about(1, "done")
    )
    second = logs(intent(path="/m/a", keeper_inode=6), about(1, "done"))
    found = others.Others.of([first, second], first)
    assert found.keepers == {6}
    assert found.changes == [KEEPER]
    assert found.refolded == {"/m/a": second.run}
    assert not others.ALONE.keepers and others.ALONE.changes is None


def test_a_link_that_was_taken_away_is_so_for_the_runs_that_led_it_elsewhere(logs: Any) -> None:
    made = {"record": "farm", **FARM.as_record()}
    gone = {"record": "unlinked", "path": FARM.path}
    farm = logs(made, gone)
    move = logs({"record": "repoint", **replace(REPOINTED, path=FARM.path).as_record()})
    assert set(others.taken_away([farm, move])) == {(farm.run, FARM.path), (move.run, FARM.path)}
    again = logs(made)
    assert set(others.taken_away([farm, move, again])) == {(farm.run, FARM.path)}, "it may be that one's link"
