"""The format of an exported index: one Parquet file a host and user, immutable, replaced as a whole.

Its name is ``<host>-<8 hex of the machine id>-<uid>.parquet``. The metadata of the schema has `KEY` with the version of
the format, and with one of `ABOUT` after a dot what is told of the file as a whole. A reader takes files of `VERSION`
with just these `COLUMNS`. A row is one path:

``host``, ``machine``    who exported it, the same in each row
``scanned``              when its root was scanned last, in seconds since 1970 (UTC)
``share``                the identity of its file system, where several hosts may use that; else null
``root``, ``backend``    as in the index
``path``                 for showing: what of it is not UTF-8 is written ``\\xNN``
``name``                 of a file of a model in a plain folder, its path below that; null where the name is a digest
``repo_type``, ``repo_id``, ``revision``    null where they are not known
``size``                 bytes by length; ``bytes`` by allocated blocks, 0 for all rows of a payload but the first
``first``                whether it is the first row of its payload; ``inode`` tells payloads of one share apart
``uid``                  the owner's
``algorithm``, ``digest``    the best digest that is known: sha256, else git-sha1, xxh3_128, xet, md5; null for none
``content``              the first 8 bytes of it as a signed integer, to count and to join by
``xxh3``                 the same of the xxh3_128 where that is known beside a better one: others may know that alone
"""

from __future__ import annotations

KEY = "hubfold.export"
VERSION = 1
SUFFIX = ".parquet"
#: What the metadata has: who exported it, when the root was scanned whose scan is the oldest, how many rows there are.
ABOUT = ("host", "machine", "scanned", "rows")

#: The types of columns in DuckDB's words: "words" are a dictionary of texts, of which few are different.
TYPES = {"words": "VARCHAR", "text": "VARCHAR", "number": "BIGINT", "truth": "BOOLEAN", "bytes": "BLOB"}
COLUMNS = {
    "host": "words",
    "machine": "words",
    "scanned": "number",
    "share": "words",
    "root": "words",
    "backend": "words",
    "path": "text",
    "name": "text",
    "repo_type": "words",
    "repo_id": "words",
    "revision": "words",
    "size": "number",
    "bytes": "number",
    "first": "truth",
    "inode": "number",
    "uid": "number",
    "algorithm": "words",
    "digest": "bytes",
    "content": "number",
    "xxh3": "number",
}

#: Digests from the best to the least: the first that is known names a content.
ALGORITHMS = ("sha256", "git-sha1", "xxh3_128", "xet", "md5")


def key_of(digest: str) -> int:
    """The first 8 bytes of a hex digest as a signed integer."""
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)
