"""The tables of the index, as SQL: what the migrations are made of, and what a new index is made by.

Numbers of devices and inodes are unsigned 64-bit, SQLite's integers signed: they are stored as two's complement
(`database.signed`). Paths, names and everything else that comes from disk are BLOBs, since they need not be UTF-8.
Digests are BLOBs of their raw bytes.
"""

from __future__ import annotations

#: The name of the set of migrations, and those there are, in order. A step that was released is never edited.
SET = "hubfold-index"
NAMES = ("m001_tables", "m002_tallies", "m003_stores")

M001_TABLES = (
    """
        CREATE TABLE roots (
            id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, backend TEXT NOT NULL, role TEXT NOT NULL,
            max_bytes INTEGER, device INTEGER, generation INTEGER NOT NULL DEFAULT 0, scanned_at INTEGER,
            files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, allocated INTEGER NOT NULL DEFAULT 0
        )""",
    # A path is unique over all roots: a folder belongs to the innermost root that was scanned.
    """
        CREATE TABLE folders (
            id INTEGER PRIMARY KEY, root_id INTEGER NOT NULL, path BLOB NOT NULL UNIQUE, fingerprint BLOB
        )""",
    "CREATE INDEX folders_of_root ON folders (root_id)",
    """
        CREATE TABLE files (
            folder_id INTEGER NOT NULL, name BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
            size INTEGER NOT NULL, allocated INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
            nlink INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
            sha256 BLOB, git_sha1 BLOB, xet BLOB, repo_type BLOB, repo_id BLOB, revision BLOB, links TEXT,
            pinned INTEGER NOT NULL, latest_mtime_ns INTEGER, generation INTEGER NOT NULL,
            PRIMARY KEY (folder_id, name)
        ) WITHOUT ROWID""",
    # Covers the search for sizes that several payloads share.
    "CREATE INDEX files_by_size ON files (size, device, inode)",
    # One row a payload, true for exactly the signature it carries.
    """
        CREATE TABLE digests (
            device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
            ctime_ns INTEGER NOT NULL, sha256 BLOB, git_sha1 BLOB, xxh3_128 BLOB, xet BLOB, sample BLOB,
            PRIMARY KEY (device, inode)
        ) WITHOUT ROWID""",
    "CREATE TABLE state (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
)

_CLAIMED = "sha256 IS NOT NULL OR git_sha1 IS NOT NULL OR xet IS NOT NULL"

M002_TALLIES = (
    # See `tallies`. A question is asked of the whole index, its figures are those of one size.
    "CREATE TABLE tallies (id INTEGER PRIMARY KEY, question TEXT NOT NULL UNIQUE, version INTEGER NOT NULL)",
    """
        CREATE TABLE figures (
            tally INTEGER NOT NULL, size INTEGER NOT NULL, first INTEGER NOT NULL, second INTEGER NOT NULL,
            third INTEGER NOT NULL, PRIMARY KEY (tally, size)
        ) WITHOUT ROWID""",
    "CREATE TABLE changed_sizes (size INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
    # Which sizes have more to compare by than what a plain scan reads: of most trees, none.
    f"CREATE INDEX files_claimed ON files (size) WHERE {_CLAIMED}",
    f"CREATE INDEX digests_named ON digests (size) WHERE {_CLAIMED}",
)

_CLAIMED_TODAY = f"{_CLAIMED} OR md5 IS NOT NULL"

M003_STORES = (
    # What the stores of other programs state, and what they allow of one file.
    "ALTER TABLE files ADD COLUMN md5 BLOB",
    "ALTER TABLE files ADD COLUMN keeps INTEGER",
    "ALTER TABLE files ADD COLUMN edited INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE digests ADD COLUMN md5 BLOB",
    "DROP INDEX files_claimed",
    "DROP INDEX digests_named",
    f"CREATE INDEX files_claimed ON files (size) WHERE {_CLAIMED_TODAY}",
    f"CREATE INDEX digests_named ON digests (size) WHERE {_CLAIMED_TODAY}",
)

#: What the indexes of `M003_STORES` hold, as the queries have to say it so that SQLite takes these indexes.
CLAIMED = "({0}.sha256 IS NOT NULL OR {0}.git_sha1 IS NOT NULL OR {0}.xet IS NOT NULL OR {0}.md5 IS NOT NULL)"

#: Every table and index of today.
TABLES = (*M001_TABLES, *M002_TALLIES, *M003_STORES)

#: Where sqlite-utils notes which migrations were applied, as its releases from 4.0 on make it.
BOOKKEEPING = (
    """CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)""",
    """CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")""",
)

#: `database.fingerprint` of an index as all of this makes it. One that has it needs no closer look and no sqlite-utils,
#: whose import takes as long as a whole scan of a few models.
CURRENT = "9bf8af040b8a6c660ff282b2cf176fc7e36ce10b4ed80ed2c186ea61552501a8"
