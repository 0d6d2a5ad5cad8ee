"""What a removal frees: only what nothing else has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import IndexedReplica, Signature
from hubfold.removal import measure as measuring
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


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files of 40 KiB: two share 12 KiB of the disk, and the third has 8 of these, and 4 that somebody else has."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(os.urandom(40960))
    shared = {paths[0]: (0, 12288), paths[1]: (0, 12288), paths[2]: (4096, 12288)}
    monkeypatch.setattr(measuring, "shared_ranges", lambda path, st: [shared[Path(path)]])
    return paths


def alike(*paths: Path) -> list[IndexedReplica]:
    found = []
    for path in paths:
        st = os.stat(path)
        found.append(
            IndexedReplica(
                str(path), "/", "plain", Signature.of(st), st.st_blocks * 512, 1, 0o644, 0, 0, {}, {}
            )
        )
    return found


def test_extents_count_once_where_all_that_have_them_go(three: list[Path]) -> None:
    first, second, third = map(str, three)
    whole = blocks(three[0])
    assert measure([first]) == whole - 12288, "somebody else has the rest"
    assert measure([first, second]) == 2 * whole - 12288
    assert measure([first, second, third]) == 3 * whole - 12288 - 8192


def test_extents_that_a_known_file_has_which_stays_do_not_count(three: list[Path]) -> None:
    first, second, _ = map(str, three)
    freed = measure([first, second], same=lambda path, st: alike(*three))
    assert freed == 2 * blocks(three[0]) - 2 * 8192 - 4096
    changed = alike(*three)
    three[2].write_bytes(b"another")
    assert measure([first, second], same=lambda path, st: changed) == 2 * blocks(three[0]) - 12288
