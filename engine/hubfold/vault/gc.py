"""Removes vault objects that no link needs.

A link is asked on the disk, not in the index: the ones that the object's ``.links`` names, those that runs made, and
every symlink into the vault that is met below the known roots, since a folder of links may have been moved after it was
noted.

There is no journal: the list goes first, then the object, each in one call, so that a crash leaves an object without a
list at the most, which the next look finds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from hubfold import errors
from hubfold.content import VAULT_MARKER
from hubfold.disk.directory import Directory
from hubfold.disk.paths import plain, target_of
from hubfold.errors import LeftAlone
from hubfold.reports.outcomes import Failed, Left
from hubfold.reports.runs import GcReport
from hubfold.vault import objects
from hubfold.vault.links import links_below
from hubfold.vault.names import LINKS, LOCK, of_object
from hubfold.vault.objects import clear_empty


@dataclass(frozen=True, slots=True)
class Garbage:
    """An object that no link needs, or a vault that is empty (its path is the vault's then).

    `bytes` is what removing it frees: 0 while its inode has another name.
    """

    path: str
    bytes: int


def find_garbage(
    vaults: Iterable[str], roots: Collection[str], links: Iterable[str] = ()
) -> tuple[list[Garbage], list[Left]]:
    """(objects that no link needs, objects that are kept with the reason). Nothing is changed.

    `links` are those that runs made, in case that an object's list of them is lost.
    """
    garbage: list[Garbage] = []
    kept: list[Left] = []
    met: set[str] | None = None
    for path in vaults:
        try:
            found = list(objects.objects(path))
        except FileNotFoundError:
            found = []
        except OSError as error:
            kept.append(Left(path, f"cannot be read: {errors.describe(error)}"))
            continue
        if not found and _is_empty(path):
            garbage.append(Garbage(path, 0))  # a gc that was cut short emptied it
        for object_ in found:
            reason = _needed(object_)
            if reason is None:
                if met is None:
                    met = {target for _, target in links_below(roots)}
                    met.update(target for link in links if (target := target_of(link)) is not None)
                if plain(object_) in met:
                    reason = "a link that it does not list needs it (`hubfold doctor --fix` notes it)"
            if reason is not None:
                kept.append(Left(object_, reason))
                continue
            st = os.lstat(object_)
            garbage.append(Garbage(object_, st.st_blocks * 512 if st.st_nlink == 1 else 0))
    return garbage, kept


def remove(garbage: Iterable[Garbage], kept: Iterable[Left] = ()) -> GcReport:
    """Remove objects, each one looked at again under the vault's lock, then what is empty of the vaults."""
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
                    reason = _needed(item.path)
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
        except (OSError, LeftAlone) as error:
            failed.append(Failed(path, errors.describe(error)))
    return GcReport(tuple(removed), freed, tuple(stayed), tuple(failed))


def _is_empty(path: str) -> bool:
    """Whether a vault holds nothing but its marker, its lock, and lists of links to objects that are gone."""
    own = {os.path.join(path, name) for name in (VAULT_MARKER, LOCK)}
    return all(
        os.path.join(folder, name) in own or name.endswith(LINKS)
        for folder, _, names in os.walk(path)
        for name in names
    )


def _needed(object_: str) -> str | None:
    """Why the object has to stay, None if nothing that was noted needs it."""
    try:
        noted = objects.read_links(object_)
    except OSError as error:
        return f"its list of links cannot be read: {errors.describe(error)}"
    unknown = None
    for entry in noted:
        need = objects.need(object_, entry)
        if need is objects.Need.NEEDED:
            return f"{entry.link} needs it"
        if need is objects.Need.UNKNOWN:
            unknown = entry.link
    return None if unknown is None else f"{unknown} cannot be looked at now (is its drive away?)"
