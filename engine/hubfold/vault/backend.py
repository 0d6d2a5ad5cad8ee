"""A vault as a root of the index."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import VAULT, LinkKind, Replica, Root
from hubfold.vault.names import OBJECTS, STATED, claims_of

#: What an object's name states is what somebody else's name or metadata stated, or what hubfold read itself: xxh3_128,
#: which is never taken from a name.
_CLAIMS = STATED - {"xxh3_128"}


class VaultBackend(StorageBackend):
    """Vault objects as replicas, so that a keeper which only the vault still has is known to the planner."""

    name = VAULT
    capabilities = Capabilities(
        cache=True,
        links=frozenset({LinkKind.REFLINK}),
        links_across=frozenset(),
        claims=_CLAIMS,
    )

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for folder in walk.folders(os.path.join(root.path, OBJECTS)):
            for name, st in folder.files:
                replica = self.replica(root, folder, name, st)
                if replica is not None:
                    yield replica

    def replica(self, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        stated = claims_of(name)
        if not stated:
            return None
        claims = {name: value for name, value in stated.items() if name in _CLAIMS}
        return Replica(os.path.join(folder.path, name), stat, claims, pinned=True)
