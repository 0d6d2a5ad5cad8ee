"""Which payloads are one file seen through several mounts, by what the index has of them."""

from __future__ import annotations

from typing import Any

import pytest

from hubfold.disk.filesystem import Shows
from hubfold.duplicates.views import without_views

#: Two shares, a third device that shows the files of others, and two disks.
DISK, OTHER, FUSE, SSD, HDD = 1, 2, 3, 4, 5


def row(device: int, inode: int, times: int, folder: str) -> tuple[Any, ...]:
    """As far as `views` reads one: size, device, inode, mtime, ctime, folder."""
    return (4096, device, inode, times, times + 1, folder.encode())


def shown(folder: str) -> Shows:
    kinds = {"fuse": Shows.OTHERS, "ssd": Shows.OWN, "hdd": Shows.OWN}
    return kinds.get(folder.split("/")[1], Shows.MAYBE_TWICE)


def kept(*rows: tuple[Any, ...]) -> list[str]:
    payloads = {(one[1], one[2]): [one] for one in rows}
    found = without_views(payloads, shown)
    return sorted(str(names[0][5], "utf-8") for names in found.values())


def test_the_file_itself_stays_and_its_view_goes_whatever_their_names() -> None:
    assert kept(row(FUSE, 7, 10, "/fuse"), row(DISK, 7, 10, "/real")) == ["/real"]
    assert kept(row(FUSE, 99, 10, "/fuse"), row(DISK, 7, 10, "/a")) == ["/a"], "its inode number is its own"


def test_a_share_mounted_twice_has_the_same_inode_numbers() -> None:
    assert kept(row(DISK, 7, 10, "/b"), row(OTHER, 7, 10, "/a")) == ["/a"]


def test_two_disks_never_show_one_file_whatever_its_numbers() -> None:
    assert kept(row(SSD, 7, 10, "/ssd"), row(HDD, 7, 10, "/hdd")) == ["/hdd", "/ssd"]
    assert kept(row(SSD, 7, 10, "/ssd"), row(OTHER, 7, 10, "/share")) == ["/share"], (
        "a disk mounted as a share too"
    )


@pytest.mark.parametrize(
    "other",
    [row(FUSE, 7, 20, "/fuse"), row(OTHER, 8, 10, "/other"), row(DISK, 8, 10, "/copy")],
    ids=["other times", "no stacked file system, another inode", "a copy made in the same tick"],
)
def test_what_only_looks_alike_stays(other: tuple[Any, ...]) -> None:
    assert len(kept(row(DISK, 7, 10, "/real"), other)) == 2


def test_two_files_and_the_views_of_both() -> None:
    rows = [
        row(DISK, 7, 10, "/one"),
        row(DISK, 8, 20, "/two"),
        row(FUSE, 7, 10, "/fuse/one"),
        row(FUSE, 8, 20, "/fuse/two"),
    ]
    assert kept(*rows) == ["/one", "/two"]
