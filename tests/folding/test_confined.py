"""`consolidate --within`: what lies in one folder is folded by what lies there, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from hubfold.content import VAULT
from hubfold.folding.planner import Policy
from tests.folding.test_planner import OBJECT, SURROUNDINGS, at, fold, said

CACHE = Policy(within="/hub")


def test_a_copy_outside_is_neither_kept_nor_replaced_and_the_plan_says_why() -> None:
    found = fold(at("/models/m", 1), at("/models/n", 2), at("/hub/b", 3), policy=Policy(within="/models"))
    assert [(a.path, a.keeper.path) for a in found.actions] == [("/models/n", "/models/m")]
    assert [(skip.path, skip.reason) for skip in found.skipped] == [
        ("/hub/b", "it lies outside of /models"),
    ]


def test_a_file_whose_other_copies_are_all_outside_is_told_too() -> None:
    found = fold(at("/models/m", 1), at("/hub/b", 3), policy=CACHE)
    assert found.actions == ()
    assert {skip.path: skip.reason for skip in found.skipped} == {
        "/models/m": "it lies outside of /hub",
        "/hub/b": "its other copies lie outside of /hub, and a link to one would lead out of it",
    }


def test_a_set_that_has_nothing_in_the_folder_is_not_told() -> None:
    found = fold(at("/models/m", 1), at("/models/n", 2), policy=CACHE)
    assert found.actions == found.skipped == ()


def test_the_folder_is_no_beginning_of_a_name() -> None:
    found = fold(at("/hub/b", 1), at("/hub2/b", 2), policy=CACHE)
    assert found.actions == ()


def test_neither_an_object_nor_a_vault_outside_is_used() -> None:
    files = [at("/models/m", 1), at("/models/n", 2)]
    kept = fold(*files, at(OBJECT, 3, backend=VAULT), policy=Policy(within="/models"))
    (action,) = kept.actions
    assert (action.keeper.path, action.vault) == ("/models/m", "/models/.hubfold")
    assert action.relative
    assert not kept.skipped


def test_without_a_place_for_a_vault_inside_it_is_a_hard_link() -> None:
    only_outside = replace(SURROUNDINGS, vaults={"/models": SURROUNDINGS.vaults["/hub"]})
    found = fold(at("/models/m", 1), at("/models/n", 2), policy=Policy(within="/models"), around=only_outside)
    assert said(found) == [("/models/n", "hardlink", "/models/m")]
    assert "no place for a vault inside /models" in found.actions[0].reason


def test_a_name_outside_keeps_the_bytes() -> None:
    both = [at("/hub/b", 2, nlink=2), at("/models/n", 2, nlink=2)]
    found = fold(at("/models/m", 1), at("/models/a", 3), *both, policy=Policy(within="/models"))
    reasons = {skip.path: skip.reason for skip in found.skipped}
    assert "1 more hard link(s) of it lie outside of /models" in reasons["/models/n"]


def test_without_a_folder_links_are_as_the_file_systems_say() -> None:
    (action,) = fold(at("/models/m", 1), at("/hub/b", 3)).actions
    assert not action.relative
