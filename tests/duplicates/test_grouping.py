"""Which payloads are one content, by digests alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfold.duplicates.grouping import groups

A, B = {"sha256": "a"}, {"sha256": "b"}


def members(*digests: Mapping[str, str]) -> list[tuple[int, ...]]:
    return sorted(group.members for group in groups(digests))


@pytest.mark.parametrize(
    ("digests", "expected"),
    [
        ([A, A], [(0, 1)]),
        ([A, B], [(0,), (1,)]),
        ([A, B, A], [(0, 2), (1,)]),
        # Unknown is equal to nothing, least of all to another unknown.
        ([{}, {}], [(0,), (1,)]),
        ([A, {}], [(0,), (1,)]),
        # The same text under another algorithm is another digest.
        ([{"sha256": "a"}, {"xet": "a"}], [(0,), (1,)]),
        # Joined through one that has both.
        ([{"sha256": "a"}, {"sha256": "a", "xxh3_128": "x"}, {"xxh3_128": "x"}], [(0, 1, 2)]),
    ],
)
def test_equal_digests_of_one_algorithm_join(digests: list[dict[str, str]], expected: list[object]) -> None:
    assert members(*digests) == expected


def test_a_group_knows_all_that_its_members_know() -> None:
    [one] = groups([{"sha256": "a", "xet": "t"}, {"sha256": "a", "xxh3_128": "x"}])
    assert one.digests == {"sha256": "a", "xet": "t", "xxh3_128": "x"}


def test_where_somebody_lies_only_those_that_agree_in_everything_stay_together() -> None:
    lie = {"sha256": "a", "xxh3_128": "y"}
    honest = {"sha256": "a", "xxh3_128": "x"}
    assert members(honest, lie, honest, {"sha256": "a"}) == [(0, 2), (1,), (3,)]


DIGESTS = st.dictionaries(
    st.sampled_from(["sha256", "git-sha1", "xxh3_128"]), st.sampled_from("abc"), max_size=3
)


@pytest.mark.slow
@given(st.lists(DIGESTS, max_size=8))
def test_each_payload_is_in_one_group_which_never_contradicts_itself(digests: list[dict[str, str]]) -> None:
    found = groups(digests)
    assert sorted(member for group in found for member in group.members) == list(range(len(digests)))
    for group in found:
        for member in group.members:
            assert digests[member].items() <= group.digests.items()


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
def test_what_is_known_by_one_digest_each_is_grouped_as_beside_one_that_is_known_by_two(
    values: list[str],
) -> None:
    alone = [{"xxh3_128": value} for value in values]
    beside = groups([*alone, {"sha256": "z", "xxh3_128": "z"}])
    assert groups(alone) == [group for group in beside if group.members != (len(values),)]


@pytest.mark.slow
@given(st.lists(DIGESTS, max_size=6), st.randoms())
def test_the_order_of_the_payloads_does_not_matter(digests: list[dict[str, str]], random: object) -> None:
    order = list(range(len(digests)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = groups([digests[number] for number in order])
    back = {frozenset(order[member] for member in group.members) for group in shuffled}
    assert back == {frozenset(group.members) for group in groups(digests)}
