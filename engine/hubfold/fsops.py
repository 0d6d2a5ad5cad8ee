"""The file-system calls that hubfold's safety rests on.

Only this module and its callers (`executor`, `undo`, `recovery`, `removal`, `farm`, `vault` …) change anything outside
hubfold's own state. Names are acted on through open directories, so that nobody can swap a parent under us; files are
opened with ``O_NOFOLLOW``. Where a platform lacks a call, a function says so and the caller leaves the path alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hubfold import flags
from hubfold.content import Signature
from hubfold.errors import BytesDiffer, LeftAlone

if sys.platform != "win32":
    import fcntl

_HAS_DIR_FD = os.open in os.supports_dir_fd and os.link in os.supports_dir_fd

_RENAME_EXCHANGE = 2  # linux/fs.h; RENAME_SWAP of macOS's renameatx_np has the same value
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None


class Directory:
    """An open directory; every name given to it is a single component in it."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int | None) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls, path: str) -> Directory:
        """Open `path`, following symlinks in it: for directories that the user named."""
        if not _HAS_DIR_FD:
            os.scandir(path).close()
            return cls(path, None)
        return cls(path, os.open(path, flags.DIRECTORY))

    @classmethod
    def make_below(cls, root: str, folder: str) -> Directory:
        """Open `folder`, with what is missing of it below `root` made and durable; no component may be a symlink."""
        relative = os.path.relpath(folder, root)
        if os.path.isabs(relative) or os.pardir in relative.split(os.sep):
            raise LeftAlone(f"{folder} does not lie below {root}")
        here = cls.open(root)
        for part in [] if relative == os.curdir else relative.split(os.sep):
            try:
                made = here.mkdir(part)
                try:
                    deeper = here.child(part)
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR):
                        raise LeftAlone(f"{os.path.join(here.path, part)} is no directory") from None
                    raise
                if made:
                    deeper.give_to_owner_of(here)
                    here.sync()
            finally:
                here.close()
            here = deeper
        return here

    @classmethod
    def parent_of(cls, root: str, path: str) -> tuple[Directory, str]:
        """The directory of `path` and its last component, opened one component at a time below `root`.

        No component below `root` may be a symlink (`LeftAlone` says which), so that neither a planted link nor a
        swapped parent can lead outside.
        """
        relative = os.path.relpath(path, root)
        parts = relative.split(os.sep)
        if os.path.isabs(relative) or os.pardir in parts or relative == os.curdir:
            raise LeftAlone(f"{path} does not lie below {root}")
        here = cls.open(root)
        for part in parts[:-1]:
            try:
                deeper = here.child(part)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise LeftAlone(f"{os.path.join(here.path, part)} is no directory any more") from None
                raise
            finally:
                here.close()
            here = deeper
        return here, parts[-1]

    def child(self, name: str) -> Directory:
        """A sub-directory, not followed if it is a symlink."""
        path = os.path.join(self.path, name)
        if self._fd is None:
            if os.path.islink(path):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            return Directory(path, None)
        fd = os.open(name, flags.DIRECTORY | flags.NOFOLLOW, dir_fd=self._fd)
        return Directory(path, fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _name(self, name: str) -> str:
        return name if self._fd is not None else os.path.join(self.path, name)

    def stat(self) -> os.stat_result:
        return os.stat(self.path if self._fd is None else self._fd)

    def lstat(self, name: str) -> os.stat_result:
        return os.stat(self._name(name), dir_fd=self._fd, follow_symlinks=False)

    def lstat_or_none(self, name: str) -> os.stat_result | None:
        """`lstat`, None where there is no such name (and only then)."""
        try:
            return self.lstat(name)
        except FileNotFoundError:
            return None

    def stat_through(self, name: str) -> os.stat_result:
        """What a program sees that opens `name`: symlinks followed."""
        return os.stat(self._name(name), dir_fd=self._fd)

    def open_file(self, name: str) -> int:
        """A descriptor for reading; a symlink is refused (ELOOP)."""
        return os.open(self._name(name), flags.READ | flags.NOFOLLOW, dir_fd=self._fd)

    def create_file(self, name: str, mode: int = 0o600) -> int:
        """A descriptor for writing a file that did not exist."""
        return os.open(self._name(name), flags.CREATE, mode, dir_fd=self._fd)

    def append_file(self, name: str, mode: int = 0o644) -> int:
        """A descriptor that appends to `name`, made if missing."""
        return os.open(self._name(name), flags.APPEND, mode, dir_fd=self._fd)

    def readlink(self, name: str) -> str:
        return os.readlink(self._name(name), dir_fd=self._fd)

    def symlink(self, text: str, name: str, owner: tuple[int, int] | None = None) -> None:
        """A symlink; as root it is given to `owner` (uid, gid), who may have to remove it from a sticky folder."""
        os.symlink(text, self._name(name), dir_fd=self._fd)
        if owner is not None and privileged():
            os.chown(self._name(name), *owner, dir_fd=self._fd, follow_symlinks=False)

    def link_from(self, source: Directory, source_name: str, name: str) -> None:
        """A hard link `name` here of a file there; a symlink there would be linked itself, so check what came."""
        os.link(
            source._name(source_name),
            self._name(name),
            src_dir_fd=source._fd,
            dst_dir_fd=self._fd,
            follow_symlinks=not _HAS_DIR_FD,
        )

    def rename(self, old: str, new: str) -> None:
        """Replaces `new` atomically."""
        os.replace(self._name(old), self._name(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def move(self, name: str, target: Directory, new: str) -> None:
        """Give a file or folder a name in another directory of the file system, where nothing has that name."""
        if target.lstat_or_none(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.path.join(target.path, new))
        os.rename(self._name(name), target._name(new), src_dir_fd=self._fd, dst_dir_fd=target._fd)

    def exchange(self, one: str, other: str) -> None:
        """Swap two names atomically; `OSError` with EINVAL or ENOSYS where file system or platform cannot."""
        call = getattr(_libc, "renameat2", None) or getattr(_libc, "renameatx_np", None)
        if call is None or self._fd is None:
            raise OSError(errno.ENOSYS, "no atomic exchange of names on this platform")
        if call(self._fd, os.fsencode(one), self._fd, os.fsencode(other), _RENAME_EXCHANGE) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.path.join(self.path, other))

    def unlink(self, name: str) -> None:
        os.unlink(self._name(name), dir_fd=self._fd)

    def mkdir(self, name: str) -> bool:
        """Make a sub-directory; False where it was there already."""
        try:
            os.mkdir(self._name(name), dir_fd=self._fd)
        except FileExistsError:
            return False
        return True

    def rmdir(self, name: str) -> None:
        os.rmdir(self._name(name), dir_fd=self._fd)

    def give_to_owner_of(self, other: Directory) -> None:
        """As root, let this directory belong to whom `other` belongs to."""
        if privileged() and self._fd is not None:
            st = other.stat()
            os.chown(self._fd, st.st_uid, st.st_gid)

    def own_file(self, fd: int) -> None:
        """As root, let a file that was made here belong to whom this directory belongs to."""
        if privileged() and self._fd is not None:
            st = self.stat()
            os.fchown(fd, st.st_uid, st.st_gid)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path if self._fd is None else self._fd))

    def sync(self) -> None:
        """fsync the directory, so that names made in it outlive a power cut."""
        if self._fd is not None:
            os.fsync(self._fd)


#: renameat2 with RENAME_EXCHANGE: file systems that cannot say one of these.
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

#: Added to a temporary's name for the displaced file where names cannot be exchanged.
SPARE_SUFFIX = "~"


def swap_in(directory: Directory, temporary: str, name: str) -> str:
    """Put `temporary` in the place of `name`, which is at no instant missing; the name the displaced file has now.

    Names are exchanged where that is possible; else the displaced file gets a second name before it is renamed over.
    """
    try:
        directory.exchange(temporary, name)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
    else:
        return temporary
    spare = temporary + SPARE_SUFFIX
    directory.link_from(directory, name, spare)
    try:
        directory.rename(temporary, name)
    except OSError:
        directory.unlink(spare)
        raise
    return spare


def swap_back(directory: Directory, temporary: str, name: str, displaced: str) -> None:
    """Take a `swap_in` back. What stood at `name` is at `temporary` afterwards where names can be exchanged."""
    if displaced == temporary:
        directory.exchange(temporary, name)
    else:
        directory.rename(displaced, name)


def make_folders(path: str) -> list[str]:
    """Make `path` and what is missing above it, each durable before the next; the new ones, outermost first."""
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    made: list[str] = []
    for folder in reversed(missing):
        with Directory.open(os.path.dirname(folder)) as parent:
            if parent.mkdir(os.path.basename(folder)):
                made.append(folder)
                with parent.child(os.path.basename(folder)) as new:
                    new.give_to_owner_of(parent)
            parent.sync()
    return made


def remove_tree(directory: Directory, name: str) -> int:
    """Remove a folder that hubfold has taken out of the user's sight, with everything in it.

    Returns what its folders took, in bytes by allocated blocks. Symlinks in it are removed, not followed.
    """
    freed = directory.lstat(name).st_blocks * 512
    with directory.child(name) as folder:
        for entry in folder.names():
            if stat.S_ISDIR(folder.lstat(entry).st_mode):
                freed += remove_tree(folder, entry)
            else:
                folder.unlink(entry)
    directory.rmdir(name)
    return freed


def privileged() -> bool:
    """Whether we can act for other users: what we make then has to belong to them, or they cannot use it."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


# -- what a file is besides its bytes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attributes:
    """Mode, owner, times and extended attributes (ACLs are extended attributes on Linux)."""

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]

    @classmethod
    def of(cls, fd: int) -> Attributes:
        st = os.fstat(fd)
        return cls(
            stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_atime_ns, st.st_mtime_ns, read_xattrs(fd)
        )

    def give_to(self, fd: int) -> None:
        """Set all of them; the times last, since the others touch ctime only. `OSError` if one is refused."""
        now = os.fstat(fd)
        if sys.platform != "win32" and (now.st_uid, now.st_gid) != (self.uid, self.gid):
            os.fchown(fd, self.uid, self.gid)
        present = read_xattrs(fd)
        for name, value in self.xattrs.items():
            # What the file system gave the new file by itself (a security label) needs no right to be set again.
            if present.get(name) != value:
                os.setxattr(fd, name, value)
        set_mode(fd, self.mode)
        os.utime(fd, ns=(self.atime_ns, self.mtime_ns))


def set_mode(fd: int, mode: int) -> None:
    """Set the mode of an open file, where the platform can do that by descriptor."""
    if hasattr(os, "fchmod"):
        os.fchmod(fd, mode)


def read_xattrs(fd: int) -> dict[str, bytes]:
    """Extended attributes by name; empty where the file system has none."""
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
            return {}
        raise
    found: dict[str, bytes] = {}
    for name in names:
        with suppress(OSError):  # removed meanwhile, or not ours to read (security.*)
            found[name] = os.getxattr(fd, name)
    return found


# -- leases --------------------------------------------------------------------------------------------------------


class Lease:
    """A read lease: while it is whole, nobody has the file open for writing, nor mapped writable (fcntl(2)).

    The kernel makes a writer wait until we let go (45 s at the most), so it is asked often whether one is waiting.
    Not every file system grants leases; then `held` is False and the signatures must do.
    """

    __slots__ = ("_fd", "held")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.held = False
        if sys.platform != "linux":
            return
        try:
            # SIGURG is ignored by default; the SIGIO that leases send otherwise would end the process.
            fcntl.fcntl(fd, fcntl.F_SETSIG, _SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise LeftAlone("a program has it open for writing") from None
            return
        self.held = True

    @property
    def wanted(self) -> bool:
        """Whether a program is waiting to write to the file."""
        return self.held and fcntl.fcntl(self._fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def release(self) -> None:
        if self.held:
            self.held = False
            with suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


_SIGURG = 23 if sys.platform == "linux" else 0


# -- a file held while it is acted on --------------------------------------------------------------------------------


class Held:
    """A regular file opened through its directories, with its signature checked and a read lease where there is one."""

    __slots__ = ("attributes", "directory", "fd", "lease", "name", "path", "signature")

    def __init__(
        self, root: str, path: str, expected: Signature | None = None, *, lease: bool = True
    ) -> None:
        """Raises `LeftAlone` if it is not what `expected` says, no regular file, or open for writing; `OSError`."""
        self.path = path
        self.directory, self.name = Directory.parent_of(root, path)
        self.fd = -1
        try:
            try:
                self.fd = self.directory.open_file(self.name)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise LeftAlone("it is a symlink now") from None
                raise
            st = os.fstat(self.fd)
            if not stat.S_ISREG(st.st_mode):
                raise LeftAlone("it is no regular file")
            self.signature = Signature.of(st)
            if expected is not None and self.signature != expected:
                raise LeftAlone("it changed since it was scanned")
            self.lease = Lease(self.fd) if lease else None
            self.attributes = Attributes.of(self.fd)
        except BaseException:
            self.close()
            raise

    def is_here(self, directory: Directory, name: str) -> bool:
        """Whether that name is this very file, with the size and mtime it was held with.

        ctime is left out: our own link and rename calls move it.
        """
        st = directory.lstat_or_none(name)
        return st is not None and self._same(st)

    def unchanged(self) -> bool:
        """Whether the open file still has its size and mtime, and nobody waits to write to it."""
        return self._same(os.fstat(self.fd)) and not self.write_wanted

    @property
    def write_wanted(self) -> bool:
        return self.lease is not None and self.lease.wanted

    def _same(self, st: os.stat_result) -> bool:
        now = Signature.of(st)
        return stat.S_ISREG(st.st_mode) and now[:4] == self.signature[:4]

    def close(self) -> None:
        if getattr(self, "lease", None) is not None and self.lease is not None:
            self.lease.release()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.directory.close()


# -- comparing and copying -------------------------------------------------------------------------------------------

CHUNK = 4 << 20
#: What is compared at once: two of them fit into the processor's cache (measured against 4 MiB: a third less CPU).
_STEP = 256 << 10


def compare(
    keeper: Held, victims: list[Held], *, update: Callable[[memoryview], object], tick: Callable[[int], None]
) -> dict[Held, LeftAlone | OSError]:
    """Compare files byte for byte with `keeper`; the ones that are not its equal, with the reason.

    One read of the keeper serves all. `update` is given the keeper's bytes (a hash), `tick` the bytes read so far in
    steps. Raises `LeftAlone` or `OSError` if the keeper itself cannot be read whole.
    """
    size = keeper.signature.size
    wrong: dict[Held, LeftAlone | OSError] = {
        victim: BytesDiffer("its size is another") for victim in victims if victim.signature.size != size
    }
    left = [victim for victim in victims if victim not in wrong]
    for held in (keeper, *left):
        _read_ahead(held.fd)
    mine, theirs = bytearray(_STEP), bytearray(_STEP)
    for offset in range(0, size, _STEP):
        length = min(_STEP, size - offset)
        if length < len(mine):
            mine, theirs = bytearray(length), bytearray(length)
        _read_exactly(keeper.fd, mine, offset)
        update(memoryview(mine))
        tick(length)
        if keeper.write_wanted:
            raise LeftAlone("a program wants to write to the keeper")
        for victim in list(left):
            try:
                _read_exactly(victim.fd, theirs, offset)
                if mine != theirs:
                    raise BytesDiffer(f"its bytes differ from {keeper.path} at or after offset {offset}")
                if victim.write_wanted:
                    raise LeftAlone("a program wants to write to it")
            except (LeftAlone, OSError) as reason:
                wrong[victim] = reason
                left.remove(victim)
            else:
                tick(length)
        if not left:
            break
    return wrong


def _read_ahead(fd: int) -> None:
    """Tell the system that the file will be read from head to tail; a hint, which it may pass over.

    Asking for parts in advance (POSIX_FADV_WILLNEED) was slower at every size that was tried: the reads then wait in
    that call.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def _read_exactly(fd: int, buffer: bytearray, offset: int) -> None:
    view = memoryview(buffer)
    while view:
        got = os.preadv(fd, [view], offset) if hasattr(os, "preadv") else _read_at(fd, view, offset)
        if got == 0:
            raise LeftAlone("it became shorter while it was read")
        view = view[got:]
        offset += got


def _read_at(fd: int, view: memoryview, offset: int) -> int:
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, len(view))
    view[: len(data)] = data
    return len(data)


def copy_bytes(
    source: int, target: int, *, update: Callable[[memoryview], object], tick: Callable[[int], None]
) -> int:
    """Copy a whole file between descriptors, holes kept as holes; the length in bytes.

    `update` is given every byte in order (a hash), zeros of holes included.
    """
    size = os.fstat(source).st_size
    for offset, length, is_data in _segments(source, size):
        while length:
            step = min(CHUNK, length)
            if is_data:
                buffer = bytearray(step)
                _read_exactly(source, buffer, offset)
                _write_all(target, memoryview(buffer), offset)
            else:
                buffer = bytearray(step)
            update(memoryview(buffer))
            tick(step)
            offset += step
            length -= step
    os.ftruncate(target, size)
    return size


def read_held(held: Held, *, update: Callable[[memoryview], object], tick: Callable[[int], None]) -> None:
    """Read a whole file that is held. Raises `LeftAlone` if it becomes shorter, `OSError`."""
    _read_whole(held.fd, held.signature.size, update, tick)


def read_all(
    directory: Directory,
    name: str,
    *,
    update: Callable[[memoryview], object],
    tick: Callable[[int], None] = lambda amount: None,
) -> int:
    """Read a whole file of ours; its length in bytes. Raises `OSError`."""
    fd = directory.open_file(name)
    try:
        size = os.fstat(fd).st_size
        _read_whole(fd, size, update, tick)
        return size
    finally:
        os.close(fd)


def _read_whole(
    fd: int, size: int, update: Callable[[memoryview], object], tick: Callable[[int], None]
) -> None:
    buffer = bytearray(min(CHUNK, max(size, 1)))
    for offset in range(0, size, CHUNK):
        length = min(CHUNK, size - offset)
        view = buffer if length == len(buffer) else bytearray(length)
        _read_exactly(fd, view, offset)
        update(memoryview(view))
        tick(length)


def _segments(fd: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, is data) of a file, in order; one data segment where the system cannot tell holes."""
    offset = 0
    while offset < size:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
            end = os.lseek(fd, data, os.SEEK_HOLE)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENXIO:
                yield offset, size - offset, False
            else:
                yield offset, size - offset, True
            return
        if data > offset:
            yield offset, data - offset, False
        yield data, min(end, size) - data, True
        offset = end


def _write_all(fd: int, view: memoryview, offset: int) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    while view:
        written = os.write(fd, view)
        view = view[written:]


# -- shared extents ----------------------------------------------------------------------------------------------

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)


def clone_extents(source: int, target: int) -> None:
    """Let the empty file `target` share all extents of `source`. `OSError` where the file system cannot."""
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, "no shared extents on this platform")
    fcntl.ioctl(target, _FICLONE, source)


_FIDEDUPERANGE = 0xC0189436  # linux/fs.h: _IOWR(0x94, 54, struct file_dedupe_range)
_DEDUPE_STEP = 16 << 20  # what btrfs takes in one call
_DIFFERS = 1


def share_extents(
    keeper: Held, victim: Held, *, update: Callable[[memoryview], object], tick: Callable[[int], None]
) -> None:
    """Let `victim` share the extents of `keeper` (FIDEDUPERANGE: the kernel locks and compares both).

    Raises `LeftAlone` if the kernel finds a difference, `OSError` if it refuses. Both ranges are read first: the kernel
    reads page by page, which was 90 MB/s against 800 with the pages in place.
    """
    size = keeper.signature.size
    mine = bytearray(min(CHUNK, max(size, 1)))
    for held in (victim, keeper):
        _read_ahead(held.fd)
    for start in range(0, size, _DEDUPE_STEP):
        end = min(start + _DEDUPE_STEP, size)
        for offset in range(start, end, CHUNK):
            length = min(CHUNK, end - offset)
            if length < len(mine):
                mine = bytearray(length)
            _read_exactly(victim.fd, mine, offset)
            _read_exactly(keeper.fd, mine, offset)
            update(memoryview(mine))
            tick(2 * length)
        _dedupe_range(keeper, victim, start, end - start)


def _dedupe_range(keeper: Held, victim: Held, offset: int, length: int) -> None:
    while length:
        request = bytearray(struct.pack("=QQHHIqQQiI", offset, length, 1, 0, 0, victim.fd, offset, 0, 0, 0))
        fcntl.ioctl(keeper.fd, _FIDEDUPERANGE, request)
        done, status = struct.unpack_from("=Qi", request, 40)
        if status == _DIFFERS:
            raise BytesDiffer(f"its bytes differ from {keeper.path} at or after offset {offset}")
        if status < 0:
            raise OSError(-status, os.strerror(-status), victim.path)
        if done == 0:
            raise OSError(errno.EIO, "the kernel shared nothing", victim.path)
        offset += done
        length -= min(done, length)


_FIEMAP = 0xC020660B  # linux/fiemap.h: _IOWR('f', 11, struct fiemap)
_FIEMAP_HEADER = struct.Struct("=QQIIII")
_FIEMAP_EXTENT = struct.Struct("=QQQQQIIII")
_EXTENT_LAST = 0x1
#: UNKNOWN, DELALLOC, DATA_INLINE: such an extent has no address that could be compared.
_EXTENT_NO_ADDRESS = 0x2 | 0x4 | 0x200


_EXTENT_SHARED = 0x2000


def extents(fd: int) -> tuple[tuple[int, int, int], ...] | None:
    """The physical extents of a file as (logical, physical, length) in bytes, neighbours merged; None if unknown."""
    found: list[tuple[int, int, int]] = []
    for logical, physical, length, marks in _mapped(fd):
        if marks & _EXTENT_NO_ADDRESS:
            return None
        if found and found[-1][0] + found[-1][2] == logical and found[-1][1] + found[-1][2] == physical:
            logical, physical, length = found[-1][0], found[-1][1], found[-1][2] + length
            found.pop()
        found.append((logical, physical, length))
    return tuple(found)


def shared_bytes(fd: int) -> int:
    """How many bytes of a file lie in extents that another file has too; 0 where that cannot be told."""
    return sum(length for _, _, length, marks in _mapped(fd) if marks & _EXTENT_SHARED)


def _mapped(fd: int) -> Iterator[tuple[int, int, int, int]]:
    """(logical, physical, length, flags) of each extent; one without an address where the system cannot tell."""
    unknown = (0, 0, 0, _EXTENT_NO_ADDRESS)
    if sys.platform != "linux":
        yield unknown
        return
    start, room = 0, 128
    while True:
        request = bytearray(_FIEMAP_HEADER.size + room * _FIEMAP_EXTENT.size)
        _FIEMAP_HEADER.pack_into(request, 0, start, (1 << 64) - 1 - start, 0, 0, room, 0)
        try:
            fcntl.ioctl(fd, _FIEMAP, request)
        except OSError:
            yield unknown
            return
        mapped = _FIEMAP_HEADER.unpack_from(request)[3]
        if mapped == 0:
            return
        for number in range(mapped):
            logical, physical, length, _, _, flags, *_ = _FIEMAP_EXTENT.unpack_from(
                request, _FIEMAP_HEADER.size + number * _FIEMAP_EXTENT.size
            )
            yield logical, physical, length, flags
            start = logical + length
            if flags & _EXTENT_LAST:
                return


# -- errors as people read them --------------------------------------------------------------------------------------

OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

_PLAIN = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space left on the file system",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the drive reported an error",
    errno.ENOENT: "it is gone",
    errno.EMLINK: "the file system allows no more hard links to this file",
    errno.EXDEV: "the file system does not link between these two places",
    errno.EOPNOTSUPP: "the file system does not support it",
    errno.ENOSYS: "the system does not support it",
}


def describe(error: BaseException) -> str:
    """One phrase for a person; the system's own words where there is nothing better."""
    if isinstance(error, OSError) and error.errno is not None:
        return _PLAIN.get(error.errno, error.strerror or str(error))
    return str(error)
