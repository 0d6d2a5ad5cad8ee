"""What kind of drive a file system lies on: whether somebody may take it away, and whether it is a fast one.

Sources: sysfs, ``/sys/dev/block/<major>:<minor>`` (Documentation/ABI/stable/sysfs-block): ``removable`` of the disk,
``queue/rotational``, ``slaves`` of what is put together of others (LUKS, LVM, RAID), ``loop/backing_file``. USB disks
say that they are not removable, so the bus counts, and so does the type of a memory card.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import NamedTuple

#: Where the kernel tells of block devices by their numbers.
SYS = "/sys/dev/block"
#: Devices that lie on each other.
_DEEPEST = 8


class Drive(NamedTuple):
    """`removable`: made to be taken away. `fast`: known to have no moving parts and to be no other machine's."""

    removable: bool = False
    fast: bool = False


#: One of which nothing is known.
UNKNOWN = Drive()


def drive_of(device: int, source: str = "") -> Drive:
    """The drive of a file system by its device number, or by the device that it was mounted from where it has none of
    its own (btrfs)."""
    if not os.major(device):
        with suppress(OSError):
            st = os.stat(source)
            device = st.st_rdev if stat.S_ISBLK(st.st_mode) else 0
    return _block(device, 0) if os.major(device) else UNKNOWN


def _block(device: int, depth: int) -> Drive:
    path = os.path.realpath(os.path.join(SYS, f"{os.major(device)}:{os.minor(device)}"))
    if depth > _DEEPEST or not os.path.isdir(path):
        return UNKNOWN
    below = _below(path)
    if below:
        drives = [_block(one, depth + 1) for one in below]
        return Drive(any(one.removable for one in drives), all(one.fast for one in drives))
    # A partition is known by the disk that it is on.
    disk = path if os.path.isdir(os.path.join(path, "queue")) else os.path.dirname(path)
    by_bus = any(part.startswith("usb") for part in path.split("/"))
    removable = by_bus or _line(disk, "removable") == "1" or _line(disk, "device/type") == "SD"
    return Drive(removable, _line(disk, "queue/rotational") == "0")


def _below(path: str) -> list[int]:
    """The devices that one is made of; of a loop device, the one that its file lies on."""
    found = []
    with suppress(OSError):
        for name in os.listdir(os.path.join(path, "slaves")):
            major, _, minor = _line(path, f"slaves/{name}/dev").partition(":")
            if major.isdecimal() and minor.isdecimal():
                found.append(os.makedev(int(major), int(minor)))
    with suppress(OSError):
        file = _line(path, "loop/backing_file")
        if file:
            found.append(os.stat(file).st_dev)
    return found


def _line(folder: str, name: str) -> str:
    with suppress(OSError, ValueError), open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.readline().rstrip("\n")
    return ""
