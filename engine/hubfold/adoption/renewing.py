"""Notes of a cache that say what another cache's newer ones say: refs that name the newer commit; and that taken back.

A note is small, and the journal holds the one that goes: its text and attributes (`records.Before`). ::

    the note that is there read: it is the one that was planned with
    the temporary name announced (``make``), the new note written under it, fsynced
    ``put`` with what was there before, fsynced
    the old one looked at again, the new one renamed over it, the folder fsynced

At each instant the path reads the old note or the new one, whole.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from hubfold import errors
from hubfold.content import TEMPORARY_PREFIX, Root
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import Attributes, HeldFile
from hubfold.disk.locks import passing_lock
from hubfold.errors import LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.on_disk import is_put
from hubfold.journal.records import Before, Put
from hubfold.reports.outcomes import Failed

#: What is longer is no note that the journal could hold, in bytes.
LONGEST = 4096
_CHANGED = "it was changed meanwhile; the change stays"


@dataclass(frozen=True, slots=True)
class Renewal:
    """A note that is to say something else, once the revision that it names then is there whole."""

    path: str
    before: str
    after: str
    #: When the newer note was written, ns since the epoch.
    mtime_ns: int
    #: The model, as reports name it, and its revision.
    of: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Note:
    """What a note is made of."""

    text: str
    attributes: Attributes


@dataclass(slots=True)
class Renewed:
    """The notes that say something else now, and those that do not, with the reason."""

    paths: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def text_of(path: str) -> str | None:
    """What a note says; None for what is no note of a few characters."""
    with open(path, "rb") as file:
        data = file.read(LONGEST + 1)
    with suppress(UnicodeDecodeError):
        return data.decode() if len(data) <= LONGEST else None
    return None


def renew(
    renewals: Iterable[Renewal], root: Root, journal: Journal, locks: Callable[[Root, str], Sequence[str]]
) -> Renewed:
    """Give each note its new text. Raises nothing for one that cannot be: it stays, and is told."""
    done = Renewed()
    mount = FileSystems().at(root.path).mount
    for one in renewals:
        try:
            with ExitStack() as held:
                for lock in locks(root, one.path):
                    held.enter_context(passing_lock(lock, root.path))
                _renew(one, root, mount, journal)
        except (LeftAlone, OSError) as error:
            done.failed.append(Failed(one.path, errors.describe(error)))
        else:
            done.paths.append(one.path)
    return done


def _renew(one: Renewal, root: Root, mount: str, journal: Journal) -> None:
    old = HeldFile(root.path, one.path, lease=False)
    try:
        if text_of(one.path) != one.before or not old.is_here(old.directory, old.name):
            raise LeftAlone(_CHANGED)
        before = Before.of(one.before, old.attributes)
        attributes = old.attributes._replace(atime_ns=one.mtime_ns, mtime_ns=one.mtime_ns)
        with _written(old.directory, one.path, root.path, Note(one.after, attributes), journal) as (new, st):
            put = Put(
                path=one.path,
                root=root.path,
                backend=root.backend,
                text="",
                inode=st.st_ino,
                size=st.st_size,
                source="",
                mount=mount,
                before=before,
            )
            for place in (root.path, mount):
                journal.place(place)
            journal.append("put", **put.as_record())
            journal.sync()
            if not old.is_here(old.directory, old.name):
                raise LeftAlone(_CHANGED)
            old.directory.rename(new, old.name)
            old.directory.sync()
    finally:
        old.close()


def put_back(put: Put, before: Before, directory: Directory, journal: Journal) -> None:
    """Make the note again in whose place `put` is. Raises `LeftAlone` where it is not there any more, `OSError`."""
    name = os.path.basename(put.path)
    note = Note(before.text, before.attributes)
    with _written(directory, put.path, put.root, note, journal) as (old, _):
        if not is_put(directory, name, put):
            raise LeftAlone("it was changed since; the change stays")
        directory.rename(old, name)
        directory.sync()


@contextmanager
def _written(
    directory: Directory, path: str, root: str, note: Note, journal: Journal
) -> Iterator[tuple[str, os.stat_result]]:
    """The note under a name of hubfold's own, announced and on the disk; gone again unless it was renamed."""
    name = f"{TEMPORARY_PREFIX}{journal.run}-note-{secrets.token_hex(4)}"
    journal.announce("make", path=path, root=root, temporary=os.path.join(directory.path, name))
    journal.sync()
    try:
        fd = directory.create_file(name)
        with open(fd, "wb") as file:
            file.write(note.text.encode())
            file.flush()
            note.attributes.give_to(fd)
            os.fsync(fd)
            st = os.fstat(fd)
        yield name, st
    finally:
        with suppress(FileNotFoundError):
            directory.unlink(name)
