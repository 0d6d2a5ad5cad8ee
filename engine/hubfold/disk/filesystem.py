"""What the file system at a directory allows, found out without writing to it.

Only a call that is made can tell for sure; what is said here is what the planner starts from, and where a link is
refused after all the executor leaves the path alone.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from contextlib import suppress
from enum import Enum
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from hubfold.disk import open_flags
from hubfold.disk.drives import UNKNOWN, Drive, drive_of
from hubfold.disk.paths import existing, plain, upwards

if TYPE_CHECKING:
    import ctypes

if sys.platform != "win32":
    import fcntl

#: File systems without hard links and symlinks, by the names in /proc/self/mountinfo.
_NO_LINKS = frozenset({"vfat", "msdos", "exfat", "fuse.fusefat", "fuse.exfat-fuse", "fuse.exfat"})

#: How many names a file may have, where a tree of models could come to that many.
_MAX_LINKS = {"ext2": 32_000, "ext3": 32_000, "ext4": 65_000, "btrfs": 65_535}
#: File systems that show files of others under numbers of their own. All of FUSE may, but what has a drive of its own
#: ("fuseblk").
_STACKED = frozenset({"overlay", "aufs", "unionfs", "ecryptfs", "shiftfs", "9p", "virtiofs"})
#: File systems of a disk or of memory: the kernel has each once, under one device number, wherever it is mounted (btrfs
#: has a number a subvolume, and a file is in one subvolume).
_ITS_OWN = frozenset(
    {
        *["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "reiserfs", "xfs", "zfs"],
        *["exfat", "msdos", "ntfs3", "vfat", "ramfs", "tmpfs"],
    }
)

#: Of file systems that other hosts may have mounted at the same time, by `f_type` of statfs(2): linux/magic.h where the
#: kernel has them, else what their clients state (Lustre's lustre_user.h, GPFS, BeeGFS, OrangeFS, PanFS, VMware's).
_SHARED_MAGIC = frozenset(
    {
        *[0x6969, 0x517B, 0xFF534D42, 0xFE534D42],  # NFS, SMB in three dialects
        *[0x0BD00BD0, 0x47504653, 0x19830326, 0x00C36400],  # Lustre, GPFS, BeeGFS, Ceph
        *[0x01161970, 0x7461636F, 0x20030528, 0xAAD7AAEA],  # GFS2, OCFS2, OrangeFS, PanFS
        *[0x5346414F, 0x6B414653, 0x73757245],  # AFS twice, Coda
        *[0x01021997, 0x786F4256, 0xBACBACBC],  # 9p, VirtualBox, VMware
    }
)
#: Has every file system taken for one that other hosts use too, for those that hubfold does not know as such.
SHARED_VARIABLE = "HUBFOLD_HOST_LOCKS"
_FUSE_MAGIC = 0x65735546
_BTRFS_MAGIC = 0x9123683E  # linux/magic.h
_XFS_MAGIC = 0x58465342
# linux/btrfs.h: _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args), fsid at offset 16
_BTRFS_IOC_FS_INFO = 0x8400941F
# xfs_fs.h: _IOR('X', 100, struct xfs_fsop_geom_v1), flags at offset 92
_XFS_IOC_FSGEOMETRY_V1 = 0x80705864
_XFS_GEOMETRY_REFLINK = 1 << 20


class Shows(Enum):
    """Whose files are seen on a file system."""

    #: Its own, and nowhere else under another device number.
    OWN = "own"
    #: Maybe those of another file system, under numbers of its own.
    OTHERS = "others"
    #: Maybe those of another one, under their inode numbers: a share mounted twice, or of a disk of ours; not known.
    MAYBE_TWICE = "maybe twice"


class FileSystem(NamedTuple):
    """The file system that holds a directory."""

    #: Where it is mounted: hard links do not cross mounts, not even bind mounts of one device.
    mount: str
    device: int
    kind: str
    #: Equal for two places that can share extents (btrfs subvolumes have devices of their own); "" where none can.
    pool: str = ""
    hardlink: bool = True
    symlink: bool = True
    read_only: bool = False
    drive: Drive = UNKNOWN

    @property
    def max_links(self) -> int | None:
        """How many names a file may have; None where that is no matter, or not known."""
        return _MAX_LINKS.get(self.kind)

    @property
    def shows(self) -> Shows:
        if self.kind in _STACKED or self.kind.partition(".")[0] == "fuse":
            return Shows.OTHERS
        return Shows.OWN if self.kind in _ITS_OWN else Shows.MAYBE_TWICE

    def links_to(self, other: FileSystem) -> bool:
        """Whether a hard link between the two is possible."""
        return self.hardlink and self.device == other.device and self.mount == other.mount

    def shares_with(self, other: FileSystem) -> bool:
        """Whether files on the two can share extents."""
        return self.pool != "" and self.pool == other.pool


class FileSystems:
    """Looks file systems up by directory, each directory once; what is mounted is read once, when first asked."""

    def __init__(self) -> None:
        self._known: dict[str, FileSystem] = {}
        self._drives: dict[int, Drive] = {}

    def of(self, directory: str) -> FileSystem:
        """The file system of an existing directory; `OSError` if it cannot be asked."""
        if directory not in self._known:
            self._known[directory] = self._look(directory)
        return self._known[directory]

    def at(self, path: str) -> FileSystem:
        """The file system that a folder `path` is on, or would be on if it was made; `OSError`."""
        return self.of(existing(path))

    @cached_property
    def _mounts(self) -> dict[str, tuple[str, str]]:
        return _mounts()

    def _look(self, directory: str) -> FileSystem:
        device = os.stat(directory).st_dev
        if sys.platform == "win32":
            return FileSystem(os.path.splitdrive(os.path.realpath(directory))[0], device, "")
        real = os.path.realpath(directory)
        mount = next((folder for folder in upwards(real) if folder in self._mounts), "/")
        kind, source = self._mounts.get(mount, ("", ""))
        mounted = os.statvfs(directory).f_flag
        links = kind not in _NO_LINKS
        return FileSystem(
            mount=mount,
            device=device,
            kind=kind,
            pool=_pool(real, device),
            hardlink=links,
            symlink=links,
            read_only=bool(mounted & os.ST_RDONLY),
            drive=self._drive(device, source),
        )

    def _drive(self, device: int, source: str) -> Drive:
        if device not in self._drives:
            self._drives[device] = drive_of(device, source)
        return self._drives[device]


def link_text(link: str, target: str, filesystems: FileSystems, *, relative: bool = False) -> str:
    """The text of a symlink at `link` to `target`; the directory of `link` has to exist.

    Relative within one file system, so that it can be mounted elsewhere as a whole; absolute across, unless it has to
    be `relative`.
    """
    here = os.path.realpath(os.path.dirname(link))
    there = plain(target)
    together = relative or filesystems.of(here).links_to(filesystems.at(os.path.dirname(there)))
    return os.path.relpath(there, here) if together else there


def _mounts() -> dict[str, tuple[str, str]]:
    """Mount point to (file-system type, source), the topmost of several mounts on one point (proc_pid_mountinfo(5))."""
    found: dict[str, tuple[str, str]] = {}
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            before, _, after = line.partition(b" - ")
            kind, source, *_ = *map(_unescaped, after.split()), ""
            found[_unescaped(before.split()[4])] = kind, source
    return found


def _unescaped(word: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), word))


def _pool(directory: str, device: int) -> str:
    """A name for what shares extents with `directory`, "" where nothing can."""
    if sys.platform != "linux":
        return ""
    try:
        fd = os.open(directory, open_flags.DIRECTORY)
    except OSError:
        return ""
    try:
        magic = _magic(fd)
        if magic == _BTRFS_MAGIC:
            return _btrfs_id(fd)
        if magic == _XFS_MAGIC and _xfs_has_reflinks(fd):
            return f"xfs:{device}"
        return ""
    finally:
        os.close(fd)


def _magic(fd: int) -> int:
    """`f_type` of statfs(2), which `os.statvfs` does not give."""
    import ctypes

    buffer = ctypes.create_string_buffer(256)
    if _libc().fstatfs(fd, buffer) != 0:
        return 0
    (magic,) = struct.unpack_from("=q" if ctypes.sizeof(ctypes.c_long) == 8 else "=i", buffer)
    return int(magic) & 0xFFFFFFFF


def reaches_other_hosts(folder: str) -> bool:
    """Whether other hosts may have the file system of an existing folder mounted too, so that flock may not reach them.

    What FUSE and virtiofs show counts, unless it lies on a block device: only its program knows what is behind it.
    """
    if os.environ.get(SHARED_VARIABLE):
        return True
    if sys.platform != "linux":
        return False
    try:
        fd = os.open(folder, open_flags.DIRECTORY)
    except OSError:
        return False
    try:
        magic = _magic(fd)
        return magic in _SHARED_MAGIC or (magic == _FUSE_MAGIC and not os.major(os.fstat(fd).st_dev))
    finally:
        os.close(fd)


@cache
def _libc() -> ctypes.CDLL:
    # Made once: this makes a class each time, and is asked of every folder.
    import ctypes

    return ctypes.CDLL(None)


def _btrfs_id(fd: int) -> str:
    buffer = bytearray(1024)
    try:
        fcntl.ioctl(fd, _BTRFS_IOC_FS_INFO, buffer)
    except OSError:
        return ""
    return "btrfs:" + buffer[16:32].hex()


def _xfs_has_reflinks(fd: int) -> bool:
    buffer = bytearray(112)
    try:
        fcntl.ioctl(fd, _XFS_IOC_FSGEOMETRY_V1, buffer)
    except OSError:
        return False
    return bool(struct.unpack_from("=I", buffer, 92)[0] & _XFS_GEOMETRY_REFLINK)
