"""Removes vault objects that no link needs.

A link is asked on the disk, not in the index: the ones that the object's ``.links`` names, those that runs made, and
every symlink to such an object that is met below the known roots and those that the lists name, since a folder of links
may have been moved after it was noted. An object goes only when each link was seen to be gone (`need`).

There is no journal: the list goes first, then the object, each in one call, so that a crash leaves an object without a
list at the most, which the next look finds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from hubfold import errors
from hubfold.content import VAULT_MARKER
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.runs import GcReport
from hubfold.vault import objects
from hubfold.vault.links import object_named, texts_below
from hubfold.vault.names import LINKS, LOCK, NEW, of_object
from hubfold.vault.need import Here, Need, need, reads_another, why
from hubfold.vault.objects import NeededBy, clear_empty


@dataclass(frozen=True, slots=True)
class Garbage:
    """An object that no link needs, or a vault that is empty (its path is the vault's then).

    `bytes` is what removing it frees: 0 while its inode has another name.
    """

    path: str
    bytes: int
    #: Whether the content has no other name.
    last: bool = False


def find_garbage(
    vaults: Iterable[str],
    roots: Collection[str],
    links: Iterable[str] = (),
    *,
    here: Here,
    forget: str | None = None,
) -> tuple[list[Garbage], list[Left]]:
    """(objects that no link needs, objects that are kept with the reason). Nothing is changed.

    `links` are those that runs made, in case that an object's list of them is lost. What the machine `forget` (by name
    or id) noted counts for nothing.
    """
    garbage: list[Garbage] = []
    kept: list[Left] = []
    met: dict[str, list[str]] | None = None
    for path in vaults:
        try:
            found = list(objects.objects(path))
            noted = {object_: objects.read_links(object_) for object_ in found}
        except FileNotFoundError:
            found, noted = [], {}
        except OSError as error:
            kept.append(Left(path, f"cannot be read: {errors.describe(error)}"))
            continue
        if not found and _is_empty(path):
            garbage.append(Garbage(path, 0))  # a gc that was cut short emptied it
        for object_ in found:
            reason = _needed(object_, here, forget)
            if reason is None:
                if met is None:
                    met = _met(roots, links, noted.values())
                links_to_it = met.get(os.path.basename(object_), ())
                if any(not reads_another(link, object_) for link in links_to_it):
                    reason = "a link that it does not list needs it (`hubfold doctor --fix` notes it)"
            if reason is not None:
                kept.append(Left(object_, reason))
                continue
            garbage.append(garbage_at(object_))
    return together(garbage), kept


def together(garbage: Iterable[Garbage]) -> list[Garbage]:
    """The same; of objects that are one file, and all of its names, the last one to go is the last copy."""
    found = list(garbage)
    names: dict[tuple[int, int], int] = {}
    for number, item in enumerate(found):
        with suppress(OSError):
            st = os.lstat(item.path)
            key = st.st_dev, st.st_ino
            names[key] = names.get(key, 0) + 1
            if names[key] == st.st_nlink > 1:
                found[number] = replace(item, last=True, bytes=item.bytes + st.st_blocks * 512)
    return found


def goes_with(vaults: Iterable[str], removed: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files, folders) of hubfold's own that go from these vaults with the objects `removed`."""
    files: list[str] = []
    folders: list[str] = []
    for path in vaults:
        with suppress(OSError):
            found = objects.unneeded(path, removed)
            files += (*found.lists, *filter(os.path.lexists, found.last))
            folders += (*found.folders, *([path] if found.last and path not in removed else []))
    return tuple(files), tuple(folders)


def garbage_at(object_: str) -> Garbage:
    """Raises `OSError`."""
    st = os.lstat(object_)
    last = st.st_nlink == 1
    return Garbage(object_, st.st_blocks * 512 if last else 0, last)


def _met(
    roots: Collection[str], links: Iterable[str], noted: Iterable[Iterable[NeededBy]]
) -> dict[str, list[str]]:
    """The links that name an object, by its name: those below the roots, those that were noted, or made by runs."""
    places = dict.fromkeys([*roots, *(entry.root for lines in noted for entry in lines if entry.root)])
    met: dict[str, list[str]] = {}
    for link, text in texts_below(places):
        if name := object_named(text):
            met.setdefault(name, []).append(link)
    for link in links:
        with suppress(OSError):
            if name := object_named(os.readlink(link)):
                met.setdefault(name, []).append(link)
    return met


def _is_empty(path: str) -> bool:
    """Whether a vault holds nothing but its marker, its lock, and lists of links to objects that are gone."""
    own = {os.path.join(path, name) for name in (VAULT_MARKER, LOCK)}
    return all(
        os.path.join(folder, name) in own or name.endswith((LINKS, LINKS + NEW))
        for folder, _, names in os.walk(path)
        for name in names
    )


def _needed(object_: str, here: Here, forget: str | None) -> str | None:
    """Why the object has to stay, None if nothing that was noted needs it."""
    try:
        noted = objects.read_links(object_)
    except OSError as error:
        return f"its list of links cannot be read: {errors.describe(error)}"
    unknown = None
    for entry in noted:
        needed = need(object_, entry, here)
        if needed is Need.NEEDED:
            return f"{entry.link} needs it"
        if needed is Need.UNKNOWN and not _is_of(entry, forget):
            unknown = entry
    return None if unknown is None else why(unknown, here)


def _is_of(entry: NeededBy, machine: str | None) -> bool:
    return bool(machine) and machine in (entry.machine, entry.host)


def noted_by(vaults: Iterable[str], machine: str) -> list[tuple[str, list[NeededBy]]]:
    """(object, its lines) of the objects for which `machine`, by name or id, noted links. Raises `OSError`."""
    found = []
    for path in vaults:
        for object_ in objects.objects(path):
            lines = [entry for entry in objects.read_links(object_) if _is_of(entry, machine)]
            if lines:
                found.append((object_, lines))
    return found


def forget_machine(vaults: Iterable[str], machine: str) -> list[Failed]:
    """Give up what `machine` noted: its lines leave the lists; what could not be written."""
    failed = []
    for path in vaults:
        try:
            with objects.lock(path):
                for object_, lines in noted_by([path], machine):
                    objects.drop_links(object_, lines)
        except (OSError, LeftAlone) as error:
            failed.append(Failed(path, errors.describe(error)))
    return failed


def remove(garbage: Iterable[Garbage], kept: Iterable[Left] = (), *, here: Here) -> GcReport:
    """Remove objects, each one looked at again under the vault's lock, then what is empty of the vaults."""
    here = here.again()
    last: list[str] = []
    removed: list[str] = []
    failed: list[Failed] = []
    stayed = list(kept)
    freed = 0
    by_vault: dict[str, list[Garbage]] = {}
    for item in garbage:
        if objects.is_vault(item.path):
            clear_empty(item.path)
            if os.path.lexists(item.path):
                failed.append(Failed(item.path, "it could not be removed"))
            else:
                removed.append(item.path)
        else:
            by_vault.setdefault(of_object(item.path), []).append(item)
    for path, items in by_vault.items():
        try:
            with objects.lock(path):
                for item in items:
                    reason = _needed(item.path, here, None)
                    if reason is None and not item.last and garbage_at(item.path).last:
                        reason = "it has become the last copy of its content meanwhile; look again"
                    if reason is not None:
                        stayed.append(Left(item.path, reason))
                        continue
                    with Directory.open(os.path.dirname(item.path)) as folder:
                        # The list first: an object without one is found and removed by the next gc.
                        with suppress(FileNotFoundError):
                            folder.unlink(os.path.basename(item.path) + LINKS)
                        folder.unlink(os.path.basename(item.path))
                    removed.append(item.path)
                    freed += item.bytes
                    if item.last:
                        last.append(item.path)
        except (OSError, LeftAlone) as error:
            failed.append(Failed(path, errors.describe(error)))
    return GcReport(tuple(removed), freed, tuple(stayed), tuple(failed), tuple(last))
