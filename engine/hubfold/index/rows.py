"""A replica as columns of the index, and back."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from hubfold.content import IndexedReplica, LinkKind, Signature
from hubfold.index.database import loaded_time, signed, stored_time, unsigned

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Row = tuple[Any, ...]

#: Algorithm → column.
CLAIM_COLUMNS = {"sha256": "sha256", "git-sha1": "git_sha1", "xet": "xet", "md5": "md5"}
DIGEST_COLUMNS = {
    "sha256": "sha256",
    "git-sha1": "git_sha1",
    "xxh3_128": "xxh3_128",
    "xet": "xet",
    "md5": "md5",
    "sample": "sample",
}

#: The columns of a replica, in the order that the functions here take them apart.
ROW = """
    f.size, f.device, f.inode, f.mtime_ns, f.ctime_ns, p.path, f.name, r.path, r.backend,
    f.allocated, f.nlink, f.mode, f.uid, f.gid,
    f.sha256, f.git_sha1, f.xet, f.md5, d.sha256, d.git_sha1, d.xxh3_128, d.xet, d.md5, d.sample,
    f.repo_id, f.repo_type, f.revision, f.links, f.pinned, f.latest_mtime_ns, f.keeps, f.edited"""
DIGESTS = """
    LEFT JOIN digests d ON d.device = f.device AND d.inode = f.inode AND d.size = f.size
        AND d.mtime_ns = f.mtime_ns AND d.ctime_ns = f.ctime_ns"""
FROM = f"FROM files f JOIN folders p ON p.id = f.folder_id JOIN roots r ON r.id = p.root_id {DIGESTS}"

_LARGEST = (1 << 63) - 1
#: How `os.fsdecode` reads names.
_FILE_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
_NO_NAMES = (b"", b".", b"..")

#: The algorithms of the columns in a `ROW`, in their order.
_CLAIMED = tuple(CLAIM_COLUMNS)
COMPUTED = ("sha256", "git-sha1", "xxh3_128", "xet", "md5")
_NO_CLAIMS = (None,) * len(_CLAIMED)
_NOTHING_READ = (None,) * len(COMPUTED)

#: Places in a `ROW`.
SIZE, DEVICE, INODE, MTIME, CTIME, FOLDER, ROOT, XXH3 = 0, 1, 2, 3, 4, 5, 7, 20
_STATED, _READ, _SAMPLE = slice(14, 18), slice(18, 23), 23
#: The columns of a signature in the order that it has them.
_IN_ORDER = itemgetter(DEVICE, INODE, SIZE, MTIME, CTIME)


def stored_signature(signature: tuple[int, int, int, int, int]) -> tuple[int, int, int, int, int]:
    """A signature as its five columns."""
    if min(signature) >= 0 and max(signature) <= _LARGEST:
        return signature
    device, inode, size, mtime_ns, ctime_ns = signature
    return signed(device), signed(inode), size, stored_time(mtime_ns), stored_time(ctime_ns)


def below_clause(column: str, path: str) -> tuple[str, tuple[bytes, bytes, bytes]]:
    """SQL for a folder that is `path` or lies below it, answered by the column's index."""
    prefix = os.fsencode(path).rstrip(b"/")
    return f"({column} = ? OR ({column} > ? AND {column} < ?))", (
        prefix or b"/",
        prefix + b"/",
        prefix + b"0",
    )


def root_clause(roots: Collection[str]) -> tuple[str, tuple[bytes, ...]]:
    """SQL for a replica of one of these roots."""
    return f"AND r.path IN ({', '.join('?' * len(roots))})", tuple(os.fsencode(root) for root in roots)


def raw(digest: str | None) -> bytes | None:
    """A hex digest as it is stored."""
    return None if digest is None else bytes.fromhex(digest)


def claims(row: Row) -> dict[str, str]:
    """The digests that the layout states."""
    stored = row[_STATED]
    if stored == _NO_CLAIMS:
        return {}
    return {name: value.hex() for name, value in zip(_CLAIMED, stored, strict=True) if value is not None}


def computed(row: Row) -> dict[str, str]:
    """The digests that were read."""
    stored = row[_READ]
    if stored == _NOTHING_READ:
        return {}
    return {name: value.hex() for name, value in zip(COMPUTED, stored, strict=True) if value is not None}


def path_of(row: Row) -> str:
    """The replica's path. Raises ValueError for one that hubfold cannot have written."""
    return joined(row[5], row[6])


def joined(folder: bytes, name: bytes) -> str:
    """`path_of` by the two parts of a path."""
    if b"/" in name or name in _NO_NAMES or not folder.startswith(b"/"):
        raise ValueError(f"the name {name!r}")
    return (folder + name if folder.endswith(b"/") else folder + b"/" + name).decode(*_FILE_NAMES)


def signature_of(row: Row) -> Signature:
    """The signature when the file was last walked past."""
    return loaded_signature(_IN_ORDER(row))


def loaded_signature(columns: Sequence[int]) -> Signature:
    """The inverse of `stored_signature`."""
    device, inode, size, mtime_ns, ctime_ns = columns
    if min(columns) >= 0:
        return Signature(device, inode, size, mtime_ns, ctime_ns)
    return Signature(
        unsigned(device), unsigned(inode), unsigned(size), loaded_time(mtime_ns), loaded_time(ctime_ns)
    )


def sample_of(row: Row) -> str | None:
    """The digest of a few blocks, where it was taken."""
    return None if row[_SAMPLE] is None else str(row[_SAMPLE].hex())


def replica_of(row: Row) -> IndexedReplica:
    """A row as data. Raises TypeError, ValueError or AttributeError for one that hubfold cannot have written."""
    about = row[ROOT + 2 : ROOT + 7]
    repo_id, repo_type, revision, links, pinned, latest, keeps, edited = row[_SAMPLE + 1 :]
    allocated, nlink, mode, uid, gid = about if min(about) >= 0 else map(unsigned, about)
    # By place: naming the fields of each of very many takes as long as all else.
    return IndexedReplica(
        joined(row[FOLDER], row[FOLDER + 1]),
        _text(row[ROOT]),
        row[ROOT + 1],
        loaded_signature(_IN_ORDER(row)),
        allocated,
        nlink,
        mode,
        uid,
        gid,
        claims(row),
        computed(row),
        None if repo_id is None else _text(repo_id),
        None if repo_type is None else _text(repo_type),
        None if revision is None else _text(revision),
        None if links is None else _link_kinds(links),
        bool(pinned),
        None if latest is None else loaded_time(latest),
        None if keeps is None else bool(keeps),
        bool(edited),
    )


#: What many rows have in common is one object.
_text = lru_cache(1 << 12)(os.fsdecode)


@lru_cache
def _link_kinds(links: str) -> frozenset[LinkKind]:
    return frozenset(LinkKind(kind) for kind in links.split(",") if kind)
