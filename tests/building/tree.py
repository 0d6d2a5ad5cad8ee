"""Small trees with every kind of replica, and how to judge them: bytes, modes, times, xattrs, what was left behind.

A tree lives in one folder, the place; hubfold's state lies in it too (`STATE`), so that a copy of the place is a copy
of everything. The hub cache is written by hand in the layout of the real client, and the tests of the clients hold
that layout: here it only has to be small and the same each time. Files are just over hubfold's smallest size.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

MIB = 1 << 20
#: The state directory, inside the place.
STATE = ".state"
#: What a tree keeps for itself: no user's path.
_OWN = frozenset({STATE, ".home", "lost+found"})
#: mtime of everything that a tree writes: long ago, with odd nanoseconds, so that a lost one shows.
OLD_NS = 1_600_000_000_123_456_789


@lru_cache(maxsize=64)
def model(seed: str, size: int = MIB + 8192) -> bytes:
    """The same pseudo-random bytes for the same seed."""
    return random.Random(seed).randbytes(size)


def fine_tune(base: bytes) -> bytes:
    """`base` with one byte in the middle changed: the same size, head and tail."""
    middle = len(base) // 2
    return base[:middle] + bytes([base[middle] ^ 1]) + base[middle + 1 :]


def environment(place: str) -> dict[str, str]:
    """Variables that keep hubfold and the client inside the place."""
    home = os.path.join(place, ".home")
    return {
        "HOME": home,
        "HUBFOLD_HOME": os.path.join(place, STATE),
        "HF_HOME": os.path.join(home, "huggingface"),
        "XDG_CACHE_HOME": os.path.join(home, "cache"),
        "XDG_CONFIG_HOME": os.path.join(home, "config"),
        "XDG_STATE_HOME": os.path.join(home, "state"),
        "XDG_DATA_HOME": os.path.join(home, "data"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_COLOR": "1",
    }


def write(path: str, data: bytes, mode: int = 0o644, mtime_ns: int = OLD_NS) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    try:
        os.chmod(path, mode)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        # A FAT file system has neither.
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP):
            raise
    return path


def cache(folder: str, repo_id: str, files: Mapping[str, bytes], commit: str = "a" * 40) -> dict[str, str]:
    """A repo in the hub cache `folder`, as the client writes LFS files; returns the blob of each file."""
    repo = os.path.join(folder, "models--" + repo_id.replace("/", "--"))
    blobs = {}
    for name, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        blob = os.path.join(repo, "blobs", digest)
        if not os.path.exists(blob):
            write(blob, data)
        link = os.path.join(repo, "snapshots", commit, name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(os.path.relpath(blob, os.path.dirname(link)), link)
        blobs[name] = blob
    write(os.path.join(repo, "refs", "main"), commit.encode())
    return blobs


def local_dir(
    folder: str, files: Mapping[str, bytes], commit: str = "a" * 40, mode: int = 0o644
) -> dict[str, str]:
    """What ``snapshot_download(local_dir=folder)`` leaves: plain files, and three lines of metadata for each."""
    paths = {}
    for name, data in files.items():
        paths[name] = write(os.path.join(folder, name), data, mode)
        etag = hashlib.sha256(data).hexdigest()
        lines = f"{commit}\n{etag}\n{OLD_NS / 1e9 + 60}\n"
        write(os.path.join(folder, ".cache/huggingface/download", name + ".metadata"), lines.encode())
    write(os.path.join(folder, ".cache/huggingface/.gitignore"), b"*")
    return paths


@dataclass(frozen=True, slots=True)
class Tree:
    """A built tree: where to point hubfold, and which paths existed on disk for good before it ran."""

    place: str
    #: Arguments for `hubfold scan` and `consolidate`.
    roots: tuple[str, ...]
    #: Paths that stand for their content in the keeper: written last, so that a power-cut test can leave them dirty.
    keepers: tuple[str, ...]


def one_cache(place: str, drive: str | None = None) -> Tree:
    """A hub cache and a `local_dir` copy of one of its repos: the common case, with the awkward copies in it.

    One victim is owned, dated and marked unusually (mode 0640, old mtime, an xattr, an ACL where they are to be had),
    one has two names, one is a plain copy of no known origin, one is a fine-tune that differs in one byte and must
    never be touched. With `drive` (a folder, on another file system as it were) the copies lie there.
    """
    weights, tokens = model("weights"), model("tokens", MIB + 4096)
    home = drive or place
    local = os.path.join(home, "models/one")
    copies = local_dir(local, {"model.safetensors": weights, "sub/tokenizer.bin": tokens})
    odd = copies["model.safetensors"]
    os.chmod(odd, 0o640)
    mark(odd)
    os.utime(odd, ns=(OLD_NS - 5_000_000_007, OLD_NS - 5_000_000_007))
    os.link(copies["sub/tokenizer.bin"], os.path.join(home, "models/second-name.bin"))
    write(os.path.join(home, "plain/downloaded.safetensors"), weights, 0o600)
    write(os.path.join(home, "plain/fine-tune.safetensors"), fine_tune(weights))
    write(os.path.join(home, "plain/notes.txt"), b"a user's file\n")
    hub = os.path.join(place, "hf/hub")
    blobs = cache(hub, "org/one", {"model.safetensors": weights, "sub/tokenizer.bin": tokens})
    roots = (hub, os.path.join(home, "models"), os.path.join(home, "plain"))
    return Tree(place, roots, tuple(blobs.values()))


def two_caches(place: str, drive: str | None = None) -> Tree:
    """Two hub caches that share a repo's files, the second on `drive` if there is one; it has one more repo."""
    weights, tokens = model("weights"), model("tokens", MIB + 4096)
    second = os.path.join(drive or place, "project/hub")
    cache(second, "org/one", {"model.safetensors": weights, "tokenizer.bin": tokens})
    cache(second, "org/two", {"other.safetensors": fine_tune(weights)}, "b" * 40)
    first = os.path.join(place, "hf/hub")
    blobs = cache(first, "org/one", {"model.safetensors": weights, "tokenizer.bin": tokens})
    return Tree(place, (first, second), tuple(blobs.values()))


def mark(path: str) -> None:
    """Give `path` an xattr and an ACL, as far as its file system takes them."""
    acl = bytes.fromhex(
        "02000000 01000600ffffffff 02000400fdff0000 04000400ffffffff 10000400ffffffff 20000000ffffffff"
    )
    for name, value in (("user.note", b"kept by hand"), ("system.posix_acl_access", acl)):
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
                raise


@dataclass(frozen=True, slots=True)
class Seen:
    """One path as a user sees it: what it reads, and what it is."""

    digest: str
    #: The text of a symlink, None for a regular file.
    link: str | None
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]


def digest(path: str, known: dict[tuple[int, int], str] | None = None) -> str:
    """The sha256 of what `path` reads; an inode in `known` is not read again. A link to a folder reads no bytes."""
    if os.path.isdir(path):
        return "a folder"
    with open(path, "rb") as file:
        st = os.fstat(file.fileno())
        found = None if known is None else known.get((st.st_dev, st.st_ino))
        if found is None:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if known is not None:
            known[st.st_dev, st.st_ino] = found
        return found


def look(path: str) -> Seen:
    """`path` as it is; its bytes are read through links."""
    st = os.lstat(path)
    link = os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
    names = xattr_names(path)
    xattrs = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    return Seen(digest(path), link, stat.S_IMODE(st.st_mode), (st.st_uid, st.st_gid), st.st_mtime_ns, xattrs)


def xattr_names(path: str) -> list[str]:
    """The names of the xattrs of `path`; none where its file system has none."""
    try:
        return sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def files(place: str, without: Iterable[str] = ()) -> list[str]:
    """Every path below `place` that is no directory, but for hubfold's state and `without` (top folders)."""
    left_out = _OWN | set(without)
    found = []
    for folder, folders, names in os.walk(place):
        if folder == place:
            folders[:] = [name for name in folders if name not in left_out]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [os.path.join(folder, name) for name in (*names, *links)]
    return sorted(found)


def census(place: str, without: Iterable[str] = ()) -> dict[str, Seen]:
    """Every path of the tree with what it reads."""
    return {path: look(path) for path in files(place, without)}


def losses(before: Mapping[str, Seen], place: str, but: Iterable[str] = ()) -> list[str]:
    """Every path of `before` that no longer reads its bytes; `but` are not judged."""
    found = []
    left_out = set(but)
    known: dict[tuple[int, int], str] = {}
    for path, seen in before.items():
        if path in left_out:
            continue
        try:
            now = digest(path, known)
        except OSError as error:
            found.append(f"{os.path.relpath(path, place)} cannot be read: {error.strerror}")
            continue
        if now != seen.digest:
            found.append(f"{os.path.relpath(path, place)} reads other bytes")
    return found


def leftovers(
    before: Mapping[str, Seen], place: str, vaults: bool = True, without: Iterable[str] = ()
) -> list[str]:
    """Paths that were not there before: with `vaults`, a vault and what is in it may be."""
    found = []
    for path in files(place, without):
        relative = os.path.relpath(path, place)
        in_vault = any(part in ("hubfold", ".hubfold") for part in relative.split("/")[:-1])
        temporary = any(
            part.startswith(".hubfold-") and part != ".hubfold-vault" for part in relative.split("/")
        )
        # The client's lock files stay where they are made, whoever makes them.
        client_lock = path.endswith(".lock") and ("/.locks/" in path or "/.cache/huggingface/" in path)
        if path not in before and (temporary or not (client_lock or (vaults and in_vault))):
            found.append(f"{relative} was left behind")
    return found


def differences(before: Mapping[str, Seen], place: str) -> list[str]:
    """Every path of `before` that is not just as it was: bytes, kind, mode, owner, mtime, xattrs."""
    found = []
    for path, seen in before.items():
        try:
            now = look(path)
        except OSError as error:
            found.append(f"{os.path.relpath(path, place)} cannot be read: {error.strerror}")
            continue
        for name in Seen.__slots__:
            if getattr(now, name) != getattr(seen, name):
                what = f"{getattr(seen, name)} is now {getattr(now, name)}"
                found.append(f"{os.path.relpath(path, place)}: {name} {what}")
    return found


_OWN_LINK = re.compile(r"([0-9a-f]{64})\.[0-9a-f]{12}")


def shape(place: str, without: Iterable[str] = ()) -> dict[str, str]:
    """How the paths hang together: a symlink's text, or the first path that shares the inode.

    The same for equal trees in different places: an object of one link's own is named by the path of the link.
    """
    first: dict[tuple[int, int], str] = {}
    found = {}
    for path in files(place, without):
        st = os.lstat(path)
        relative = _OWN_LINK.sub(r"\1.own", os.path.relpath(path, place))
        if stat.S_ISLNK(st.st_mode):
            found[relative] = "-> " + _OWN_LINK.sub(r"\1.own", os.readlink(path).replace(place, ""))
        else:
            found[relative] = "= " + first.setdefault((st.st_dev, st.st_ino), relative)
    return found
