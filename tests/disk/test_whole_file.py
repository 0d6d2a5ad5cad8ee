"""Files that are written for the user, where he names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.disk import whole_file
from hubfold.errors import HubfoldError, UsageError


def test_it_is_written_anew_in_place_of_ours_only(tmp_path: Path) -> None:
    page, other = tmp_path / "page", tmp_path / "other"
    whole_file.write(str(page), "mark: one", "mark")
    whole_file.write(str(page), "mark: two", "mark")
    other.write_text("somebody's")
    with pytest.raises(UsageError, match="was not written by hubfold"):
        whole_file.write(str(other), "mark", "mark")
    assert (page.read_text(), other.read_text()) == ("mark: two", "somebody's")
    assert sorted(os.listdir(tmp_path)) == ["other", "page"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("page")
    whole_file.write(str(tmp_path / "link"), "mark", "mark")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "page").read_text() == "mark"


@pytest.mark.parametrize("name", [".", "nowhere/page"])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        whole_file.check(str(tmp_path / name), "mark")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page"
    page.write_text("mark: old")

    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HubfoldError, match="cannot be written"):
        whole_file.write(str(page), "mark: new", "mark")
    assert page.read_text() == "mark: old" and os.listdir(tmp_path) == ["page"]
