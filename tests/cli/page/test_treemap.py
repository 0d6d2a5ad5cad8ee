"""Rectangles for sizes: all of the box, each its share, none over another."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfold.cli.page.treemap import Box, squarified

SIZES = st.lists(st.integers(1, 10**12), max_size=40).map(lambda sizes: sorted(sizes, reverse=True))


@given(SIZES, st.integers(1, 2000), st.integers(1, 2000))
def test_each_has_its_share_of_the_box(sizes: list[int], width: int, height: int) -> None:
    box = Box(10, 20, width, height)
    found = squarified(sizes, box)
    assert len(found) == len(sizes)
    for size, one in zip(sizes, found, strict=True):
        assert one.area == pytest.approx(box.area * size / sum(sizes), rel=1e-6)
        assert one.x >= 10 - 1e-6 and one.y >= 20 - 1e-6
        assert one.x + one.width <= 10 + width + 1e-6 and one.y + one.height <= 20 + height + 1e-6


@given(SIZES.filter(lambda sizes: len(sizes) < 12))
def test_none_lies_over_another(sizes: list[int]) -> None:
    for one, other in combinations(squarified(sizes, Box(0, 0, 300, 200)), 2):
        wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
        high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
        assert min(wide, high) < 1e-6


def test_the_example_of_the_paper() -> None:
    """Bruls, Huizing, van Wijk: sizes 6, 6, 4, 3, 2, 2, 1 in 6 x 4; the first row is 6 and 6, each 3 x 2."""
    found = squarified([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    assert found[:2] == [Box(0, 0, 3, 2), Box(0, 2, 3, 2)]
    assert [(round(one.width, 2), round(one.height, 2)) for one in found[2:4]] == [(1.71, 2.33), (1.29, 2.33)]


def test_where_there_is_no_room_nothing_is_divided_by_it() -> None:
    assert [one.area for one in squarified([2, 1], Box(0, 0, 0, 5))] == [0, 0]
    assert Box(0, 0, 3, 3).inside(2).area == 0
