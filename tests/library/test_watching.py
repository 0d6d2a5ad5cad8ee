"""One look after another: downloads, space, and what has changed between them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Partial, Role, Root
from hubfold.library.gather import Library
from hubfold.library.watching import look
from hubfold.reports.models import Judged, MissingFile, Model, ModelPlace, Revision, Wholeness


def library(*roots: Path, got: int | None = None, physical: int = 0) -> Library:
    """One model, of whose file `got` bytes are there."""
    partials = () if got is None else (Partial("/hub/x.incomplete", got, "weights"),)
    revision = Revision(
        "1",
        (),
        "/hub/1",
        Wholeness.INCOMPLETE,
        Judged.LISTING,
        0,
        files=(),
        missing=(MissingFile("weights", 100, "is not there"),),
        partials=partials,
    )
    # In two places: a download is told once.
    places = tuple(ModelPlace(at, "plain", Role.SECONDARY, True, at, 0, (revision,)) for at in ("/a", "/b"))
    return Library(
        (Model("org/a", "model", 0, 0, places),),
        tuple(Root(str(root), "plain") for root in roots),
        physical,
    )


def test_a_first_look_knows_no_rate() -> None:
    first = look(library(got=30, physical=500), at=10)
    [download] = first.downloads
    assert (download.path, download.name, download.bytes, download.expected_bytes) == (
        "/hub/x.incomplete",
        "weights",
        30,
        100,
    )
    assert download.rate is None
    assert (first.physical_bytes, first.rate) == (500, None)


def test_a_second_look_tells_what_came_a_second() -> None:
    first = look(library(got=30, physical=500), at=10)
    second = look(library(got=50, physical=400), first, at=14)
    assert second.downloads[0].rate == 5
    assert second.rate == -25


def test_a_download_that_began_meanwhile_came_from_nothing() -> None:
    first = look(library(), at=10)
    assert first.downloads == ()
    assert look(library(got=50), first, at=15).downloads[0].rate == 10


def test_two_looks_at_one_moment_divide_by_no_zero() -> None:
    first = look(library(got=30), at=10)
    rate = look(library(got=31), first, at=10).downloads[0].rate
    assert rate is not None
    assert rate > 0


def test_each_file_system_is_told_once_with_its_roots(tmp_path: Path, other_drive: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    found = look(library(tmp_path / "one", tmp_path / "two", other_drive, tmp_path / "away"), at=1)
    assert sorted(len(disk.roots) for disk in found.disks) == [1, 2]
    assert not any("away" in root for disk in found.disks for root in disk.roots)
    for disk in found.disks:
        assert disk.total_bytes > 0
        assert disk.rate is None
    again = look(library(tmp_path / "one"), found, at=2)
    assert again.disks[0].rate is not None


def test_a_file_system_that_cannot_be_asked_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.statvfs
    asked = []

    def once(path: str) -> os.statvfs_result:
        asked.append(path)
        if len(asked) > 1:
            raise OSError(5, "error")
        return really(path)

    monkeypatch.setattr(os, "statvfs", once)
    assert look(library(tmp_path), at=1).disks == ()
