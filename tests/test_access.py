"""Who may read, as sets of classes of users that are compared: no disk, no user of this machine."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from hubfold.access import (
    OPEN,
    READ,
    SEARCH,
    Permissions,
    Way,
    breadth,
    named,
    readers,
    shut_out,
    stopped_by,
)
from tests.building.people import acl

ME, MINE = 40_001, 40_101


def file(mode: int, uid: int = ME, gid: int = MINE, acl_: bytes | None = None) -> Permissions:
    return Permissions.of(uid, gid, mode, acl_)


def way(*modes: int) -> Way:
    return Way.through(Permissions.of(ME, MINE, mode, path=f"/{mode:o}") for mode in modes)


@pytest.mark.parametrize(
    ("more", "less", "who"),
    [
        (file(0o644), file(0o640), (-1, frozenset())),
        (file(0o640), file(0o600), (-1, {MINE})),
        (file(0o640), file(0o640, gid=7), (-1, {MINE})),
        (file(0o400), file(0o400, uid=7), (ME, frozenset())),
        (file(0o644), file(0o604), (-1, {MINE})),
        (file(0o644), file(0o044), (ME, frozenset())),
        (file(0o640, acl_=acl(0o640, users=[(7, 4)])), file(0o640), (7, frozenset())),
        (file(0o600, acl_=acl(0o600, groups=[(8, 4)])), file(0o600), (-1, {8})),
        (file(0o644), file(0o644, acl_=acl(0o644, users=[(7, 0)])), (7, frozenset())),
    ],
)
def test_who_is_shut_out_by_another_file(
    more: Permissions, less: Permissions, who: tuple[int, object]
) -> None:
    assert shut_out(readers(more), (readers(less),)) == who
    assert shut_out(readers(more), (readers(less), readers(more))) is None
    assert shut_out(readers(more), (readers(replace(more, path="/elsewhere")),)) is None


def test_a_mask_takes_from_named_users_and_groups_alike() -> None:
    masked = file(0o640, acl_=acl(0o640, users=[(7, 4)], groups=[(8, 4)], mask=0))
    for person in ((7, frozenset()), (-1, frozenset({8})), (-1, frozenset({MINE}))):
        assert not masked.permit(person, READ)
    assert masked.permit((ME, frozenset()), READ)


def test_an_acl_that_cannot_be_understood_is_none() -> None:
    assert file(0o640, acl_=b"\2\0\0\0\1") == file(0o640)


def test_a_group_of_one_user_alone_is_he() -> None:
    shared, own = readers(file(0o640)), readers(file(0o600))
    assert shut_out(shared, (own,), frozenset({(MINE, ME)})) is None
    assert shut_out(shared, (own,), frozenset({(MINE, 7)})) == (7, frozenset({MINE}))
    assert shut_out(shared, (own,), frozenset({(MINE, 0)})) is None


def test_of_more_groups_than_can_be_tried_what_is_not_the_same_differs() -> None:
    many = file(0o600, acl_=acl(0o600, groups=[(gid, 4) for gid in range(20)]))
    assert shut_out(readers(many), (readers(replace(many)),)) is None
    assert shut_out(readers(many), (readers(replace(many, uid=7)),)) is not None


def test_where_more_may_read_the_measure_is_larger() -> None:
    some = [
        readers(file(mode), way(*above))
        for mode in (0o600, 0o640, 0o644)
        for above in ((), (0o700,), (0o750,))
    ]
    some += [readers(file(0o640, acl_=acl(0o640, users=[(7, may)]))) for may in (0, 4)]
    compared = 0
    for one, other in combinations(some, 2):
        below, above = shut_out(one, (other,)) is None, shut_out(other, (one,)) is None
        if below != above:
            compared += 1
            assert (breadth(one) < breadth(other)) == below
    assert compared > 20


def test_a_folder_that_everybody_may_pass_is_none_on_the_way() -> None:
    assert way(0o755, 0o711, 0o2775) == OPEN
    assert [folder.path for folder in way(0o755, 0o750, 0o711, 0o700).folders] == ["/750", "/700"]
    # root may, whatever its own bits say.
    assert Way.through([Permissions.of(0, 0, 0o077)]) == OPEN
    assert (way(0o700) + way(0o700, 0o750)).folders == way(0o700, 0o750).folders


def test_what_keeps_somebody_out_is_told_from_the_top() -> None:
    closed = readers(file(0o600), way(0o750, 0o700))
    stopped = stopped_by((7, frozenset({MINE})), closed)
    assert stopped is not None and not stopped.permit((7, frozenset({MINE})), READ | SEARCH)
    assert stopped_by((ME, frozenset()), closed) is None


def test_how_a_person_is_called() -> None:
    assert named((ME, frozenset())) == f"user {ME}"
    assert named((-1, frozenset({8, 7}))) == "members of group 7"
    assert named((-1, frozenset())) == "other users"
