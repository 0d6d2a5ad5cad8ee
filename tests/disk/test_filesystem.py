"""What a file system allows, found out without writing to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.disk import filesystem
from hubfold.disk.filesystem import FileSystem, FileSystems, link_text

HERE = FileSystem("/", 1, "ext4")


def test_a_directory_lies_on_the_mount_above_it(tmp_path: Path) -> None:
    found = FileSystems().of(str(tmp_path))
    above = [folder for folder in (tmp_path, *tmp_path.resolve().parents) if os.path.ismount(folder)]
    assert found.mount == str(above[0])
    assert found.device == tmp_path.stat().st_dev
    assert found.kind
    assert not found.read_only


def test_a_way_through_a_symlink_is_where_it_leads(tmp_path: Path, other_drive: Path) -> None:
    (tmp_path / "way").symlink_to(other_drive)
    systems = FileSystems()
    assert systems.of(str(tmp_path / "way")) == systems.of(str(other_drive))
    assert not systems.of(str(tmp_path)).links_to(systems.of(str(other_drive)))


def test_each_directory_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systems = FileSystems()
    first = systems.of(str(tmp_path))
    monkeypatch.setattr(os, "stat", None)
    assert systems.of(str(tmp_path)) is first


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileSystems().of(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (FileSystem("/", 1, "ext4"), True),
        (FileSystem("/", 2, "ext4"), False),
        # A bind mount of the same device: the kernel refuses.
        (FileSystem("/mnt", 1, "ext4"), False),
    ],
)
def test_hard_links_stay_within_a_device_and_a_mount(other: FileSystem, expected: bool) -> None:
    assert HERE.links_to(other) is expected
    assert not FileSystem("/", 1, "vfat", hardlink=False).links_to(HERE)


def test_extents_are_shared_within_a_pool_and_never_where_there_is_none() -> None:
    one, other = FileSystem("/a", 1, "btrfs", "btrfs:x"), FileSystem("/b", 2, "btrfs", "btrfs:x")
    assert one.shares_with(other)
    assert not one.shares_with(FileSystem("/c", 3, "btrfs", "btrfs:y"))
    assert not HERE.shares_with(HERE)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"1 2 8:1 / / rw shared:1 - ext4 /dev/a rw\n", {"/": ("ext4", "/dev/a")}),
        # The topmost of several on one point; a name with a blank, a tab and a backslash.
        (
            b"1 2 8:1 / /a rw - ext4 /dev/a rw\n3 4 0:5 / /a rw - tmpfs tmpfs rw\n",
            {"/a": ("tmpfs", "tmpfs")},
        ),
        (
            rb"1 2 8:1 / /my\040disk\011x\134y rw master:1 shared:2 - vfat /dev/b ro" + b"\n",
            {"/my disk\tx\\y": ("vfat", "/dev/b")},
        ),
        (b"1 2 8:1 / /\xff rw - fuse.exfat /dev/c rw\n", {"/\udcff": ("fuse.exfat", "/dev/c")}),
    ],
)
def test_mounts_are_read_as_the_kernel_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: bytes, expected: dict[str, tuple[str, str]]
) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(lines)
    really = open
    monkeypatch.setattr(
        "builtins.open", lambda path, *rest: really(table if path == "/proc/self/mountinfo" else path, *rest)
    )
    found = filesystem._mounts()
    monkeypatch.undo()
    assert found == expected


@pytest.mark.parametrize("kind", ["vfat", "exfat", "fuse.exfat-fuse"])
def test_some_file_systems_have_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(filesystem, "_mounts", lambda: {str(tmp_path.resolve()): (kind, "")})
    found = FileSystems().of(str(tmp_path))
    assert (found.hardlink, found.symlink) == (False, False)


def test_a_link_within_a_file_system_is_relative_so_that_it_can_be_mounted_elsewhere(tmp_path: Path) -> None:
    here = tmp_path.resolve()
    (here / "models/deep").mkdir(parents=True)
    (here / "vault").mkdir()
    text = link_text(str(here / "models/deep/m"), str(here / "vault/ab/not made yet"), FileSystems())
    assert text == "../../vault/ab/not made yet"
    # From where the folder really lies.
    (here / "short").symlink_to("models/deep")
    assert link_text(str(here / "short/m"), str(here / "vault/ab/x"), FileSystems()) == "../../vault/ab/x"


def test_a_link_to_another_file_system_is_absolute(tmp_path: Path, other_drive: Path) -> None:
    target = other_drive.resolve() / "objects/x"
    assert link_text(str(tmp_path / "m"), str(target), FileSystems()) == str(target)


def test_a_link_that_is_itself_the_target_is_not_followed(tmp_path: Path) -> None:
    here = tmp_path.resolve()
    (here / "a").mkdir()
    (here / "object").symlink_to("elsewhere")
    assert link_text(str(here / "a/m"), str(here / "object"), FileSystems()) == "../object"


def test_a_link_that_has_to_be_relative_is_so_to_another_file_system(tmp_path: Path) -> None:
    known = FileSystems()
    link = str(tmp_path / "link")
    assert link_text(link, "/proc/version", known) == "/proc/version"
    text = link_text(link, "/proc/version", known, relative=True)
    assert not os.path.isabs(text) and os.path.normpath(tmp_path / text) == "/proc/version"
