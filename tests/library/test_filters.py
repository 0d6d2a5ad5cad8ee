"""Filters and sorting, as the client has them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import cast

import pytest

from hubfold import Engine, UsageError
from hubfold.content import Role
from hubfold.library import filters as selection
from hubfold.reports.models import Judged, Model, ModelPlace, Revision, Wholeness
from hubfold.testing.trees import (
    Tree,
    hub_cache,
    model_files,
)
from tests.building.library import SIZE, hf_ls


@pytest.mark.slow
@pytest.mark.parametrize(
    "expression",
    [
        "size>30k",
        "size<=30KB",
        "type=dataset",
        "refs=main",
        "refs=nothing",
        "modified<1h",
        "accessed>1d",
        "size!=5",
    ],
)
@pytest.mark.parametrize("sort", [None, "size", "size:asc", "name:desc", "modified:asc"])
def test_filters_and_sorting_are_those_of_the_client(
    tree: Tree, engine: Engine, expression: str, sort: str | None
) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.hub.add("org/little", model_files("little", SIZE // 2))
    tree.hub.add("org/data", {"a.parquet": b"rows" * 999}, repo_type="dataset")
    tree.build({"hf/hub": hub_cache("org/base", "org/little", "datasets/org/data")})
    engine.add_root(tree["hf/hub"])
    asked = ["--filter", expression, *(["--sort", sort] if sort else []), "--limit", "2"]
    theirs = [repo["id"] for repo in hf_ls(tree["hf/hub"], *asked)]
    report = engine.models(filters=[expression], sort=sort, limit=2)
    assert [f"{model.repo_type}/{model.repo_id}" for model in report.models] == theirs


@pytest.mark.parametrize(
    "expression", ["size>", "colour=red", "type>model", "size>big", "accessed>soon", "", "state=odd"]
)
def test_a_filter_that_makes_no_sense_is_refused_before_the_disks_are_asked(
    engine: Engine, expression: str
) -> None:
    with pytest.raises(UsageError):
        engine.models(filters=[expression])


def revision(
    name: str, size: int, state: Wholeness = Wholeness.WHOLE, *refs: str, at: float | None = None
) -> Revision:
    return Revision(name, refs, f"/r/{name}", state, Judged.FILES, size, files=(), last_modified=at)


def model(name: str, *revisions: Revision, kind: str = "model", accessed: float | None = None) -> Model:
    size = sum(one.bytes for one in revisions)
    place = ModelPlace("/r", "plain", Role.SECONDARY, True, f"/r/{name}", size, revisions)
    modified = max((one.last_modified for one in revisions if one.last_modified), default=None)
    return Model(name, kind, size, size, (place,), last_accessed=accessed, last_modified=modified)


DAY = 86_400.0
NOW = 100 * DAY
MODELS = (
    model("org/b", revision("1", 10, Wholeness.BROKEN, "main", at=NOW - 9 * DAY), accessed=NOW - 8 * DAY),
    model(
        "org/A", revision("2", 30, at=NOW - DAY), revision("1", 5, Wholeness.WHOLE, "v1", at=NOW - 3 * DAY)
    ),
    model("org/c", revision("1", 20), kind="dataset", accessed=NOW - 2 * DAY),
)


def chosen(
    *filters: str, sort: str | None = None, limit: int | None = None, revisions: bool = False
) -> list[str]:
    found = selection.select(selection.rows(MODELS, revisions=revisions), filters, sort, limit, now=NOW)
    return [one.repo_id if part is None else f"{one.repo_id}@{part.revision}" for one, part in found]


def test_ages_are_held_against_now_and_what_has_none_is_never_old() -> None:
    assert chosen("accessed>7d") == ["org/b"]
    assert chosen("accessed<7d") == ["org/c"]
    assert chosen("modified>=1d") == ["org/b", "org/A"]
    assert chosen("modified>5d", revisions=True) == ["org/b@1"]
    assert chosen("modified<5d", revisions=True) == ["org/A@1", "org/A@2"], "one without a time has no age"


def test_a_state_or_a_ref_is_that_of_the_row() -> None:
    assert chosen("state=broken") == ["org/b"]
    assert chosen("state=BROKEN", revisions=True) == ["org/b@1"]
    assert chosen("refs=v1", revisions=True) == ["org/A@1"]
    assert chosen("refs=V1") == ["org/A"]


def test_all_filters_have_to_hold() -> None:
    assert chosen("size>5", "type=model", "size<30") == ["org/b"]
    assert chosen("size>5", "type=space") == []


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, ["org/b", "org/A", "org/c"]),
        ("name", ["org/c", "org/A", "org/b"]),
        ("name:desc", ["org/b", "org/A", "org/c"]),
        ("size", ["org/A", "org/c", "org/b"]),
        ("SIZE:asc", ["org/b", "org/c", "org/A"]),
        ("accessed", ["org/c", "org/b", "org/A"]),
        ("modified", ["org/A", "org/b", "org/c"]),
    ],
)
def test_names_go_up_and_all_else_goes_down_unless_it_is_said(sort: str | None, expected: list[str]) -> None:
    assert chosen(sort=sort) == expected
    assert chosen(sort=sort, limit=2) == expected[:2]


PLACED = (
    replace(MODELS[0], physical_bytes=7, freed_bytes=40),
    replace(
        MODELS[1],
        physical_bytes=50,
        freed_bytes=3,
        places=(MODELS[1].places[0], replace(MODELS[1].places[0], path="/mnt/usb/A")),
    ),
    MODELS[2],
)


def placed(*filters: str, sort: str | None = None) -> list[str]:
    found = selection.select(selection.rows(PLACED), filters, sort, now=NOW)
    return [one.repo_id.removeprefix("org/") for one, _ in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("model=ORG/a", "A"),
        ("model=org/[bc]", "b"),
        ("model!=*/A", "bc"),
        ("name=datasets/*", "c"),
        ("on-disk>=20", "Ac"),
        ("ON DISK < 20", "b"),
        ("disk!=50", "bc"),
        ("frees>3", "b"),
        ("frees=0", "c"),
        ("places>1", "A"),
        ("places=1", "bc"),
        ("where=/mnt/usb", "A"),
        ("where=/mnt/us", ""),
        ("where!=/mnt", "bc"),
        ("where=*/org/c", "c"),
        ("state!=broken", "Ac"),
        ("type!=model", "c"),
        ("refs!=main", "Ac"),
    ],
)
def test_every_column_can_be_filtered_by(expression: str, expected: str) -> None:
    assert "".join(placed(expression)) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("model", "cAb"),
        ("size", "Acb"),
        ("on-disk", "Acb"),
        ("disk:asc", "bcA"),
        ("frees", "bAc"),
        ("state", "bAc"),
        ("places", "Abc"),
        ("where", "Abc"),
        ("type", "cbA"),
        ("refs:desc", "Abc"),
    ],
)
def test_every_column_can_be_sorted_by(sort: str, expected: str) -> None:
    assert "".join(placed(sort=sort)) == expected


def test_a_user_s_own_folder_may_be_short() -> None:
    home = os.path.expanduser("~")
    at_home = replace(MODELS[0], places=(replace(MODELS[0].places[0], path=f"{home}/models/b"),))
    assert selection.select([(at_home, None)], ["where=~/models"])


@pytest.mark.parametrize(
    "expression", ["places>two", "places=-1", "model>a", "where<x", "frees>lots", "on=1"]
)
def test_what_a_column_cannot_be_held_against_is_refused(expression: str) -> None:
    with pytest.raises(UsageError) as caught:
        placed(expression)
    assert caught.value.hint


@pytest.mark.parametrize("sort", ["colour", "size:up", "size:", ""])
def test_a_sort_that_makes_no_sense_is_refused(sort: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(sort=sort)
    assert "model" in caught.value.hint


def test_a_limit_counts_from_the_front() -> None:
    assert chosen(limit=0) == []
    with pytest.raises(UsageError):
        chosen(limit=-1)


def test_each_step_that_grows_with_the_models_tells_how_far_it_is(tree: Tree, engine: Engine) -> None:
    class Told:
        def __init__(self) -> None:
            self.stages: list[list[object]] = []

        def start(self, task: str, total: int | None, unit: str) -> None:
            self.stages.append([task, total, unit, 0])

        def advance(self, amount: int) -> None:
            self.stages[-1][3] = amount + cast("int", self.stages[-1][3])

        def finish(self) -> None: ...

    for name in ("org/base", "org/little"):
        tree.hub.add(name, model_files(name, 40_000))
    tree.build({"hf/hub": hub_cache("org/base", "org/little")})
    engine.add_root(tree["hf/hub"])
    engine.workspace.progress = told = Told()
    engine.models(["org/base"])
    walked, *others = told.stages
    assert walked[:3] == ["looking for models", None, "files"] and walked[3]
    assert others == [
        ["judging what is there", 2, "revisions", 2],
        ["adding up what each one frees", 1, "models", 1],
    ]
