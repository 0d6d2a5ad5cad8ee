"""The names in a vault, and where one may lie, as data: pure, no look at a disk."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from hubfold.access import OPEN, Way
from hubfold.content import ALGORITHMS

if TYPE_CHECKING:
    from hubfold.disk.filesystem import FileSystem

#: The folder of the objects, what an object's list of links ends in, and the lock.
OBJECTS = "objects"
LINKS = ".links"
#: Added to the name of a list of links that is being written anew.
NEW = ".new"
LOCK = ".lock"

#: By hex digits.
_LENGTHS = {64: "sha256", 40: "git-sha1", 32: "xxh3_128"}
#: The algorithms of the digests that objects are named by.
STATED = frozenset(_LENGTHS.values())
_OBJECT_NAME = re.compile(r"([0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(\.[0-9a-f]{12})?")


class VaultPlace(NamedTuple):
    """A folder that may be, or become, the vault for keepers of a root."""

    path: str
    filesystem: FileSystem
    writable: bool
    #: What the user has to know if it is used.
    note: str = ""
    #: Who gets to the objects in it; as it will be, where it is not there yet.
    way: Way = OPEN
    #: The folder whose users have to get there: what is made of the vault gets its permissions.
    serves: str = ""


def claims_of(name: str) -> dict[str, str]:
    """What an object's name says of its content; empty if it is no object's name."""
    match = _OBJECT_NAME.fullmatch(name)
    return {_LENGTHS[len(match[1])]: match[1]} if match else {}


def object_path(vault: str, digests: Mapping[str, str], own_link: str | None = None) -> str | None:
    """Where the object of a content lies; `own_link` is the path of the link that gets an object of its own.

    None if no digest is known that names objects.
    """
    for algorithm in ALGORITHMS:
        if algorithm in digests and algorithm in STATED:
            name = digests[algorithm]
            if own_link is not None:
                name += "." + hashlib.sha256(os.fsencode(own_link)).hexdigest()[:12]
            return f"{vault.rstrip('/')}/{OBJECTS}/{name[:2]}/{name}"
    return None


def of_object(object_: str) -> str:
    """The vault that an object lies in."""
    return os.path.dirname(os.path.dirname(os.path.dirname(object_)))
