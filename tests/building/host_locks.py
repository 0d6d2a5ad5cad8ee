"""Locks that other hosts hold, as they lie on a share."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hubfold.disk.hosts import holders

BOOT = "ab" * 16


def token_of_another_host() -> str:
    return f"{BOOT}-4026531836-4711-99-{'12' * 8}"


def token_that_is_gone(**others: object) -> str:
    """A token of a process of this boot that is gone; `others` are parts of it, by number as in ``_0``."""
    child = subprocess.Popen(["true"])
    child.wait()
    parts = holders.this_process("").token.split("-")
    parts[2] = str(child.pid)
    for number, value in others.items():
        parts[int(number[1:])] = str(value)
    return "-".join(parts)


def another(of: Path, token: str = "", *, text: bytes = b"") -> Path:
    """The lock of the path `of`, held; the file of its holder."""
    folder = of.with_name(of.name + ".host")
    folder.mkdir()
    file = folder / (token or token_of_another_host())
    file.write_bytes(text or b'{"host": "node7", "command": "consolidate", "since": "2026-01-31T10:00:00Z"}')
    return file
