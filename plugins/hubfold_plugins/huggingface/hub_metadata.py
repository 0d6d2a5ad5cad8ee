"""What huggingface_hub writes down about files: etags, tree listings, download metadata.

Formats, as huggingface_hub 0.23.5 to 2.4.0 write and read them:

- An *etag* names a blob: 64 hex digits are the sha256 of an LFS file, 40 the git blob sha1 of any other
  (sha1 of ``blob <size>\\0`` and the bytes).
- ``trees/<commit>.json`` (1.33.0 has it, 0.36.2 not): ``{"format_version": 1, "files": {path: {size, blob_id,
  lfs_sha256?, lfs_size?, xet_hash?}}}``. The `blob_id` of an LFS file is the git-sha1 of its *pointer*, not
  of its content.
- ``download/<path>.metadata``: three lines, the commit hash, the etag, and the unix time in seconds at which
  both were true. The client believes it only while the file's ``mtime - 1 <= time``.

All of it is data that anybody may have written: what is not exactly of this form gives no claim.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from hubfold_plugins.huggingface.claims import claims_of_etag

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from hubfold.backend.contract import Walk

COMMIT = re.compile(r"[0-9a-f]{40}")
XET_HASH = re.compile(r"[0-9a-f]{64}")

#: 10,000 files take about 3 MB; more than this is no listing of a repository.
TREE_LIMIT = 64 << 20
_METADATA_LIMIT = 4096
#: The client compares seconds as floats, whose last digit is worth a quarter of a microsecond.
_FLOAT_MARGIN_NS = 1000
#: The year 9999: a later time is no time.
_LATEST_TIMESTAMP = 253_402_300_799.0


class TreeFile(NamedTuple):
    """One file of a tree listing. `size` in bytes; `claims` are of the content."""

    etag: str
    size: int
    claims: Mapping[str, str]


def read_tree(walk: Walk, path: str) -> dict[str, TreeFile]:
    """The files of a ``trees/<commit>.json`` by path; none, with a warning, where it is damaged."""
    text = walk.read_text(path, TREE_LIMIT)
    if text is None:
        return {}
    try:
        data = json.loads(text)
        if data["format_version"] != 1:
            return {}
        return {
            name: file for name, entry in data["files"].items() if (file := _tree_file(entry)) is not None
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        walk.warn(path, "is no tree listing: left out")
        return {}


def _tree_file(entry: object) -> TreeFile | None:
    if not isinstance(entry, dict):
        return None
    sha256, xet = entry.get("lfs_sha256"), entry.get("xet_hash")
    etag, size = (
        (entry.get("blob_id"), entry.get("size")) if sha256 is None else (sha256, entry.get("lfs_size"))
    )
    if not isinstance(etag, str) or not isinstance(size, int):
        return None
    claims = claims_of_etag(etag)
    if not claims or (sha256 is not None and "sha256" not in claims):
        return None
    if isinstance(xet, str) and XET_HASH.fullmatch(xet):
        claims["xet"] = xet
    return TreeFile(etag, size, claims)


def etag_of_partial(name: str) -> str | None:
    """The etag of the file that an ``.incomplete`` is to become; None where its name tells none.

    ``<etag>.incomplete`` in a cache, ``<hash of the path>.<etag>.incomplete`` in a `local_dir`; newer clients (2.4.0)
    add ``.<8 hex>`` before the suffix, one file for each process.
    """
    return next((part for part in name.split(".")[:-1] if claims_of_etag(part)), None)


class Download(NamedTuple):
    """The metadata of one file of a `local_dir`. `timestamp` in seconds since the epoch."""

    commit: str
    etag: str
    timestamp: float

    @property
    def claims(self) -> dict[str, str]:
        return claims_of_etag(self.etag)

    def believes(self, stat: os.stat_result) -> bool:
        """Whether the client takes the file for unchanged since: its own rule, floats and all."""
        return stat.st_mtime - 1 <= self.timestamp

    def latest_mtime_ns(self, stat: os.stat_result) -> int:
        """The latest mtime, in ns, with which an inode in this file's place is still believed."""
        limit = int(self.timestamp * 1e9) + 1_000_000_000 - _FLOAT_MARGIN_NS
        return max(limit, stat.st_mtime_ns)


def read_download(walk: Walk, path: str) -> Download | None:
    """The metadata at `path`; None where there is none, with a warning where it says something odd."""
    text = walk.read_text(path, _METADATA_LIMIT)
    if text is None:
        return None
    lines = [line.strip() for line in text.split("\n")]
    commit, etag, timestamp = ([*lines, "", "", ""])[:3]
    try:
        seconds = float(timestamp)
    except ValueError:
        seconds = math.nan
    if not COMMIT.fullmatch(commit) or not claims_of_etag(etag) or not abs(seconds) <= _LATEST_TIMESTAMP:
        walk.warn(path, "is no download metadata: the file beside it is taken for an unknown one")
        return None
    return Download(commit, etag, seconds)
