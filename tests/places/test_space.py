"""What a place holds, held against `du`, and what still fits."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hubfold.places.space import OverLimit, Room, room, used


def du(folder: Path) -> int:
    said = subprocess.run(
        ["du", "-sx", "--block-size=1", folder], capture_output=True, text=True, check=False
    )
    return int(said.stdout.split()[0])


def test_it_is_what_du_says(tmp_path: Path) -> None:
    (tmp_path / "blobs" / "deep").mkdir(parents=True)
    one = tmp_path / "blobs" / "one"
    one.write_bytes(b"x" * 100_001)
    (tmp_path / "two").write_bytes(b"y" * 5)
    os.link(one, tmp_path / "again")
    (tmp_path / "link").symlink_to(one)
    with open(tmp_path / "blobs" / "deep" / "sparse", "wb") as file:
        file.truncate(10**9)
    assert used(str(tmp_path)) == du(tmp_path) > 100_001
    assert used(str(tmp_path)) < 10**6, "holes take nothing, and a second name of a file neither"


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert used(str(tmp_path / "none")) == 0


@pytest.mark.parametrize(
    ("what", "left", "over"),
    [
        (Room(40, 100, 1000), 60, 0),
        (Room(40, 100, 50), 50, 0),
        (Room(40, 100, 50, reserve=20), 30, 0),
        (Room(40, None, 50, reserve=70), 0, 0),
        (Room(140, 100, 1000), 0, 40),
        (Room(40, 100, None), 60, 0),
    ],
)
def test_what_fits_is_under_the_limit_and_on_the_drive(what: Room, left: int, over: int) -> None:
    assert (what.left, what.over) == (left, over)


def test_what_is_shared_with_another_cache_counts_under_the_limit_and_not_on_the_drive() -> None:
    full = Room(40, 100, 10, reserve=4)
    assert full.fits(60, 6) and not full.fits(61, 6) and not full.fits(60, 7)
    assert not full.fits(60, 5, margin=6)
    assert Room(0, None, None).fits(10**15, 10**15)


def test_the_limit_is_told_with_its_figures() -> None:
    full = Room(40 * 10**9, 100 * 10**9, 10**12)
    full.check_limit(60 * 10**9, "fast")
    with pytest.raises(
        OverLimit, match=r"fast holds 40.0G of the 100.0G that it may, and this takes 60.0G more"
    ):
        full.check_limit(60 * 10**9 + 1, "fast")
    Room(40, None, 10**12).check_limit(10**12, "slow")
    Room(140, 100, 10**12).check_limit(0, "fast")


def test_without_a_limit_nothing_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.places.space.used", lambda folder: pytest.fail("added up"))
    assert room(str(tmp_path), None, 5).left > 0
