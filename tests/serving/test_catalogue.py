"""When the roots are looked at again."""

from __future__ import annotations

import asyncio

from hubfold.errors import HubfoldError
from hubfold.serving.catalogue import MISSED, OLD, Catalogue
from hubfold.serving.shelf import Shelf


class Looks:
    """Counts looks, by a clock that stands still; `fails` makes them fail."""

    def __init__(self) -> None:
        self.now, self.count, self.fails = 0.0, 0, False
        self.failed: list[Exception] = []
        self.first, self.later = Shelf(), Shelf()
        self.catalogue = Catalogue(self.look, self.failed.append, self.first, lambda: self.now)

    def look(self) -> Shelf:
        self.count += 1
        if self.fails:
            raise HubfoldError("the drive is gone")
        return self.later


def test_an_old_look_is_answered_from_and_made_anew_beside() -> None:
    async def go() -> None:
        looks = Looks()
        looks.now = OLD
        assert await looks.catalogue.shelf() is looks.first
        looks.now = OLD + 1
        assert [await looks.catalogue.shelf() for _ in range(3)] == [looks.first] * 3
        while await looks.catalogue.shelf() is looks.first:
            await asyncio.sleep(0.001)
        assert looks.count == 1

    asyncio.run(go())


def test_who_misses_something_waits_for_a_look_and_many_for_one() -> None:
    async def go() -> None:
        looks = Looks()
        looks.now = MISSED
        assert await looks.catalogue.anew() is looks.first, "that one was hardly ago"
        looks.now = MISSED + 1
        found = await asyncio.gather(*(looks.catalogue.anew() for _ in range(5)))
        assert all(shelf is looks.later for shelf in found)
        assert looks.count == 1

    asyncio.run(go())


def test_a_look_that_fails_is_told_and_the_last_one_holds() -> None:
    async def go() -> None:
        looks = Looks()
        looks.fails, looks.now = True, MISSED + 1
        assert await looks.catalogue.anew() is looks.first
        assert await looks.catalogue.anew() is looks.first
        assert (looks.count, len(looks.failed)) == (1, 1), "a drive with errors is not asked by each request"

    asyncio.run(go())
