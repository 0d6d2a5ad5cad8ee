"""What is missing below a root that is there was deleted; where the root or its drive is away, nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.disk.identity import Location, Mounts, Placed, place_of
from hubfold.errors import Away
from hubfold.journal.presence import check_there, check_vault

OTHER = Location("ext4:" + "0" * 31 + "1", "/")


def placed(path: Path, **changes: object) -> dict[str, Placed]:
    found = place_of(str(path), Mounts.now(), "ab" * 16)
    return {str(path): found._replace(**changes)}  # type: ignore[arg-type]


def test_a_root_that_is_there_answers_for_what_is_below_it(tmp_path: Path) -> None:
    check_there(placed(tmp_path), str(tmp_path))
    check_there({}, str(tmp_path), "/")


def test_a_root_that_is_missing_answers_for_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(Away, match="is not there"):
        check_there({}, str(root), "/")
    root.mkdir()
    places = placed(root)
    root.rmdir()
    with pytest.raises(Away, match="is not there"):
        check_there(places, str(root))


def test_a_root_that_was_yet_to_be_made_is_not_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "root"
    check_there(placed(root), str(root), "/")


def test_another_drive_in_its_place_answers_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(Away, match="another drive"):
        check_there(placed(tmp_path, at=OTHER), str(tmp_path))


def test_a_drive_below_a_root_that_is_there_is_asked_too(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    with pytest.raises(Away, match="its drive is not there"):
        check_there(placed(tmp_path), str(tmp_path), str(drive))
    with pytest.raises(Away, match="another drive"):
        check_there(placed(tmp_path) | placed(drive, at=OTHER), str(tmp_path), str(drive))


def test_of_a_journal_of_an_older_version_the_mount_is_asked(tmp_path: Path) -> None:
    with pytest.raises(Away, match="its drive is not there"):
        check_there({}, str(tmp_path), str(tmp_path / "mnt"))


def test_a_vault_that_was_deleted_and_one_that_is_away(tmp_path: Path) -> None:
    vault = tmp_path / "hf/hubfold"
    vault.mkdir(parents=True)
    places = placed(vault)
    check_vault(places, str(vault))
    vault.rmdir()
    check_vault(places, str(vault))
    with pytest.raises(Away, match="the drive of its vault"):
        check_vault(placed(vault, at=OTHER, inode=1), str(vault))
    vault.parent.rmdir()
    with pytest.raises(Away, match="its vault"):
        check_vault(places, str(vault))
