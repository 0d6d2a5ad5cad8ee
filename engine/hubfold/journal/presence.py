"""Whether what a journal speaks of can be looked at now: what is missing below a root that is away is not gone.

A journal notes of each root, vault and mount point that it relies on where it lay (``place``, `Placed`). A folder that
is missing while its root is there, on the file system that it was on, was deleted; everything else waits (`Away`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hubfold.disk.identity import Mounts, Placed, volume
from hubfold.errors import Away

Places = Mapping[str, Placed]


def check_there(places: Places, root: str, mount: str = "") -> None:
    """Raise `Away` unless what is missing below `root` can be said to be gone.

    `mount` is where the file system of the path was mounted, "" if that is not known.
    """
    known = places.get(root)
    nested = mount.startswith(os.path.join(root, ""))
    if mount and (nested or known is None or not known.at):
        if mount in places and places[mount].at:
            check_root(places, mount)
        elif not os.path.ismount(mount):
            raise Away(f"its drive is not there ({mount})")
    check_root(places, root)


def check_root(places: Places, root: str) -> None:
    """Raise `Away` unless a root is there, on the file system that it was on."""
    known = places.get(root)
    if not os.path.isdir(root):
        if known is not None and not known.inode:
            return  # it was not there then either
        raise Away(f"{root} is not there (is its drive, or its folder, away?)")
    if known is not None and known.at:
        now = Mounts.now().location(root)
        if volume(now.filesystem) != volume(known.at.filesystem):
            raise Away(f"another drive is mounted at {root} than was there")


def check_vault(places: Places, vault: str) -> None:
    """Raise `Away` unless a vault is there, or the folder that it lay in is and the vault is not."""
    if not os.path.isdir(vault):
        above = os.path.dirname(vault)
        if not os.path.isdir(above):
            raise Away(f"its vault {vault} is not there (is its drive, or its folder, away?)")
        known = places.get(vault)
        now = Mounts.now().location(above)
        if known is not None and known.at and volume(now.filesystem) != volume(known.at.filesystem):
            raise Away(f"the drive of its vault {vault} is not there")
