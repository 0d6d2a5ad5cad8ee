"""What a crash left on a drive that is away since: it waits, or is given up; what was deleted does not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hubfold.care import settle
from hubfold.journal.journal import Journal, read
from hubfold.journal.records import Mend
from hubfold.removal.settle import settle_removal


def test_a_removal_on_a_drive_that_is_away_waits_for_it(tmp_path: Path) -> None:
    """The folder that was renamed away would stay there for good if it were taken for gone."""
    record = {
        "path": str(tmp_path / "mnt/copy/notes"),
        "root": str(tmp_path / "mnt/copy"),
        "temporary": str(tmp_path / "mnt/copy/.hubfold-x"),
    }
    with Journal.create(str(tmp_path / "runs"), "rm", "test") as book:
        book.append("aside", **record, mount=str(tmp_path / "mnt"))
    log = read(str(tmp_path / "runs"), book.run)
    settled = settle_removal(log)
    assert settled.waiting and "its drive is not there" in settled.left[0].reason
    settled = settle_removal(log, forget=True)
    assert not settled.waiting and "given up" in settled.left[0].reason
    with Journal.create(str(tmp_path / "runs"), "rm", "test") as book:
        book.announce("aside", **record)
    log = read(str(tmp_path / "runs"), book.run)
    assert os.path.ismount(log.temporaries[0].mount)
    settled = settle_removal(log)
    assert not settled.waiting and not settled.left, "its drive is there: the folder was deleted"


def test_a_repair_on_a_drive_that_is_gone_for_good_can_be_given_up(tmp_path: Path) -> None:
    away = str(tmp_path / "mnt/cache")
    mend = Mend(1, f"{away}/blob", away, ".hubfold-1", 1, "", 2, f"{away}/hubfold/replaced/blob", "")
    assert settle.settle_mends([mend]).waiting
    settled = settle.settle_mends([mend], forget=True)
    assert not settled.waiting and not settled.done and "given up" in settled.left[0].reason


def test_a_repair_in_a_cache_that_was_deleted_since_waits_for_nothing(tmp_path: Path) -> None:
    away = str(tmp_path / "mnt/cache")
    mend = Mend(1, f"{away}/blob", away, ".hubfold-1", 1, "", 2, f"{away}/hubfold/replaced/blob", "", "/")
    assert not settle.settle_mends([mend]).waiting
    assert settle.settle_mends([replace(mend, mount=str(tmp_path))]).waiting
