"""Which place a name or a path means, and whether its drive is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.content import Role
from hubfold.disk.identity import Location, Mounts, Placed, place_of
from hubfold.errors import UsageError
from hubfold.places.places import NoPlace, Place, PlaceAway, check_there, holding, in_order, is_away, named


def place(name: str, cache: str, role: Role = Role.SECONDARY, **given: object) -> Place:
    base = given.pop("base", None)
    return Place(name, cache, base, role, None, "added", False, **given)  # type: ignore[arg-type]


FAST = place("fast", "/fast/hub", Role.PRIMARY, base="/fast")
SLOW = place("slow", "/slow")
COPIES = place("", "/copies", takes_models=False)
ALL = [SLOW, COPIES, FAST]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("fast", FAST),
        ("slow", SLOW),
        ("primary", FAST),
        ("secondary", SLOW),
        ("/fast", FAST),
        ("/fast/hub", FAST),
        ("/copies/", COPIES),
    ],
)
def test_a_place_is_meant_by_name_role_or_path(word: str, found: Place) -> None:
    assert named(ALL, word) == found


def test_a_role_that_several_have_is_asked_for() -> None:
    with pytest.raises(UsageError, match="several places are secondary: slow, /other"):
        named([*ALL, place("", "/other")], "secondary")
    assert named([*ALL, place("secondary", "/other")], "secondary").cache == "/other", "a name is stronger"


def test_a_name_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(NoPlace, match="'slwo'") as typo:
        named(ALL, "slwo")
    assert "did you mean slow?" in typo.value.hint
    with pytest.raises(NoPlace) as strange:
        named(ALL, "xyz")
    assert "known are slow, fast" in strange.value.hint


def test_a_path_is_in_the_innermost_place() -> None:
    inner = place("inner", "/fast/hub/inner")
    assert holding([*ALL, inner], "/fast/hub/inner/x") == inner
    assert holding([*ALL, inner], "/fast/hubs") is None


def test_models_go_to_the_primary_place_first_and_never_to_copies() -> None:
    assert in_order(ALL) == [FAST, SLOW]
    assert in_order(ALL, SLOW) == [SLOW, FAST]


# -- away


def test_a_place_that_was_never_seen_is_not_away(tmp_path: Path) -> None:
    assert not is_away(str(tmp_path / "new"), None, Mounts.now)
    assert not is_away(str(tmp_path), Placed(str(tmp_path), Location(), 0), Mounts.now), (
        "nor one not known by anything"
    )


def test_a_place_is_away_by_its_file_system_and_not_by_its_path(tmp_path: Path) -> None:
    here = place_of(str(tmp_path), Mounts.now())
    elsewhere = Placed(str(tmp_path), Location("ext4:" + "0" * 32, "/hub"), 2)
    assert not is_away(str(tmp_path), here, Mounts.now)
    assert is_away(str(tmp_path), elsewhere, Mounts.now), "an empty mount point is none"
    assert is_away(str(tmp_path / "hub"), elsewhere, Mounts.now)
    assert not is_away(str(tmp_path / "hub"), here, Mounts.now), "removed, where its file system is there"


def test_who_needs_a_place_that_is_away_is_told() -> None:
    assert check_there(SLOW) is SLOW
    with pytest.raises(PlaceAway, match=r"slow \(/slow\) is away") as away:
        check_there(SLOW._replace(away=True))
    assert away.value.hint == "connect its drive"
