"""Vaults, and roots, that are not where a run knew them: found by id, and by file system and inode."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hubfold.disk.identity import Mounts, Placed
from hubfold.vault.names import OBJECTS, of_object
from hubfold.vault.objects import id_of, is_vault, read_links


def mounted_elsewhere(places: Iterable[Placed], mounts: Mounts) -> Iterator[str]:
    """Where vaults of `places` lie whose file system is mounted somewhere else by now."""
    for placed in places:
        if placed.vault and id_of(placed.path) != placed.vault:
            for path in mounts.paths(placed.at):
                if id_of(path) == placed.vault:
                    yield path


@dataclass(frozen=True, slots=True)
class Moved:
    """What tells where a vault or a root lies now."""

    #: The vaults that are there, and the roots.
    vaults: Sequence[str]
    roots: Sequence[str]
    mounts: Mounts

    def object_of(self, target: str, link: str, run: str, places: Mapping[str, Placed]) -> str | None:
        """Where the object `target` of a link that `run` made lies, if its vault moved; None if it did not.

        A vault is known by its id; one that an older version made, by its object's list, which names the link and run.
        """
        old = of_object(target)
        known = places.get(old)
        wanted = known.vault if known is not None else ""
        if is_vault(old) and wanted in ("", id_of(old)):
            return None
        name = os.path.basename(target)
        for vault in self.vaults:
            object_ = os.path.join(vault, OBJECTS, name[:2], name)
            if os.path.lexists(object_) and (
                id_of(vault) == wanted if wanted else _lists(object_, link, run)
            ):
                return object_
        return None

    def roots_now(self, places: Mapping[str, Placed]) -> dict[str, str]:
        """Roots that are not where they were, by where they are: the same folder under another path."""
        found = {}
        for placed in places.values():
            if placed.inode and not os.path.isdir(placed.path):
                candidates = (*self.roots, *self.mounts.paths(placed.at))
                now = next((path for path in candidates if placed.is_at(path, self.mounts)), None)
                if now is not None:
                    found[placed.path] = now
        return found


def _lists(object_: str, link: str, run: str) -> bool:
    with suppress(OSError):
        return any((entry.link, entry.run) == (link, run) for entry in read_links(object_))
    return False
