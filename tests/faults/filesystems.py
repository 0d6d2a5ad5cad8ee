"""Real file systems for tests: loop images, small tmpfs, vfat, exFAT, bind mounts, overlays, drives that go away.

Everything here asks the machine first and raises `Unavailable` with the reason where it cannot be had (not root, no
loop device, no ``mkfs``, a kernel without the file system); the fixtures of `conftest` turn that into a skip. Whatever
was mounted is unmounted by `Mounts.close`, lazily if need be, and at the exit of the interpreter should a test die
before its clean-up.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubfold.reading import extents
from tests.building import device_numbers
from tests.building.waiting import PATIENCE

MIB = 1 << 20
_MEMORY = "/dev/shm"

#: How to make each kind of image, and the smallest size (bytes) at which its `mkfs` is content.
MKFS: dict[str, tuple[tuple[str, ...], int]] = {
    "ext4": (("mkfs.ext4", "-q", "-F"), 64 * MIB),
    "xfs": (("mkfs.xfs", "-q", "-f", "-m", "reflink=1"), 300 * MIB),
    "xfs-noreflink": (("mkfs.xfs", "-q", "-f", "-m", "reflink=0"), 300 * MIB),
    "btrfs": (("mkfs.btrfs", "-q", "-f", "-d", "single"), 160 * MIB),
}
#: File systems on which extents can be shared.
REFLINKS = frozenset({"xfs", "btrfs"})


class Unavailable(Exception):
    """This machine cannot make what the test needs; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mount: where it is seen and what is behind it (`image` and `device` only for loop images)."""

    path: str
    kind: str
    image: str | None = None
    device: str | None = None


def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a system tool; its own message is in the error."""
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
    if check and done.returncode != 0:
        raise Unavailable(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done


def need_root() -> None:
    if os.geteuid() != 0:
        raise Unavailable("mounting needs root")


def need(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise Unavailable(f"{tool} is not installed")


def mount_points(below: str) -> list[str]:
    """Mount points at or below `below`, deepest and newest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = line.split(" ")[4].encode(errors="surrogateescape").decode("unicode_escape")
        if point == below or point.startswith(below.rstrip("/") + "/"):
            found.append(point)
    return found[::-1]


def unmount(path: str) -> None:
    """Unmount `path`: politely, then for a while again (a killed process may still hold it), then lazily."""
    for pause in (0.0, 0.02, 0.1, 0.3, 1.0, 3.0):
        time.sleep(pause)
        done = run("umount", path, check=False)
        if done.returncode == 0 or "not mounted" in done.stderr or not os.path.lexists(path):
            return
    run("umount", "-l", path, check=False)


class Mounts:
    """Makes mounts below one folder and takes all of them away again."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._count = 0
        self._loops: list[str] = []
        self._numbered = False
        #: Where images lie: in memory if there is room, since every fsync would wait for a real disk otherwise.
        self._store = base
        with contextlib.suppress(OSError):
            if shutil.disk_usage(_MEMORY).free > 4 << 30:
                self._store = Path(tempfile.mkdtemp(prefix="hubfold-images-", dir=_MEMORY))
        atexit.register(self.close)

    def close(self) -> None:
        """Unmount and detach whatever is left; safe to call twice."""
        for point in mount_points(str(self.base)):
            unmount(point)
        for device in self._loops:
            run("losetup", "-d", device, check=False)
        self._loops.clear()
        if self._numbered:
            self._numbered = False
            device_numbers.give()
        if self._store != self.base:
            shutil.rmtree(self._store, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Mounts:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _takes_a_number(self) -> None:
        """Wait until no other process has file systems without a device; none has until this is closed."""
        if not self._numbered:
            device_numbers.take()
            self._numbered = True

    def place(self, name: str | None = None) -> str:
        """A new empty directory to mount on."""
        self._count += 1
        path = self.base / (name or f"m{self._count}")
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def _new_image(self, kind: str, size: int) -> str:
        self._count += 1
        self._store.mkdir(parents=True, exist_ok=True)
        image = str(self._store / f"{kind}-{self._count}.img")
        with open(image, "wb") as file:
            file.truncate(size)
        return image

    def image(self, kind: str, size: int = 0, at: str | None = None) -> Mounted:
        """A new file system of `kind` in an image of at least `size` bytes, mounted."""
        need_root()
        argv, smallest = MKFS[kind]
        need(argv[0], "losetup", "mount")
        image = self._new_image(kind, max(size, smallest))
        run(*argv, image)
        return self.attach(image, kind, at)

    def attach(self, image: str, kind: str, at: str | None = None) -> Mounted:
        """Mount an image that exists already."""
        need_root()
        if kind == "btrfs":
            self._takes_a_number()
        device = run("losetup", "--find", "--show", image).stdout.strip()
        self._loops.append(device)
        mounted = Mounted(at or self.place(), kind, image, device)
        os.makedirs(mounted.path, exist_ok=True)
        self.mount(mounted)
        return mounted

    def mount(self, mounted: Mounted, options: str = "") -> None:
        """Mount an image at its place (again)."""
        assert mounted.device is not None
        fs = mounted.kind.partition("-")[0]
        wanted = [option for option in ("nouuid" if fs == "xfs" else "", options) if option]
        extra = ("-o", ",".join(wanted)) if wanted else ()
        run("mount", "-t", fs, *extra, mounted.device, mounted.path)

    def detach(self, mounted: Mounted) -> None:
        """Unmount an image and give its loop device back."""
        unmount(mounted.path)
        assert mounted.device is not None
        run("losetup", "-d", mounted.device, check=False)
        self._loops.remove(mounted.device)

    def tmpfs(self, size: str = "16m", inodes: int | None = None, at: str | None = None) -> Mounted:
        """A tmpfs that is full after `size` bytes or `inodes` inodes."""
        need_root()
        self._takes_a_number()
        mounted = Mounted(at or self.place(), "tmpfs")
        os.makedirs(mounted.path, exist_ok=True)
        limit = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
        run("mount", "-t", "tmpfs", "-o", limit, "tmpfs", mounted.path)
        return mounted

    def bind(self, source: str, at: str | None = None) -> Mounted:
        """`source` seen a second time."""
        need_root()
        mounted = Mounted(at or self.place(), "bind")
        os.makedirs(mounted.path, exist_ok=True)
        run("mount", "--bind", source, mounted.path)
        return mounted

    def bindfs(self, source: str, *options: str) -> Mounted:
        """`source` once more, through FUSE."""
        need("bindfs")
        self._takes_a_number()
        mounted = Mounted(self.place(), source, "bindfs")
        run("bindfs", *options, source, mounted.path)
        return mounted

    def mergerfs(self, *sources: str) -> Mounted:
        """Folders as one, through FUSE, with inode numbers of its own."""
        need("mergerfs")
        self._takes_a_number()
        mounted = Mounted(self.place(), sources[0], "mergerfs")
        run("mergerfs", "-o", "inodecalc=path-hash,cache.attr=60", ":".join(sources), mounted.path)
        return mounted

    def overlay(self, lower: str, at: str | None = None) -> Mounted:
        """`lower` with a writable layer above it (the layer lives on a tmpfs: overlay on overlay is refused)."""
        need_root()
        layer = self.tmpfs("256m")
        for name in ("upper", "work"):
            os.mkdir(os.path.join(layer.path, name))
        mounted = Mounted(at or self.place(), "overlay")
        os.makedirs(mounted.path, exist_ok=True)
        options = f"lowerdir={lower},upperdir={layer.path}/upper,workdir={layer.path}/work"
        run("mount", "-t", "overlay", "-o", options, "overlay", mounted.path)
        return mounted

    def vfat(self, size: int = 64 * MIB, at: str | None = None) -> Mounted:
        """A FAT file system, without links of any kind: the kernel's, else the one of fusefat."""
        need_root()
        need("mkfs.vfat")
        image = self._new_image("vfat", size)
        run("mkfs.vfat", image)
        point = at or self.place()
        os.makedirs(point, exist_ok=True)
        if "\tvfat\n" in Path("/proc/filesystems").read_text():
            return self.attach(image, "vfat", point)
        need("fusefat")
        self._takes_a_number()
        if not os.path.exists("/dev/fuse"):
            raise Unavailable("no vfat in the kernel and no /dev/fuse")
        run("fusefat", "-o", "rw+", image, point)
        if point not in mount_points(point):
            raise Unavailable("fusefat did not mount")
        return Mounted(point, "vfat", image)

    def exfat(self, size: int = 64 * MIB) -> Mounted:
        """An exFAT file system, without links of any kind: the kernel's, else the one of exfat-fuse ("fuseblk")."""
        need_root()
        need("mkfs.exfat", "losetup")
        image = self._new_image("exfat", size)
        run("mkfs.exfat", image)
        if "\texfat\n" in Path("/proc/filesystems").read_text():
            return self.attach(image, "exfat")
        need("mount.exfat-fuse")
        if not os.path.exists("/dev/fuse"):
            raise Unavailable("no exfat in the kernel and no /dev/fuse")
        self._takes_a_number()
        device = run("losetup", "--find", "--show", image).stdout.strip()
        self._loops.append(device)
        mounted = Mounted(self.place(), "fuseblk", image, device)
        run("mount.exfat-fuse", "-o", "rw", device, mounted.path)
        if mounted.path not in mount_points(mounted.path):
            raise Unavailable("exfat-fuse did not mount")
        return mounted

    def read_only(self, mounted: Mounted, on: bool = True) -> None:
        """Remount read-only (`on`) or writable again."""
        options = "remount,bind,ro" if mounted.kind == "bind" else "remount,ro"
        run("mount", "-o", options if on else options.removesuffix("ro") + "rw", mounted.path)

    def shutdown(self, mounted: Mounted) -> None:
        """Make every further access answer EIO, as a drive that was pulled out (xfs and ext4)."""
        need("xfs_io")
        run("xfs_io", "-x", "-c", "shutdown", mounted.path)


def copy_image(source: str, target: str) -> None:
    """Write `source` over `target` in place, so that a loop device on `target` keeps serving it."""
    run("cp", "--sparse=always", "--no-preserve=all", source, target)


def free_bytes(place: str) -> int:
    """What the file system of `place` has left, once all is on its disk."""
    run("sync", "-f", place)
    st = os.statvfs(place)
    return st.f_bfree * st.f_frsize


def physical(path: str | Path) -> object:
    """Which extents `path` lies in; None where its file system does not tell."""
    with open(path, "rb") as file:
        return extents.physical(file.fileno())


@contextlib.contextmanager
def frozen(path: str) -> Iterator[None]:
    """`chattr +i` for as long as the block lasts."""
    need_root()
    need("chattr")
    run("chattr", "+i", path)
    try:
        yield
    finally:
        run("chattr", "-i", path, check=False)


def as_nobody(argv: Sequence[str]) -> list[str]:
    """`argv` run by a user who owns nothing here."""
    need_root()
    need("setpriv")
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *argv]


def open_the_way(folder: Path) -> None:
    """Let other users into `folder`, through the folders above it, which pytest closes to them."""
    for above in (folder, *folder.parents):
        mode = above.stat().st_mode
        if mode & 0o005 != 0o005 and above.stat().st_uid == os.geteuid():
            above.chmod(mode | 0o055)
        if (above / "pytest-current").exists() or above == Path(tempfile.gettempdir()):
            return


def flip_byte(image: str, needle: bytes, number: int = 0) -> None:
    """Change one byte of the `number`-th place in `image` where `needle` lies: bit rot below the file system.

    The file system must be unmounted meanwhile. `needle` starts on a block of the file, 16 bytes or more.
    """
    step, found = 4 * MIB, 0
    with open(image, "r+b") as file:
        offset, tail = 0, b""
        while block := file.read(step):
            window, start = tail + block, offset - len(tail)
            at = window.find(needle)
            while at >= 0:
                if found == number:
                    file.seek(start + at)
                    byte = file.read(1)
                    file.seek(start + at)
                    file.write(bytes([byte[0] ^ 1]))
                    return
                found += 1
                at = window.find(needle, at + 1)
            tail = block[-len(needle) + 1 :]
            offset += len(block)
    raise Unavailable("the file system keeps these bytes in another form")
