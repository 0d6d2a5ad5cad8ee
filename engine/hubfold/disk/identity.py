"""Which file system a path is on, told by what that is: not by where it is mounted, nor by its device number.

An identity is text: ``<kind>:<UUID, 32 hex>``, for btrfs with ``#<subvolume id>`` after it. A file system without a
UUID is known by what mountinfo calls its source (a share, a device), an overlay by its upper layer. One that has
nothing of its own (a FUSE program without a source, no ``/proc``) has the identity "", which is equal to none.

Sources: linux/fs.h (FS_IOC_GETFSUUID, Linux 6.9), linux/ext4.h, xfs_fs.h, linux/btrfs.h, proc_pid_mountinfo(5).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from hubfold.disk import open_flags
from hubfold.disk.paths import within

if sys.platform != "win32":
    import fcntl

_MOUNTS = "/proc/self/mountinfo"
_BY_UUID = "/dev/disk/by-uuid"
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")

_FS_IOC_GETFSUUID = 0x80111500  # _IOR(0x15, 0, struct fsuuid2): length, then 16 bytes
_EXT4_IOC_GETFSUUID = 0x8008662C  # _IOR('f', 44, struct fsuuid): length wanted, flags, then 16 bytes
_XFS_IOC_FSGEOMETRY_V1 = 0x80705864  # _IOR('X', 100, struct xfs_fsop_geom_v1): UUID at offset 64
_BTRFS_IOC_FS_INFO = 0x8400941F  # _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args): UUID at offset 16
_BTRFS_IOC_INO_LOOKUP = 0xD0009412  # _IOWR(0x94, 18, struct btrfs_ioctl_ino_lookup_args): tree id, inode
_BTRFS_FIRST_FREE_OBJECTID = 256  # of this inode no privilege is needed to ask the tree id

#: Kinds that hold no user's files; opening one may start something (autofs) or mean nothing.
_PSEUDO = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    ]
)


_EXT = frozenset({"ext2", "ext3", "ext4"})
_WITH_UUID = _EXT | {
    "bcachefs",
    "btrfs",
    "f2fs",
    "gfs2",
    "jfs",
    "nilfs2",
    "ocfs2",
    "reiserfs",
    "tmpfs",
    "xfs",
}


class Location(NamedTuple):
    """Where something lies, so that it is found again when its file system is mounted elsewhere."""

    #: The identity of the file system; "" where it has none.
    filesystem: str = ""
    #: The path from the root of the file system, whatever part of that is mounted; for btrfs from its top level.
    inside: str = ""

    def __bool__(self) -> bool:
        return bool(self.filesystem)

    def child(self, name: str) -> Location:
        return Location(self.filesystem, os.path.join(self.inside, name)) if self else self


class Mount(NamedTuple):
    """A line of mountinfo."""

    number: int
    point: str
    #: The folder of the file system that is mounted, "/" but for bind mounts and subvolumes.
    root: str
    kind: str
    source: str
    options: str


@dataclass(slots=True)
class Mounts:
    """The mounts of this process at one time; what was mounted since is not known to it."""

    _by_number: dict[int, Mount] = field(default_factory=dict)
    _uuids: dict[int, str] = field(default_factory=dict)

    @classmethod
    def now(cls) -> Mounts:
        return cls({mount.number: mount for mount in _read_mounts()})

    def location(self, folder: str) -> Location:
        """Where an existing folder lies; empty where that cannot be told. Symlinks are followed."""
        try:
            fd = os.open(folder, open_flags.DIRECTORY)
        except OSError:
            return self._from_above(folder)
        try:
            mount = self._by_number.get(_mount_number(fd), None)
            if mount is None:
                return Location()
            return Location(self._identity(fd, mount), _inside(mount, os.path.realpath(folder)))
        finally:
            os.close(fd)

    def _from_above(self, folder: str) -> Location:
        """Of a folder that may be entered but not listed: by the one above it, on the same device."""
        real = os.path.realpath(folder)
        above = os.path.dirname(real)
        try:
            if above == real or os.stat(above).st_dev != os.stat(real).st_dev:
                return Location()
        except OSError:
            return Location()
        return self.location(above).child(os.path.basename(real))

    def of(self, path: str) -> Location:
        """Where `path` itself lies, be it there or not, a link or not; its folder has to exist."""
        folder, name = os.path.split(path)
        return self.location(folder).child(name)

    def paths(self, location: Location) -> Iterator[str]:
        """Where `location` would be, by each mount of its file system; below a mount something else may be mounted."""
        for mount in self._of(location.filesystem):
            if within(location.inside, mount.root):
                yield os.path.normpath(
                    os.path.join(mount.point, os.path.relpath(location.inside, mount.root))
                )

    def ways(self, location: Location, base: str) -> Iterator[tuple[str, list[str]]]:
        """As (folder, names below it), the ways to `location` from `base`, a folder above it inside its file system.

        Where less than `base` is mounted, from the mount point.
        """
        for mount in self._of(location.filesystem):
            if within(location.inside, mount.root):
                start = base if within(base, mount.root) else mount.root
                folder = os.path.normpath(os.path.join(mount.point, os.path.relpath(start, mount.root)))
                yield folder, os.path.relpath(location.inside, start).split(os.sep)

    def has(self, filesystem: str) -> bool:
        """Whether a file system is mounted, some part of it at least."""
        return any(True for _ in self._of(filesystem))

    def _of(self, filesystem: str) -> Iterator[Mount]:
        kind, wanted = filesystem.partition(":")[0], volume(filesystem)
        for mount in self._by_number.values():
            if mount.kind == kind and filesystem and self._at(mount, wanted) == wanted:
                yield mount

    def _at(self, mount: Mount, wanted: str) -> str:
        """The identity of a mount without its subvolume, if it may be `wanted`; "" where another mount hides it.

        What is known by name is not opened for nothing: the server of a share may not answer.
        """
        if mount.number in self._uuids:
            return self._uuids[mount.number]
        if not _has_uuid(mount.kind) and _by_name(mount) != wanted:
            return ""
        try:
            fd = os.open(mount.point, open_flags.DIRECTORY)
        except OSError:
            return _by_name(mount)
        try:
            if _mount_number(fd) != mount.number:
                return ""
            return volume(self._identity(fd, mount))
        finally:
            os.close(fd)

    def _identity(self, fd: int, mount: Mount) -> str:
        if mount.number not in self._uuids:
            uuid = _uuid(fd, mount.kind) if _has_uuid(mount.kind) else ""
            self._uuids[mount.number] = f"{mount.kind}:{uuid}" if uuid else _by_name(mount)
        found = self._uuids[mount.number]
        return f"{found}#{_subvolume(fd)}" if found and mount.kind == "btrfs" else found

    def root(self) -> Mount | None:
        """The mount at ``/``, the topmost one."""
        at_root = [mount for mount in self._by_number.values() if mount.point == "/"]
        return at_root[-1] if at_root else None


class FileSystemNames:
    """What file systems are called where device numbers mean nothing: between hosts and mount namespaces.

    By their identity; one that has none by this boot of the kernel and its device number, which tells it from others
    on this machine alone. One use: a device number may belong to another file system later.
    """

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts
        self._boot = boot_id() or platform.node()
        self._known: dict[int, str] = {}

    @classmethod
    def now(cls) -> FileSystemNames:
        return cls(Mounts.now())

    def of(self, path: str, device: int) -> str:
        """The file system of the file at `path`, which has this device number here."""
        if device not in self._known:
            folder = os.path.dirname(path)
            try:
                at = folder if os.stat(folder).st_dev == device else ""
            except OSError:
                at = ""
            # A file alone can be mounted, too.
            self._known[device] = self._name(at, device)
        return self._known[device]

    def of_folder(self, folder: str, device: int) -> str:
        """The file system of a folder, which has this device number here."""
        if device not in self._known:
            self._known[device] = self._name(folder, device)
        return self._known[device]

    def _name(self, folder: str, device: int) -> str:
        found = self._mounts.location(folder).filesystem if folder else ""
        return found or f"device:{self._boot}:{device}"


class Placed(NamedTuple):
    """A root, vault or mount point, and where it lay when it was looked at; empty where that cannot be told."""

    path: str
    at: Location
    #: Of the folder itself; 0 where it was not there yet.
    inode: int
    #: The id of a vault, "" for anything else.
    vault: str = ""

    def as_record(self) -> dict[str, str | int]:
        return {
            "path": self.path,
            "fs": self.at.filesystem,
            "inside": self.at.inside,
            "inode": self.inode,
            "vault": self.vault,
        }

    def is_at(self, path: str, mounts: Mounts) -> bool:
        """Whether `path` is this very folder, wherever it is named now."""
        try:
            inode = os.stat(path).st_ino
        except OSError:
            return False
        here = mounts.location(path).filesystem if self.at and inode == self.inode else ""
        return bool(here) and volume(here) == volume(self.at.filesystem)


def place_of(path: str, mounts: Mounts, vault: str = "") -> Placed:
    """Where a root, vault or mount point lies; of a missing one, that it is missing."""
    inode = 0
    with suppress(OSError):
        inode = os.stat(path).st_ino
    return Placed(path, mounts.location(path) if inode else Location(), inode, vault)


def volume(filesystem: str) -> str:
    """An identity without its subvolume: subvolumes are mounted, and moved about, together."""
    return filesystem.partition("#")[0] if filesystem.startswith("btrfs:") else filesystem


def same_place(one: Location, other: Location) -> bool:
    """Whether two locations are one, be it in another subvolume."""
    return bool(one) and volume(one.filesystem) == volume(other.filesystem) and one.inside == other.inside


def _read_mounts() -> Iterator[Mount]:
    with suppress(OSError), open(_MOUNTS, "rb") as lines:
        for line in lines:
            before, _, after = line.partition(b" - ")
            number, _, _, root, point, *_ = map(_unescaped, before.split())
            kind, source, options, *_ = *map(_unescaped, after.split()), "", ""
            if kind not in _PSEUDO:
                yield Mount(
                    number=int(number), point=point, root=root, kind=kind, source=source, options=options
                )


def _unescaped(word: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), word))


def _mount_number(fd: int) -> int:
    """The id, in mountinfo, of the mount that an open file was reached by; -1 where it is not told."""
    with suppress(OSError, ValueError), open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
        for line in lines:
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    return -1


def _inside(mount: Mount, real: str) -> str:
    return os.path.normpath(os.path.join(mount.root, os.path.relpath(real, mount.point)))


def _by_name(mount: Mount) -> str:
    """The identity of a file system without a UUID."""
    if mount.kind == "overlay":
        layers = dict(option.partition("=")[::2] for option in mount.options.split(","))
        layer = layers.get("upperdir") or layers.get("lowerdir", "")
        return f"overlay:{hashlib.sha256(os.fsencode(layer)).hexdigest()[:32]}" if layer else ""
    named = "/" in mount.source or ":" in mount.source or mount.kind == "zfs"
    return f"{mount.kind}:{_serial(mount.source) or mount.source}" if named else ""


def _has_uuid(kind: str) -> bool:
    """Whether file systems of this kind are known by a UUID of their own."""
    return kind in _WITH_UUID


def _serial(source: str) -> str:
    """The serial number by which udev knows a device whose file system has no UUID of 128 bits."""
    with suppress(OSError):
        device = os.stat(source).st_rdev
        for name in sorted(os.listdir(_BY_UUID)) if device else ():
            with suppress(OSError):
                if os.stat(os.path.join(_BY_UUID, name)).st_rdev == device:
                    return name
    return ""


def _uuid(fd: int, kind: str) -> str:
    """The UUID of the file system of an open folder as 32 hex; "" where there is none, or one of zeros."""
    asked = {
        "": (_FS_IOC_GETFSUUID, 17, 1, b""),
        "ext4": (_EXT4_IOC_GETFSUUID, 24, 8, struct.pack("=II", 16, 0)),
        "xfs": (_XFS_IOC_FSGEOMETRY_V1, 112, 64, b""),
        "btrfs": (_BTRFS_IOC_FS_INFO, 1024, 16, b""),
    }
    for name in ("", "ext4" if kind in _EXT else kind):
        if name in asked:
            request, size, offset, before = asked[name]
            buffer = bytearray(before.ljust(size, b"\0"))
            with suppress(OSError):
                fcntl.ioctl(fd, request, buffer)
                uuid = bytes(buffer[offset : offset + 16])
                if any(uuid):
                    return uuid.hex()
    return ""


def _subvolume(fd: int) -> int:
    """The id of the btrfs subvolume that an open folder lies in; 0 where it is not told."""
    buffer = bytearray(struct.pack("=QQ", 0, _BTRFS_FIRST_FREE_OBJECTID).ljust(4096, b"\0"))
    try:
        fcntl.ioctl(fd, _BTRFS_IOC_INO_LOOKUP, buffer)
    except OSError:
        return 0
    return int(struct.unpack_from("=Q", buffer)[0])


# -- machines --------------------------------------------------------------------------------------------------------


class Machine(NamedTuple):
    """A host or a container: `id` tells it from others, `name` is for people."""

    id: str
    name: str


def this_machine(mounts: Mounts) -> Machine:
    """By its machine id, hashed as machine-id(5) asks for, and by what a container has of its own as its root.

    Without a machine id, by what its root is and by this boot.
    """
    number = next((found for path in _MACHINE_IDS if _MACHINE_ID.fullmatch(found := _line(path))), "")
    root = mounts.root()
    parts = [number]
    if root is not None and root.kind == "overlay":
        parts.append(_by_name(root))
    elif root is not None and root.kind != "btrfs":  # there a rollback gives a machine another root
        parts.append(root.root)
    if not number:
        parts += [boot_id(), mounts.location("/").filesystem, platform.node()]
    text = "\0".join(["hubfold", *parts])
    return Machine(hashlib.sha256(os.fsencode(text)).hexdigest()[:32], platform.node())


def boot_id() -> str:
    """Which boot of the kernel this is, as a UUID; "" where the system does not say."""
    return _line(_BOOT_ID)


def _line(path: str) -> str:
    with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        return file.readline().strip()
    return ""
