"""What a removal frees: only what nothing else has."""

from __future__ import annotations

import os
from pathlib import Path

from hubfold.removal.measure import measure


def blocks(*paths: Path) -> int:
    return sum(os.lstat(path).st_blocks * 512 for path in paths)


def test_a_file_counts_by_its_blocks_and_a_hole_takes_none(tmp_path: Path) -> None:
    full, hole = tmp_path / "full", tmp_path / "hole"
    full.write_bytes(os.urandom(100_000))
    with hole.open("wb") as file:
        file.truncate(1 << 20)
    assert measure([str(full), str(hole)]) == blocks(full, hole) < 1 << 20


def test_an_inode_counts_once_and_only_with_all_its_names(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(os.urandom(100_000))
    second.hardlink_to(first)
    assert measure([str(first)]) == 0
    assert measure([str(first), str(second)]) == blocks(first)
    assert measure([str(first), str(first)]) == 0, "one name twice is one name"


def test_folders_and_long_links_count_and_what_is_gone_does_not(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to("x" * 3000)
    gone = str(tmp_path / "gone")
    assert measure([str(link), gone], [str(folder), gone]) == blocks(link, folder)


def test_the_target_of_a_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(os.urandom(100_000))
    link.symlink_to(target)
    assert measure([str(link)]) == blocks(link) < blocks(target)
