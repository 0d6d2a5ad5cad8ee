"""What a file system and a machine are called, whatever they are mounted by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.disk import identity
from hubfold.disk.identity import Location, Mount, Mounts, place_of, same_place, this_machine, volume


def test_a_location_is_found_again(tmp_path: Path) -> None:
    mounts = Mounts.now()
    at = mounts.location(str(tmp_path))
    assert str(tmp_path) in mounts.paths(at) and mounts.has(at.filesystem)
    assert mounts.of(str(tmp_path / "m")) == at.child("m")
    ways = list(mounts.ways(at.child("a").child("b"), at.inside))
    assert (str(tmp_path), ["a", "b"]) in ways


def test_what_is_not_mounted_is_found_nowhere(tmp_path: Path) -> None:
    other = Location("ext4:" + "0" * 31 + "1", "/x")
    mounts = Mounts.now()
    assert list(mounts.paths(other)) == [] and not mounts.has(other.filesystem)
    assert not mounts.location(str(tmp_path / "missing"))


def test_nothing_is_told_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(identity, "_MOUNTS", str(tmp_path / "none"))
    assert not Mounts.now().location(str(tmp_path)) and Mounts.now().root() is None


def test_a_subvolume_belongs_to_its_volume() -> None:
    one, other = Location("btrfs:ab#256", "/home/m"), Location("btrfs:ab#5", "/home/m")
    assert volume(one.filesystem) == "btrfs:ab" and same_place(one, other)
    assert not same_place(one, Location("btrfs:ab#256", "/m")) and not same_place(Location(), Location())
    assert volume("nfs4:server:/a#b") == "nfs4:server:/a#b"


def mounted(monkeypatch: pytest.MonkeyPatch, folder: Path, line: str) -> Mount:
    told = folder / "mountinfo"
    told.write_text(line + "\n")
    monkeypatch.setattr(identity, "_MOUNTS", str(told))
    root = Mounts.now().root()
    assert root is not None
    return root


def test_containers_with_one_machine_id_are_two_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    id_ = tmp_path / "machine-id"
    id_.write_text("0123456789abcdef" * 2 + "\n")
    monkeypatch.setattr(identity, "_MACHINE_IDS", (str(id_),))
    found = set()
    for layer in ("one", "two"):
        line = f"1 0 0:1 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/{layer},workdir=/w"
        mount = mounted(monkeypatch, tmp_path, line)
        assert (mount.kind, mount.point) == ("overlay", "/")
        found.add(this_machine(Mounts.now()).id)
    assert len(found) == 2
    assert this_machine(Mounts.now()) == this_machine(Mounts.now())


def test_another_machine_id_is_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = this_machine(Mounts.now()).id
    id_ = tmp_path / "machine-id"
    id_.write_text("f" * 32)
    monkeypatch.setattr(identity, "_MACHINE_IDS", (str(id_),))
    assert this_machine(Mounts.now()).id != before
    assert "f" * 32 not in this_machine(Mounts.now()).id, "it is hashed"


def test_names_with_spaces_in_mountinfo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = r"1 0 0:1 /a\040b / rw,x shared:1 - nfs4 server:/x\040y rw"
    mount = mounted(monkeypatch, tmp_path, line)
    assert (mount.root, mount.source) == ("/a b", "server:/x y")


def test_a_folder_is_known_under_another_name_and_no_other_folder_is(tmp_path: Path) -> None:
    old, other = tmp_path / "old", tmp_path / "other"
    old.mkdir()
    other.mkdir()
    mounts = Mounts.now()
    placed = place_of(str(old), mounts)
    old.rename(tmp_path / "new")
    assert placed.is_at(str(tmp_path / "new"), mounts)
    assert not placed.is_at(str(other), mounts) and not placed.is_at(str(old), mounts)
    missing = place_of(str(old), mounts)
    assert missing.inode == 0 and not missing.at and not missing.is_at(str(other), mounts)
    assert os.path.isdir(other)
