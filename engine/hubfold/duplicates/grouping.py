"""Which payloads of one size are one content: pure, from the digests that are known of them.

Two payloads are joined by an equal digest of the same algorithm. What was computed wins over what is claimed: a name
whose claim was found to be a lie joins by what was computed alone, and a payload whose names claim different things
joins by no claim at all. An unknown digest is equal to nothing, least of all to another unknown one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence


class ContentGroup(NamedTuple):
    """Payloads (by their place in the sequence given) of one content."""

    members: tuple[int, ...]
    digests: Mapping[str, str]


def groups(digests: Sequence[Mapping[str, str]]) -> list[ContentGroup]:
    """The payloads of one size, grouped by content: each in exactly one group, alone where nothing joins it.

    No group has two values for one algorithm: where joining over several algorithms leads to that, somebody lies, and
    only payloads that agree in everything stay together.
    """
    if len(digests) > 1 and digests[0] and all(known == digests[0] for known in digests):
        # What most sizes of large files are: all of one content, and known by the same digests.
        return [ContentGroup(tuple(range(len(digests))), dict(digests[0]))]
    if {len(known) for known in digests} == {1} and len({*map(next, map(iter, digests))}) == 1:
        return _by_one_digest(digests)
    found: list[ContentGroup] = []
    for members in _joined(digests):
        merged = _merged(digests[member] for member in members)
        if merged is not None:
            found.append(ContentGroup(members, merged))
            continue
        agreeing: dict[Hashable, list[int]] = {}
        for member in members:
            agreeing.setdefault(frozenset(digests[member].items()), []).append(member)
        found += [ContentGroup(tuple(same), dict(digests[same[0]])) for same in agreeing.values()]
    return found


def _by_one_digest(digests: Sequence[Mapping[str, str]]) -> list[ContentGroup]:
    """Where one algorithm is all that is known of each, as of most small files: nothing is to be joined over others."""
    ((algorithm, _),) = digests[0].items()
    alike: dict[str, list[int]] = {}
    for member, known in enumerate(digests):
        alike.setdefault(known[algorithm], []).append(member)
    return [ContentGroup(tuple(same), {algorithm: value}) for value, same in alike.items()]


def _joined(digests: Sequence[Mapping[str, str]]) -> list[tuple[int, ...]]:
    """Union-find over the payloads by their digests."""
    parent = list(range(len(digests)))

    def find(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    first: dict[tuple[str, str], int] = {}
    for member, known in enumerate(digests):
        for digest in known.items():
            other = find(first.setdefault(digest, member))
            parent[max(other, find(member))] = min(other, find(member))
    together: dict[int, list[int]] = {}
    for member in range(len(digests)):
        together.setdefault(find(member), []).append(member)
    return [tuple(members) for members in together.values()]


def _merged(known: Iterable[Mapping[str, str]]) -> dict[str, str] | None:
    """All digests as one, None where two of them disagree."""
    merged: dict[str, str] = {}
    for digests in known:
        for algorithm, value in digests.items():
            if merged.setdefault(algorithm, value) != value:
                return None
    return merged
