"""The shelf as it is now: looked at again from time to time, and when somebody asks for what is not on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hubfold.errors import HubfoldError
from hubfold.serving.shelf import Shelf

#: Seconds. An older look is made anew, beside the answers; one that misses something, if it is older than `MISSED`.
OLD = 60.0
MISSED = 2.0


class Catalogue:
    """Looks one at a time, in a thread of its own. `failed` is told of one that could not be made."""

    def __init__(
        self,
        look: Callable[[], Shelf],
        failed: Callable[[Exception], object],
        first: Shelf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._failed = failed
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "look")
        self._shelf = first
        self._looked = clock()
        self._looking: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Ends when the look that goes on has ended."""
        self._thread.shutdown(cancel_futures=True)

    async def shelf(self) -> Shelf:
        """The last look; one that is old is made anew beside the answer."""
        if self._clock() - self._looked > OLD:
            self._begin()
        return self._shelf

    async def anew(self) -> Shelf:
        """For who misses something: a look that is hardly old, made now if need be."""
        if self._clock() - self._looked > MISSED:
            await asyncio.shield(self._begin())
        return self._shelf

    def _begin(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._make())
        return self._looking

    async def _make(self) -> None:
        try:
            self._shelf = await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        except (HubfoldError, OSError) as error:
            self._failed(error)
        # Also where it failed: a drive that answers with errors is not asked for each request.
        self._looked = self._clock()
