"""What a path was when a user was asked: known again only while it is that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.disk import seen
from hubfold.disk.directory import Directory


def rewrite(path: Path) -> None:
    path.write_bytes(b"other bytes")


def save_anew(path: Path) -> None:
    (path.parent / "new").write_bytes(path.read_bytes())
    os.replace(path.parent / "new", path)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def link_instead(path: Path) -> None:
    path.rename(path.parent / "moved")
    path.symlink_to("moved")


@pytest.mark.parametrize("change", [rewrite, save_anew, touch, link_instead, os.unlink])
def test_a_file_that_changed_is_another(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    before = seen.look(str(path))
    assert before is not None
    assert before == seen.look(str(path))
    change(path)
    assert seen.look(str(path)) != before


def test_a_link_is_known_by_its_text_and_inode_whatever_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    before = seen.look(str(link))
    assert before is not None
    assert before.text == "target"
    (tmp_path / "target").write_bytes(b"now it leads somewhere")
    os.utime(link, ns=(1, 1), follow_symlinks=False)
    assert seen.look(str(link)) == before
    link.unlink()
    link.symlink_to("another")
    assert seen.look(str(link)) != before


def test_folders_and_what_is_nowhere_were_never_seen(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert seen.look(str(tmp_path)) is None
    assert seen.look(str(tmp_path / "missing")) is None
    assert seen.look(str(tmp_path / "missing/below")) is None
    assert seen.look(str(tmp_path / "file/below")) is None


def test_what_lies_below_a_folder_has_the_paths_that_it_had_before_it_was_renamed_away(
    tmp_path: Path,
) -> None:
    aside = tmp_path / "aside"
    (aside / "deep/empty").mkdir(parents=True)
    (aside / "deep/file").write_bytes(b"bytes")
    (aside / "link").symlink_to("deep/file")
    with Directory.open(str(tmp_path)) as directory:
        found = dict(seen.below(directory, "aside", "/shown"))
    assert found.keys() == {"/shown/deep/file", "/shown/link"}
    assert found["/shown/deep/file"] == seen.look(str(aside / "deep/file"))
    assert found["/shown/link"].text == "deep/file"


def test_a_link_to_a_folder_is_not_gone_into(tmp_path: Path) -> None:
    (tmp_path / "aside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"")
    (tmp_path / "aside/way").symlink_to("../outside")
    with Directory.open(str(tmp_path)) as directory:
        assert [path for path, _ in seen.below(directory, "aside", "/shown")] == ["/shown/way"]
