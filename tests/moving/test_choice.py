"""Which models leave a place that is over its limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfold.moving.choice import LINK, LastUse, Offer, choose


def use(name: str, at: float) -> LastUse:
    return LastUse(at, "hubfold check", name)


def test_what_was_used_longest_ago_goes_first_and_no_more_than_is_needed() -> None:
    asked = []

    def offer(name: str) -> Offer | str:
        asked.append(name)
        return Offer("slow", 100_000, 1)

    models = [use("new", 3), use("old", 1), use("middle", 2)]
    chosen = choose(models, 150_000, offer)
    assert [one.name for one, _ in chosen.going] == ["old", "middle"] == asked
    assert chosen.over == 0 and not chosen.stays


def test_what_cannot_go_is_told_and_the_next_one_goes() -> None:
    chosen = choose(
        [use("open", 1), use("other", 2)],
        10,
        lambda name: "a program has it open" if name == "open" else Offer("slow", 8192, 1),
    )
    assert [(one.name, why) for one, why in chosen.stays] == [("open", "a program has it open")]
    assert [one.name for one, _ in chosen.going] == ["other"] and chosen.over == 0


def test_links_that_take_blocks_count() -> None:
    chosen = choose([use("one", 1)], 8192, lambda name: Offer("slow", 8192, 1))
    assert chosen.over == LINK


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1 << 30), st.booleans()), max_size=8),
    st.integers(0, 1 << 31),
)
def test_a_place_is_under_its_limit_or_everything_was_asked(
    models: list[tuple[int, int, bool]], over: int
) -> None:
    uses = [use(str(number), at) for number, (at, _, _) in enumerate(models)]

    def offer(name: str) -> Offer | str:
        _, frees, goes = models[int(name)]
        return Offer("slow", frees, 0) if goes else "it stays"

    chosen = choose(uses, over, offer)
    freed = sum(offer.gain for _, offer in chosen.going)
    assert chosen.over == max(0, over - freed)
    assert chosen.over == 0 or len(chosen.going) + len(chosen.stays) == len(models)
    # Without the last one it would not have been enough.
    assert not chosen.going or freed - chosen.going[-1][1].gain < over or over == 0
