"""The journal: one append-only file per run, readable by a person, from which undo and recovery work.

Format, version 1: UTF-8 text, one JSON object per line, each with a ``record``:

=============  =======================================================================================================
``run``        first line: ``version``, ``run``, ``command``, ``started`` (UTC), ``pid``, ``host``, ``hubfold``
``place``      where a root, vault or mount point lies that what follows relies on, `Placed`: ``path``, ``fs`` and
               ``inside`` (identity of the file system, path in it), ``inode``, ``vault`` (its id)
``object``     about to make a vault object: ``path`` of the object, ``keeper``
``keeper``     about to change a keeper's mode or mtime: ``path``, ``root``, ``inode``, ``mode`` and ``mtime_ns`` as
               ``[before, after]``
``share``      about to open a path of a cache to its group, `Shared`: ``mode`` and ``gid`` as ``[before, after]``
``intent``     about to replace a path: everything that undo and recovery need (`Intent`), with its ``number``
``done``       the replacement of ``number`` is whole and the displaced file is gone
``dropped``    ``number`` was given up, the path is as it was: ``reason``
``remove``     about to remove ``path``, which the user named, `Removed`; ``bytes`` by length, 0 for a link
``aside``      about to rename the folder `path` to `temporary`, to empty it there; our own `locks` in it
``make``       about to make the new file or folder `path` under the name `temporary` first
``put``        about to give a root a file or link made of what lies in a folder, `Put`; known again by inode or text;
               of a note that takes the place of another one, what that was (``before``)
``take``       undo is about to remove what was put at ``path``; ``source`` has the bytes, fsynced
``move``       about to move the content of a model to another root, `Moved`: what is made there is announced by
               ``make``, each link to it by an ``intent``
``farm``       about to make a symlink in a farm, `FarmLink`; known again by its text, so it needs no ``done``
``unlinked``   undo took a farm's link away, or saw that it is not in its folder any more
``repoint``    about to give a symlink another text, `Repointed`; known again by its text, so it needs no ``done``
``release``    about to lead the links to a vault object to a copy, and to remove it, `Released`
``mend``       about to give a name other bytes, `Mend`, with its ``number``
``fresh``      what the mends ``numbers`` put in place is made: its ``inode``
``mended``     the mends ``numbers`` are whole and what they displaced is gone
``end``        the run is over: ``state`` is finished or interrupted; ``freed`` bytes by what it removed
``undo``       the run is being taken back
``restore``    about to put a copy back for ``number``: ``temporary``, while it is not whole with `UNFINISHED` added
``restored``   ``number`` is as it was before the run, in another file: its ``inode``
``kept``       ``number`` was not taken back: ``reason``
``undone``     the undo is over
``recovered``  a later command has settled what a crash had left open
=============  =======================================================================================================

What is said to be about to happen is on the disk (fsync) before it happens. A last line without its newline was being
written at a crash; nothing it announced has happened, so it is dropped. Undecodable bytes of paths are ``\\udcXX``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

from hubfold.disk.directory import Directory, make_folders
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.identity import Mounts, place_of
from hubfold.errors import JournalDamaged, RunNotFound
from hubfold.journal.run_log import VERSION, RunLog, take
from hubfold.journal.runs import SUFFIX as SUFFIX
from hubfold.journal.runs import path_of as path_of
from hubfold.journal.runs import run_names as run_names

#: A journal whose last record is one of these has nothing open.
CLOSING = frozenset({"end", "undone", "recovered"})

#: Moment of the start (UTC), and something that makes it unique.
_RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6,}")


class Journal:
    """A run's journal, open for appending. Nothing is buffered past `sync`."""

    def __init__(self, fd: int, run: str, path: str) -> None:
        self._fd = fd
        self.run = run
        self.path = path
        self._pending: list[bytes] = []
        self._filesystems = FileSystems()
        self._mounts: Mounts | None = None
        self._placed: set[str] = set()

    @classmethod
    def create(cls, folder: str, command: str, version: str) -> Journal:
        """Start the journal of a new run in `folder`."""
        make_folders(folder)
        run = _new_run(folder)
        with Directory.open(folder) as directory:
            fd = directory.create_file(run + SUFFIX, append=True)
            journal = cls(fd, run, path_of(folder, run))
            journal.append(
                "run",
                version=VERSION,
                run=run,
                command=command,
                started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                pid=os.getpid(),
                host=platform.node(),
                hubfold=version,
            )
            journal.sync()
            directory.sync()
        return journal

    @classmethod
    def reopen(cls, log: RunLog) -> Journal:
        """Go on with the journal of a past run, after cutting off a line that a crash left half-written."""
        with Directory.open(os.path.dirname(log.path)) as directory:
            fd = directory.append_file(os.path.basename(log.path))
        journal = cls(fd, log.run, log.path)
        with open(log.path, "rb") as file:
            text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            os.ftruncate(fd, whole)
        return journal

    def append(self, record: str, **fields: Any) -> None:
        """Add a record; it is on the disk after the next `sync`."""
        self._pending.append(json.dumps({"record": record, **fields}).encode("ascii") + b"\n")

    def place(self, path: str, vault: str = "") -> None:
        """`append` a ``place``, once for each path."""
        if path in self._placed:
            return
        if self._mounts is None:
            self._mounts = Mounts.now()
        self._placed.add(path)
        self.append("place", **place_of(path, self._mounts, vault).as_record())

    def announce(self, record: str, *, path: str, root: str, temporary: str, **told: Any) -> None:
        """`append` an ``aside`` or a ``make``."""
        mount = self._filesystems.at(root).mount
        for place in (root, mount):
            self.place(place)
        self.append(record, path=path, root=root, temporary=temporary, mount=mount, **told)

    def sync(self) -> None:
        """Write and fsync what was appended. Raises `OSError`; then nothing announced may happen."""
        text, self._pending = b"".join(self._pending), []
        before = os.fstat(self._fd).st_size
        try:
            data = memoryview(text)
            while data:
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)
        except OSError:
            # Half a line would swallow the next one; and the kernel tries no page again whose fsync failed, so a next
            # one could be on the disk behind a hole.
            if text:
                os.ftruncate(self._fd, before)
            raise

    def close(self) -> None:
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read(folder: str, run: str) -> RunLog:
    """The journal of `run`. Raises `RunNotFound`, `JournalDamaged`."""
    if run not in run_names(folder):
        raise RunNotFound(f"there is no run {run!r}", "see `hubfold runs`")
    path = path_of(folder, run)
    with open(path, "rb") as file:
        text = file.read()
    log = RunLog(path, run, "", "")
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            take(log, record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise JournalDamaged(
                f"line {number} of {path} is not what hubfold writes ({type(error).__name__}: {error})",
                "nothing was touched because of it; look at the line, mend it or move the file away",
            ) from None
    return log


def logs(folder: str) -> Iterator[RunLog]:
    """Every run, oldest first. Raises `JournalDamaged` at a damaged one."""
    for run in run_names(folder):
        yield read(folder, run)


def _new_run(folder: str) -> str:
    """A name after all others: their order is the order of the runs, within a second and when the clock goes back."""
    run = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{secrets.randbelow(1 << 23):06x}"
    last = max(filter(_RUN_NAME.fullmatch, run_names(folder)), default="")
    if run > last:
        return run
    moment, _, number = last.rpartition("-")
    return f"{moment}-{int(number, 16) + 1:06x}" if number < "f" * 6 else last + "0"
