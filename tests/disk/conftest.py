"""No test of the calls on disks leaves a descriptor open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.building.descriptors import nothing_stays_open


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    with nothing_stays_open():
        yield
