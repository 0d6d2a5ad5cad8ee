"""Copies that must not become one file with a cached one: what clients do with both is no use of one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hubfold.backend.contract import Capabilities
from hubfold.content import VAULT, IndexedReplica


class Sides:
    """Tells which payloads of a set a client would copy over each other (`Capabilities.copies_over`): pure."""

    def __init__(self, capabilities: Mapping[str, Capabilities]) -> None:
        self._capabilities = capabilities

    def apart(self, one: Iterable[IndexedReplica], other: Iterable[IndexedReplica]) -> bool:
        """Whether two payloads, each by all of its names, have to stay two files."""
        first, second = list(one), list(other)
        if not any(replica.claims for replica in (*first, *second)):
            return False
        return self._keep_off(first, second) or self._keep_off(second, first)

    def cached(self, payload: Iterable[IndexedReplica]) -> bool:
        """Whether all names are of caches. A vault object is what local copies read, as far as anybody knows here."""
        return all(
            replica.backend != VAULT and self._capabilities[replica.backend].cache for replica in payload
        )

    def copied_over(self, payload: Iterable[IndexedReplica]) -> bool:
        """Whether a client copies this payload over local copies that it does not trust."""
        return any(
            bool(replica.claims) and replica.claims.keys() <= self._capabilities[replica.backend].copies_over
            for replica in payload
        )

    def _keep_off(self, cached: list[IndexedReplica], copy: list[IndexedReplica]) -> bool:
        return self.copied_over(cached) and not self.cached(copy)
