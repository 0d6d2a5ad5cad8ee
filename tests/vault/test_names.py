"""The names in a vault."""

from __future__ import annotations

import pytest

from hubfold.vault import names


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("ab" * 32, {"sha256": "ab" * 32}),
        ("ab" * 20, {"git-sha1": "ab" * 20}),
        ("ab" * 16, {"xxh3_128": "ab" * 16}),
        ("ab" * 32 + ".0123456789ab", {"sha256": "ab" * 32}),
        ("ab" * 32 + ".links", {}),
        ("AB" * 32, {}),
        ("ab" * 31, {}),
    ],
)
def test_an_object_says_its_digest_by_its_name(name: str, claims: dict[str, str]) -> None:
    assert names.claims_of(name) == claims


def test_a_xet_hash_names_no_object_since_it_looks_like_a_sha256() -> None:
    assert names.object_path("/v", {"xet": "ab" * 32}) is None
    assert names.object_path("/v", {"xet": "ab" * 32, "xxh3_128": "cd" * 16}) == f"/v/objects/cd/{'cd' * 16}"
