"""What is known of a payload's content, and by whose word."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from hubfold.index.rows import CTIME, Row, claims, computed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(slots=True)
class Evidence:
    """What is known of one payload, from all of its names."""

    claims: dict[str, str] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    #: Two names of the payload claim different digests of one algorithm; none of the claims is used.
    disputed: bool = False

    def add(self, claims: Mapping[str, str]) -> None:
        """Take in the claims of one more name; those of a name that is found lying are left out."""
        if not claims:
            return
        if any(self.computed.get(algorithm, value) != value for algorithm, value in claims.items()):
            return
        if any(self.claims.get(algorithm, value) != value for algorithm, value in claims.items()):
            self.disputed = True
        self.claims.update(claims)

    @property
    def digests(self) -> dict[str, str]:
        """The digests that count."""
        return dict(self.computed) if self.disputed or not self.claims else {**self.claims, **self.computed}


def evidence(names: Sequence[Row]) -> Evidence:
    """What is known of one payload from the rows of all its names."""
    # A name whose root was not scanned again may have an older signature; what was computed counts only if it is
    # true for the newest.
    newest = names[0] if len(names) == 1 else max(names, key=itemgetter(CTIME))
    found = Evidence({}, computed(newest))
    for row in names:
        stated = claims(row)
        if stated:
            found.add(stated)
    return found
