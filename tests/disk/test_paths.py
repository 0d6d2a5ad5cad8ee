"""Paths as text and as what they lead to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.disk import paths
from hubfold.errors import UsageError


def test_a_root_has_one_path_however_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    one = str(tmp_path.resolve() / "real")
    for text in ("link", "real/", "./link/../real", "link/."):
        assert paths.canonical(f"{tmp_path}/{text}") == one
    assert paths.canonical(tmp_path / "link") == one
    assert paths.canonical(tmp_path / "link/below/nothing") == f"{one}/below/nothing"


@pytest.mark.parametrize("empty", ["", b""])
def test_an_empty_text_is_not_the_working_directory(empty: str) -> None:
    with pytest.raises(UsageError) as caught:
        paths.canonical(empty)
    assert caught.value.hint


def test_a_tilde_is_the_home_unless_something_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ana")
    assert paths.named("~/models") == "/home/ana/models"
    assert paths.named(Path("~")) == "/home/ana"
    assert paths.canonical("~/models") == os.path.realpath("/home/ana/models")
    assert paths.named("./~/models") == f"{tmp_path}/~/models"
    (tmp_path / "~/models").mkdir(parents=True)
    assert paths.named("~/models") == f"{tmp_path}/~/models"
    assert paths.named("~/other") == "/home/ana/other"


def test_a_link_is_plain_at_its_own_place_and_not_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "folder/link").symlink_to("elsewhere")
    assert paths.plain(f"{tmp_path}/way/link") == str(tmp_path.resolve() / "folder/link")


def test_the_target_of_a_link_is_one_hop_away_and_need_not_be_there(tmp_path: Path) -> None:
    here = tmp_path.resolve()
    (here / "a/b").mkdir(parents=True)
    (here / "way").symlink_to("a/b")
    (here / "a/b/second").symlink_to("nothing")
    (here / "a/first").symlink_to("../way/second")
    assert paths.target_of(str(here / "a/first")) == str(here / "a/b/second"), (
        "the second hop is not followed"
    )
    assert paths.target_of(str(here / "a/b/second")) == str(here / "a/b/nothing")
    # `..` leads up from where the link really lies, not from how it was reached.
    (here / "a/b/up").symlink_to("../file")
    assert paths.target_of(str(here / "way/up")) == str(here / "a/file")
    (here / "file").write_bytes(b"")
    assert paths.target_of(str(here / "file")) is None
    assert paths.target_of(str(here / "missing")) is None


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a/b", "/", True),
        ("/", "/", True),
        ("/ab", "/a", False),
        ("/a", "/a/b", False),
        ("/a/b", "/a/", True),
    ],
)
def test_what_lies_within_a_root(path: str, root: str, expected: bool) -> None:
    assert paths.within(path, root) is expected


def test_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert paths.existing(f"{tmp_path}/a/b/c") == str(tmp_path)
    assert paths.existing(f"{tmp_path}/file/below") == str(tmp_path), "a file is no folder"
    assert paths.existing(str(tmp_path)) == str(tmp_path)
    assert paths.existing("/no such folder") == "/"


def test_free_space_is_that_of_the_file_system_on_which_a_folder_would_be(tmp_path: Path) -> None:
    space = os.statvfs(tmp_path)
    free = paths.free_bytes(f"{tmp_path}/not/made/yet")
    assert free is not None
    # Other programs write meanwhile: the figure is of this file system, and not more than it has.
    assert 0 < free <= space.f_blocks * space.f_frsize


def test_free_space_that_cannot_be_told_is_not_said_to_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> os.statvfs_result:
        raise OSError(5, "error")

    monkeypatch.setattr(os, "statvfs", fail)
    assert paths.free_bytes(str(tmp_path)) is None
