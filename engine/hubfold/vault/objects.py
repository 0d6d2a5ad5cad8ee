"""The vault: hubfold's own object folder beside a cache.

Layout, version 1::

    <vault>/.hubfold-vault                     marker; its text tells a person what this folder is
    <vault>/.lock                              held (flock) by a run that changes the vault
    <vault>/objects/<2 hex>/<digest>           an object: one more hard link of a keeper
    <vault>/objects/<2 hex>/<digest>.<12 hex>  an object of one link's own (`Capabilities.private_objects`)
    <vault>/objects/<2 hex>/<object>.links     the links that need the object, one JSON object per line, appended and
                                               fsynced before the link appears: {"link", "mount", "run"}

A digest is 64 hex (sha256), 40 hex (git-sha1) or 32 hex (xxh3_128): its length tells the algorithm. A line in
``.links`` is a hint that is checked against the disk, so that the vault can be understood without the index.
"""

from __future__ import annotations

import enum
import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hubfold.content import VAULT_MARKER
from hubfold.disk.directory import Directory, make_folders
from hubfold.disk.held import HeldFile
from hubfold.disk.locks import take_lock
from hubfold.errors import LeftAlone
from hubfold.vault.links import points_at
from hubfold.vault.names import LINKS, LOCK, OBJECTS, claims_of

MARKER_TEXT = """hubfold vault 1
The files below objects/ are hard links to model files that hubfold keeps one copy of. Symlinks elsewhere point here.
Do not delete them by hand: `hubfold gc` removes the ones that no link needs, `hubfold undo` takes the links back.
"""


def is_vault(path: str) -> bool:
    """Whether `path` is a vault: the marker tells, not the name."""
    return os.path.isfile(os.path.join(path, VAULT_MARKER))


def prepare(vault: str) -> None:
    """Make the vault, marked, durable. Raises `OSError`."""
    make_folders(vault)
    with Directory.open(vault) as folder:
        if folder.lstat_or_none(VAULT_MARKER) is None:
            _write_marker(folder)


@contextmanager
def lock(vault: str) -> Iterator[None]:
    """Hold a vault while it is changed, across users and state directories. Raises `LeftAlone`, `OSError`."""
    held = take_lock(os.path.join(vault, LOCK))
    try:
        yield
    finally:
        held.release()


def clear_empty(path: str) -> None:
    """Remove a vault that holds no object any more, and lists of links whose object is gone."""
    with suppress(OSError, LeftAlone):
        if not _without_names(path):
            return
        # Not under the lock: as long as its file is open, FUSE keeps a name for it.
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            prepare(path)  # somebody uses it again already


def objects(vault: str) -> Iterator[str]:
    """The paths of the objects in a vault, sorted; none where a crash came before the first. Raises `OSError`."""
    top = os.path.join(vault, OBJECTS)
    try:
        prefixes = sorted(os.listdir(top))
    except FileNotFoundError:
        return
    for prefix in prefixes:
        folder = os.path.join(top, prefix)
        if len(prefix) == 2 and os.path.isdir(folder) and not os.path.islink(folder):
            for name in sorted(os.listdir(folder)):
                if claims_of(name) and name.startswith(prefix):
                    yield os.path.join(folder, name)


def add_object(object_: str, keeper: HeldFile) -> None:
    """Make `object_` a hard link of the keeper, durable; nothing to do where it is one already.

    Raises `FileExistsError` if another file lies there, `OSError`.
    """
    folder_path, name = os.path.split(object_)
    make_folders(folder_path)
    with Directory.open(folder_path) as folder:
        if not keeper.is_here(folder, name):
            folder.link_from(keeper.directory, keeper.name, name)
            if not keeper.is_here(folder, name):
                # The keeper's path was swapped for another file in the last moment; what came is no object.
                folder.unlink(name)
                raise OSError(errno.ESTALE, "the keeper was replaced meanwhile", keeper.path)
        folder.sync()


@dataclass(frozen=True, slots=True)
class NeededBy:
    """A line of an object's ``.links``."""

    link: str
    mount: str
    run: str


def note_links(object_: str, links: Iterable[NeededBy]) -> None:
    """Append lines to an object's ``.links``, durable."""
    folder_path, name = os.path.split(object_)
    with Directory.open(folder_path) as folder:
        new = folder.lstat_or_none(name + LINKS) is None
        fd = folder.append_file(name + LINKS)
        try:
            if new:
                folder.own_file(fd)
            for entry in links:
                line = json.dumps({"link": entry.link, "mount": entry.mount, "run": entry.run})
                # A line that a crash cut short must not swallow this one.
                os.write(fd, b"\n" + line.encode("ascii") + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        folder.sync()


def read_links(object_: str) -> list[NeededBy]:
    """The links that were noted for an object; lines that make no sense are passed over. Raises `OSError`."""
    try:
        with open(object_ + LINKS, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    found: dict[str, NeededBy] = {}
    for line in text.split(b"\n"):
        try:
            entry = json.loads(line)
            link, mount, run = entry["link"], entry["mount"], entry["run"]
        except (ValueError, TypeError, KeyError):
            continue
        if (
            isinstance(link, str)
            and isinstance(mount, str)
            and isinstance(run, str)
            and "\0" not in link + mount
        ):
            found[link] = NeededBy(link, mount, run)
    return list(found.values())


class Need(enum.Enum):
    """Whether a noted link still needs its object."""

    NEEDED = "needed"
    GONE = "gone"
    #: Its drive is away or it cannot be read: that never means it is gone (invariant 5).
    UNKNOWN = "unknown"


def need(object_: str, entry: NeededBy) -> Need:
    """Look whether the link is there and reads `object_`."""
    try:
        st = os.lstat(entry.link)
    except (FileNotFoundError, NotADirectoryError):
        return Need.GONE if os.path.ismount(entry.mount) else Need.UNKNOWN
    except OSError:
        return Need.UNKNOWN
    if not stat.S_ISLNK(st.st_mode):
        return Need.GONE
    return Need.NEEDED if points_at(entry.link, object_) else Need.GONE


def _write_marker(folder: Directory) -> None:
    try:
        fd = folder.create_file(VAULT_MARKER, 0o644)
    except FileExistsError:
        return
    try:
        folder.own_file(fd)
        os.write(fd, MARKER_TEXT.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    folder.sync()


def _without_names(path: str) -> bool:
    """Take the names out of a vault without objects, the marker last: a vault without one is found by nobody.

    False where something stays: objects, or what a repair took out of the way.
    """
    top = os.path.join(path, OBJECTS)
    with lock(path):
        with suppress(FileNotFoundError):
            for prefix in os.listdir(top):
                folder = os.path.join(top, prefix)
                for name in os.listdir(folder):
                    if name.endswith(LINKS) and not os.path.lexists(
                        os.path.join(folder, name[: -len(LINKS)])
                    ):
                        os.unlink(os.path.join(folder, name))
                with suppress(OSError):
                    os.rmdir(folder)
            os.rmdir(top)
        if set(os.listdir(path)) - {VAULT_MARKER, LOCK}:
            return False
        os.unlink(os.path.join(path, LOCK))
        os.unlink(os.path.join(path, VAULT_MARKER))
    return True
