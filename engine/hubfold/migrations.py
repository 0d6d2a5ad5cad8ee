"""The index's schema, as the steps that led to it. Append only: a step that was released is never edited.

Numbers of devices and inodes are unsigned 64-bit, SQLite's integers signed: they are stored as two's complement
(`database.signed`). Paths, names and everything else that comes from disk are BLOBs, since they need not be UTF-8.
Digests are BLOBs of their raw bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations("hubfold-index")


@migrations()
def m001_tables(db: Database) -> None:
    db.execute("""
        CREATE TABLE roots (
            id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, backend TEXT NOT NULL, role TEXT NOT NULL,
            max_bytes INTEGER, device INTEGER, generation INTEGER NOT NULL DEFAULT 0, scanned_at INTEGER,
            files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, allocated INTEGER NOT NULL DEFAULT 0
        )""")
    # A path is unique over all roots: a folder belongs to the innermost root that was scanned.
    db.execute("""
        CREATE TABLE folders (
            id INTEGER PRIMARY KEY, root_id INTEGER NOT NULL, path BLOB NOT NULL UNIQUE, fingerprint BLOB
        )""")
    db.execute("CREATE INDEX folders_of_root ON folders (root_id)")
    db.execute("""
        CREATE TABLE files (
            folder_id INTEGER NOT NULL, name BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
            size INTEGER NOT NULL, allocated INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
            nlink INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
            sha256 BLOB, git_sha1 BLOB, xet BLOB, repo_type BLOB, repo_id BLOB, revision BLOB, links TEXT,
            pinned INTEGER NOT NULL, latest_mtime_ns INTEGER, generation INTEGER NOT NULL,
            PRIMARY KEY (folder_id, name)
        ) WITHOUT ROWID""")
    # Covers the search for sizes that several payloads share.
    db.execute("CREATE INDEX files_by_size ON files (size, device, inode)")
    # One row a payload, true for exactly the signature it carries.
    db.execute("""
        CREATE TABLE digests (
            device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
            ctime_ns INTEGER NOT NULL, sha256 BLOB, git_sha1 BLOB, xxh3_128 BLOB, xet BLOB, sample BLOB,
            PRIMARY KEY (device, inode)
        ) WITHOUT ROWID""")
    db.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
