"""What kind of drive a device is, by a sysfs made for the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.disk import drives
from hubfold.disk.drives import UNKNOWN, Drive, drive_of


class Sysfs:
    """Block devices as the kernel lists them: links by number to where each is plugged in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "by-number").mkdir(parents=True)

    def disk(self, number: str, at: str, **told: str) -> Path:
        path = self.folder / "devices" / at
        (path / "queue").mkdir(parents=True)
        (path / "removable").write_text(told.get("removable", "0") + "\n")
        (path / "queue/rotational").write_text(told.get("rotational", "1") + "\n")
        if "type" in told:
            (path / "device").mkdir()
            (path / "device/type").write_text(told["type"] + "\n")
        self._number(number, path)
        return path

    def partition(self, number: str, disk: Path) -> None:
        path = disk / f"{disk.name}1"
        path.mkdir()
        self._number(number, path)

    def mapped(self, number: str, *slaves: tuple[str, Path]) -> None:
        path = self.folder / "devices/virtual/block" / f"dm-{number}"
        (path / "queue").mkdir(parents=True)
        (path / "removable").write_text("0\n")
        (path / "queue/rotational").write_text("0\n")
        (path / "slaves").mkdir()
        for of, slave in slaves:
            (slave / "dev").write_text(f"{of}\n")
            (path / "slaves" / slave.name).symlink_to(slave)
        self._number(number, path)

    def _number(self, number: str, path: Path) -> None:
        (self.folder / "by-number" / number).symlink_to(path)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    made = Sysfs(tmp_path / "sys")
    monkeypatch.setattr(drives, "SYS", str(tmp_path / "sys/by-number"))
    return made


@pytest.mark.parametrize(
    ("at", "told", "drive"),
    [
        ("pci/ata1/block/sda", {}, Drive()),
        ("pci/nvme0/nvme0n1", {"rotational": "0"}, Drive(fast=True)),
        ("pci/usb2/2-1/host6/block/sdb", {}, Drive(removable=True)),
        ("pci/usb2/2-1/host6/block/sdb", {"rotational": "0"}, Drive(removable=True, fast=True)),
        ("pci/ata2/block/sr0", {"removable": "1"}, Drive(removable=True)),
        ("pci/mmc_host/mmc0/block/mmcblk0", {"type": "SD", "rotational": "0"}, Drive(True, True)),
        ("pci/mmc_host/mmc1/block/mmcblk1", {"type": "MMC", "rotational": "0"}, Drive(fast=True)),
    ],
)
def test_a_disk_and_its_partitions(sysfs: Sysfs, at: str, told: dict[str, str], drive: Drive) -> None:
    disk = sysfs.disk("8:16", at, **told)
    sysfs.partition("8:17", disk)
    assert drive_of(os.makedev(8, 16)) == drive_of(os.makedev(8, 17)) == drive


def test_what_is_made_of_others_is_removable_if_one_is_and_fast_if_all_are(sysfs: Sysfs) -> None:
    inside = sysfs.disk("8:0", "pci/ata1/block/sda", rotational="0")
    outside = sysfs.disk("8:16", "pci/usb1/block/sdb", rotational="1")
    sysfs.mapped("253:0", ("8:0", inside))
    sysfs.mapped("253:1", ("8:0", inside), ("8:16", outside))
    assert drive_of(os.makedev(253, 0)) == Drive(fast=True)
    assert drive_of(os.makedev(253, 1)) == Drive(removable=True)


def test_a_file_that_is_mounted_lies_on_the_drive_that_it_is_on(sysfs: Sysfs, tmp_path: Path) -> None:
    loop = sysfs.disk("7:0", "virtual/block/loop0", rotational="0")
    (tmp_path / "image").touch()
    (loop / "loop").mkdir()
    (loop / "loop/backing_file").write_text(f"{tmp_path / 'image'}\n")
    assert drive_of(os.makedev(7, 0)) == UNKNOWN, "the kernel made for the test knows no more of that"


def test_what_is_no_block_device_is_not_known(sysfs: Sysfs, tmp_path: Path) -> None:
    assert drive_of(0, str(tmp_path)) == drive_of(os.makedev(0, 45), "host:/share") == UNKNOWN
    assert drive_of(os.makedev(99, 9)) == UNKNOWN


def test_devices_that_lie_on_each_other_in_a_circle_end(sysfs: Sysfs) -> None:
    sysfs.mapped("253:0")
    one = sysfs.folder / "devices/virtual/block/dm-253:0"
    (one / "dev").write_text("253:0\n")
    (one / "slaves/itself").symlink_to(one)
    assert drive_of(os.makedev(253, 0)) == UNKNOWN


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    assert isinstance(drive_of(os.stat(tmp_path).st_dev), Drive)
