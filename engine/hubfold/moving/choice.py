"""Which models leave a place that holds more than its limit: the least recently used first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: What a link takes at the most, where its text has a block of its own.
LINK = 4096
#: By what it is known when a model was used last, where no command noted it.
READ, CAME = "read (atime)", "came"


@dataclass(frozen=True, slots=True)
class LastUse:
    """When a model was used last, in seconds since the epoch, and by what that is known."""

    at: float
    how: str
    name: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A place that a model can go to; the one that it leaves holds `frees` bytes less but for `links` links."""

    to: str
    frees: int
    links: int

    @property
    def gain(self) -> int:
        return self.frees - self.links * LINK


@dataclass(frozen=True, slots=True)
class Choice:
    """Which models go, which stay although it was their turn, and by how many bytes the limit is passed then."""

    going: tuple[tuple[LastUse, Offer], ...]
    stays: tuple[tuple[LastUse, str], ...]
    over: int


def choose(models: Iterable[LastUse], over: int, offer: Callable[[str], Offer | str]) -> Choice:
    """The models that go until a place that is `over` its limit is under it, the least recently used first.

    `offer` finds, and takes, room for a model, or says why it stays; it is asked only about those that would go.
    """
    going: list[tuple[LastUse, Offer]] = []
    stays: list[tuple[LastUse, str]] = []
    for one in sorted(models, key=lambda one: (one.at, one.name)):
        if over <= 0:
            break
        found = offer(one.name)
        if isinstance(found, str):
            stays.append((one, found))
        else:
            going.append((one, found))
            over -= found.gain
    return Choice(tuple(going), tuple(stays), max(0, over))
