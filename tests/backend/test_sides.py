"""Which copies must stay two files, since a client copies one of them over the other."""

from __future__ import annotations

from typing import Any

import pytest

from hubfold.backend.contract import Capabilities
from hubfold.backend.sides import Sides
from hubfold.content import VAULT, IndexedReplica, Signature

SIDES = Sides(
    {
        "cache": Capabilities(cache=True, copies_over=frozenset({"git-sha1"})),
        "other": Capabilities(cache=True),
        "plain": Capabilities(),
        VAULT: Capabilities(cache=True),
    }
)


def replica(backend: str, **claims: Any) -> IndexedReplica:
    named = {name.replace("_", "-"): value for name, value in claims.items()}
    return IndexedReplica(f"/{backend}/x", "/", backend, Signature(1, 1, 1, 1, 1), 0, 1, 0, 0, 0, named, {})


BLOB = replica("cache", git_sha1="a")
LARGE = replica("cache", sha256="a")
COPY = replica("plain")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([BLOB], [COPY], True),
        # Not by every digest that it is named by; and what has no name is copied nowhere.
        ([LARGE], [COPY], False),
        ([replica("cache", git_sha1="a", sha256="b")], [COPY], False),
        ([replica("cache")], [COPY], False),
        # Between caches nothing is copied over anything; a payload is cached by all of its names.
        ([BLOB], [replica("other")], False),
        ([BLOB], [BLOB], False),
        ([BLOB], [replica("other"), COPY], True),
        # A vault object is what local copies read.
        ([BLOB], [replica(VAULT)], True),
        ([COPY], [COPY], False),
    ],
)
def test_payloads_that_have_to_stay_two_files(
    one: list[IndexedReplica], other: list[IndexedReplica], expected: bool
) -> None:
    assert SIDES.apart(one, other) is expected
    assert SIDES.apart(other, one) is expected, "whichever is asked about first"
    assert SIDES.apart(iter(one), iter(other)) is expected


def test_what_is_cached_and_what_is_copied_over() -> None:
    assert SIDES.cached([BLOB, LARGE])
    assert not SIDES.cached([BLOB, COPY])
    assert not SIDES.cached([replica(VAULT)])
    assert SIDES.copied_over([LARGE, BLOB])
    assert not SIDES.copied_over([LARGE, COPY])
