"""Which runs there are, and what each has freed."""

from __future__ import annotations

import os
from pathlib import Path

from hubfold.journal import history, journal
from hubfold.journal.runs import path_of, run_names, saved
from tests.building.journals import RUN, about, intent, restored, written

FINISHED = {"record": "end", "state": "finished", "freed": 4}


def test_the_runs_are_those_that_have_a_journal_the_oldest_first(tmp_path: Path) -> None:
    assert run_names(str(tmp_path / "none")) == []
    for name in ("b.jsonl", "a.jsonl", "a.lock"):
        (tmp_path / name).touch()
    assert run_names(str(tmp_path)) == ["a", "b"]
    assert path_of(str(tmp_path), "a") == str(tmp_path / "a.jsonl")


def test_of_what_folds_have_saved_only_what_changed_is_read_again(tmp_path: Path) -> None:
    """A scan tells it, and journals grow with every file that was ever folded."""
    runs, read = str(tmp_path), []

    def freed(run: str) -> int:
        read.append(run)
        return history.freed(journal.read(runs, run))

    written(tmp_path, RUN, intent(bytes=10), about(1, "done"), FINISHED)
    first = saved(runs, {}, freed)
    assert ([one.bytes for one in first.values()], len(read)) == ([10], 1)
    assert saved(runs, first, freed) == first and len(read) == 1, "it is as it was"
    written(tmp_path, RUN, intent(bytes=10), about(1, "done"), FINISHED, *restored(1, 99))
    assert [one.bytes for one in saved(runs, first, freed).values()] == [0]
    [path] = tmp_path.iterdir()
    os.utime(path, ns=(0, 5))
    read.clear()
    assert saved(runs, saved(runs, first, freed), freed) and len(read) == 1, "written at another time"
