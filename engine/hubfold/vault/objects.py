"""The vault: hubfold's own object folder beside a cache.

Layout, version 1::

    <vault>/.hubfold-vault                     marker; its text tells a person what this folder is, and a line
                                               ``id <32 hex>`` which vault it is, wherever it is moved to
    <vault>/.lock                              held (flock) by a run that changes the vault, on shared file systems
                                               with <vault>/.lock.host, which holds between hosts (`disk/hosts/lock`)
    <vault>/objects/<2 hex>/<digest>           an object: one more hard link of a keeper
    <vault>/objects/<2 hex>/<digest>.<12 hex>  an object of one link's own (`Capabilities.private_objects`), or of a
                                               second keeper of the content (other readers, or all links taken):
                                               sha256 of the link's, or of the keeper's path
    <vault>/objects/<2 hex>/<object>.links     the links that need the object, one JSON object per line, appended and
                                               fsynced before the link appears (`NeededBy`)

A digest is 64 hex (sha256), 40 hex (git-sha1) or 32 hex (xxh3_128): its length tells the algorithm. A line in
``.links`` is a hint that is checked against the disk, so that the vault can be understood without the index. Vaults
of older versions have no id until a run prepares them again, and lines with "link", "mount" and "run" only.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields

from hubfold.content import VAULT_MARKER
from hubfold.disk.directory import Directory, make_folder_like, make_folders
from hubfold.disk.held import HeldFile
from hubfold.disk.hosts import lock as hosts
from hubfold.disk.locks import take_own_lock
from hubfold.errors import LeftAlone
from hubfold.vault.names import LINKS, LOCK, NEW, OBJECTS, claims_of, of_object

MARKER_TEXT = """hubfold vault 1
The files below objects/ are hard links to model files that hubfold keeps one copy of. Symlinks elsewhere point here.
Do not delete them by hand: `hubfold gc` removes the ones that no link needs, `hubfold undo` takes the links back.
"""


_ID = re.compile(rb"^id ([0-9a-f]{32})$", re.MULTILINE)


def is_vault(path: str) -> bool:
    """Whether `path` is a vault: the marker tells, not the name."""
    return os.path.isfile(os.path.join(path, VAULT_MARKER))


def make(vault: str, serves: str) -> None:
    """Make the folder of a vault, not marked yet.

    It gets the permissions of `serves`, whose users have to get there, whatever the umask and the folder above it say.
    Raises `OSError`, `LeftAlone` where `serves` is gone.
    """
    if not os.path.isdir(serves):
        raise LeftAlone(f"{serves} is not there (is its drive connected?): no vault is made in its place")
    make_folders(os.path.dirname(vault))
    make_folder_like(vault, serves)


def prepare(vault: str) -> None:
    """Make the vault, marked, with an id, durable; call it with the vault's lock held. Raises `OSError`."""
    make_folders(vault)
    with Directory.open(vault) as folder:
        if folder.lstat_or_none(VAULT_MARKER) is None:
            _write_marker(folder, MARKER_TEXT)
        if not id_of(vault):
            # A line that a crash cut short is no id, and must not swallow this one.
            with suppress(PermissionError):  # another user's vault of an older version: he gives it one
                _write_marker(folder, f"\nid {secrets.token_hex(16)}\n")


def id_of(vault: str) -> str:
    """Which vault this is, "" for one of an older version and where there is none (to be read)."""
    try:
        with open(os.path.join(vault, VAULT_MARKER), "rb") as file:
            found = _ID.search(file.read(4096))
    except OSError:
        return ""
    return found[1].decode() if found else ""


@contextmanager
def lock(vault: str) -> Iterator[None]:
    """Hold a vault while it is changed, across users and state directories. Raises `LeftAlone`, `OSError`."""
    held = take_own_lock(os.path.join(vault, LOCK), vault)
    try:
        yield
    finally:
        held.release()


def clear_ended(vault: str) -> None:
    """Take away the lock between hosts that a process of this host left in a vault and is gone."""
    hosts.clear_ended(os.path.join(vault, LOCK))


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
    make_folder_of(object_)
    with Directory.open(folder_path) as folder:
        if not keeper.is_here(folder, name):
            folder.link_from(keeper.directory, keeper.name, name)
            if not keeper.is_here(folder, name):
                # The keeper's path was swapped for another file in the last moment; what came is no object.
                folder.unlink(name)
                raise OSError(errno.ESTALE, "the kept file was replaced meanwhile", keeper.path)
        folder.sync()


def make_folder_of(object_: str) -> None:
    """Make the folder that an object lies in: whoever gets into its vault gets there. Raises `OSError`."""
    folder = os.path.dirname(object_)
    vault = of_object(object_)
    make_folder_like(os.path.dirname(folder), vault)
    make_folder_like(folder, vault)


@dataclass(frozen=True, slots=True)
class NeededBy:
    """A line of an object's ``.links``; lines of older versions have the first three only."""

    link: str
    #: Where the file system of the link was mounted.
    mount: str
    run: str
    #: The root that the link lies in.
    root: str = ""
    #: The identity of the file system that the link is on, and its path inside that (`identity.Location`).
    fs: str = ""
    inside: str = ""
    #: The id of the vault.
    vault: str = ""
    #: Who made it: the id of the machine, and its name for people.
    machine: str = ""
    host: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Lines with the same key are about one link."""
        return self.link, self.machine, self.fs, self.inside


_FIELDS = tuple(field.name for field in fields(NeededBy))


def note_links(object_: str, links: Iterable[NeededBy]) -> None:
    """Append lines to an object's ``.links``, durable."""
    folder_path, name = os.path.split(object_)
    with Directory.open(folder_path) as folder:
        new = folder.lstat_or_none(name + LINKS) is None
        fd = folder.append_file(name + LINKS)
        try:
            if new:
                folder.own_file(fd, noted=True)
            for entry in links:
                # A line that a crash cut short must not swallow this one.
                os.write(fd, b"\n" + _line(entry))
            os.fsync(fd)
        finally:
            os.close(fd)
        folder.sync()


def _line(entry: NeededBy) -> bytes:
    told = {name: getattr(entry, name) for name in _FIELDS if getattr(entry, name)}
    return (
        json.dumps({"link": entry.link, "mount": entry.mount, "run": entry.run, **told}).encode("ascii")
        + b"\n"
    )


def read_links(object_: str) -> list[NeededBy]:
    """The links that were noted for an object; lines that make no sense are passed over. Raises `OSError`."""
    try:
        with open(object_ + LINKS, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    found: dict[tuple[str, ...], NeededBy] = {}
    for line in text.split(b"\n"):
        try:
            entry = json.loads(line)
            known = NeededBy(**{name: entry[name] for name in _FIELDS if name in entry})
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        values = [getattr(known, name) for name in _FIELDS]
        if all(isinstance(value, str) and "\0" not in value for value in values):
            found[known.key] = known
    return list(found.values())


def drop_links(object_: str, lines: Iterable[NeededBy]) -> None:
    """Take lines out of an object's ``.links``, durable; call it with the vault's lock held. Raises `OSError`.

    Without any line left the object is still one that has a list.
    """
    gone = {entry.key for entry in lines}
    stay = [entry for entry in read_links(object_) if entry.key not in gone]
    folder_path, name = os.path.split(object_ + LINKS)
    with Directory.open(folder_path) as folder:
        with suppress(FileNotFoundError):
            folder.unlink(name + NEW)  # a crash left it
        fd = folder.create_file(name + NEW, 0o644)
        try:
            folder.own_file(fd, noted=True)
            os.write(fd, b"".join(map(_line, stay)))
            os.fsync(fd)
        finally:
            os.close(fd)
        folder.rename(name + NEW, name)
        folder.sync()


def _write_marker(folder: Directory, text: str) -> None:
    fd = folder.append_file(VAULT_MARKER, 0o644)
    try:
        folder.own_file(fd, noted=True)
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    folder.sync()


@dataclass(frozen=True, slots=True)
class Unneeded:
    """What of a vault is for no object: lists of links, and folders with nothing else in them, the deepest first."""

    lists: tuple[str, ...]
    folders: tuple[str, ...]
    #: The marker and the lock, where nothing is left but these.
    last: tuple[str, ...] = ()


def unneeded(vault: str, without: Collection[str] = ()) -> Unneeded:
    """What of a vault is for no object once those of `without` are gone. Raises `OSError`."""
    top = os.path.join(vault, OBJECTS)
    lists: list[str] = []
    folders: list[str] = []
    prefixes = os.listdir(top) if os.path.lexists(top) else []
    for folder in (os.path.join(top, prefix) for prefix in sorted(prefixes)):
        names = sorted(os.listdir(folder))
        of_none = [os.path.join(folder, name) for name in names if _is_list_of_none(folder, name, without)]
        lists += of_none
        if {os.path.join(folder, name) for name in names} <= {*of_none, *without}:
            folders.append(folder)
    if len(folders) < len(prefixes):
        return Unneeded(tuple(lists), tuple(folders))
    folders += [top] if os.path.lexists(top) else []
    stays = set(os.listdir(vault)) - {VAULT_MARKER, LOCK, LOCK + hosts.SUFFIX, OBJECTS}
    last = () if stays else (os.path.join(vault, LOCK), os.path.join(vault, VAULT_MARKER))
    return Unneeded(tuple(lists), tuple(folders), last)


def _is_list_of_none(folder: str, name: str, without: Collection[str]) -> bool:
    """Whether `name` is a list of links (also one in the making) whose object is gone, or among `without`."""
    object_ = os.path.join(folder, name.removesuffix(NEW).removesuffix(LINKS))
    return name.endswith((LINKS, LINKS + NEW)) and (object_ in without or not os.path.lexists(object_))


def _without_names(path: str) -> bool:
    """Take the names out of a vault without objects, the marker last: a vault without one is found by nobody.

    False where something stays: objects, or what a repair took out of the way.
    """
    with lock(path):
        found = unneeded(path)
        for list_ in found.lists:
            os.unlink(list_)
        for folder in found.folders:
            os.rmdir(folder)
        for name in found.last:
            os.unlink(name)
    return bool(found.last)
