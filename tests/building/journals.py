"""A record of every kind that a journal has, and journals made of records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hubfold.content import LinkKind
from hubfold.journal import journal
from hubfold.journal.records import FarmLink, Intent, KeeperChange, Mend, Removed
from hubfold.journal.run_log import RunLog

INTENT = Intent(
    number=1,
    path="/models/m\udcff\n",
    root="/models",
    backend="plain",
    link=LinkKind.SYMLINK,
    target="/v/objects/ab/abcd",
    text="../v/objects/ab/abcd",
    temporary=".hubfold-run-1",
    keeper="/hub/b",
    keeper_root="/hub",
    keeper_inode=5,
    keeper_mtime_ns=6,
    size=7,
    xxh3_128="ef" * 16,
    digests={"sha256": "ab" * 32},
    payload="1:8",
    inode=8,
    mode=0o644,
    uid=9,
    gid=10,
    atime_ns=11,
    mtime_ns=12,
    xattrs={"user.a": b"\x00\xff"},
    allocated=13,
    bytes=14,
    reason="local copy",
    mount="/",
    locks=("/hub/.locks/l",),
    keeper_mode=15,
)
KEEPER = KeeperChange("/hub/b", "/hub", 5, (0o644, 0o444), (1, 2))
FARM = FarmLink("/farm/m", "/farm", "../hub/b", "/hub/b", ".hubfold-run-farm", "before")
MEND = Mend(1, "/models/m", "/models", ".hubfold-mend", 21, "", 0, "/v/objects/ab/kept", "/hub/b")
ASIDE = {"path": "/hub/snap", "root": "/hub", "temporary": "/hub/.hubfold-aside", "mount": "/mnt"}
REMOVED = Removed("/models/m/f", 3, 23, 24, "", "/models/m", "/models", "local")
LINK = Removed("/hub/l", 0, text="../blobs/b")
RUN = {"record": "run", "version": 1, "command": "consolidate", "started": "2026-01-01T00:00:00Z"}
RUN_NAME = "20260101-000000-000001"


def written(folder: Path, *records: dict[str, Any] | bytes) -> RunLog:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records]
    (folder / f"{RUN_NAME}.jsonl").write_bytes(b"".join(lines))
    return journal.read(str(folder), RUN_NAME)


def states(folder: Path, *records: str, before: tuple[dict[str, Any], ...] = ()) -> RunLog:
    """The log of an intent (if there are records about it) and these records about it."""
    about = [{"record": record, "number": 1, "temporary": ".hubfold-u"} for record in records]
    return written(
        folder, RUN, *([{"record": "intent", **INTENT.as_record()}] if about else []), *about, *before
    )


def intent(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"record": "intent", **replace(INTENT, number=number, **fields).as_record()}


def about(number: int, record: str, **fields: Any) -> dict[str, Any]:
    return {"record": record, "number": number, **fields}


def restored(number: int, inode: int) -> list[dict[str, Any]]:
    return [about(number, "restore", temporary=".hubfold-u"), about(number, "restored", inode=inode)]
