"""Filters and sorting, as the client has them."""

from __future__ import annotations

import pytest

from hubfold import Engine, UsageError
from hubfold.testing.trees import (
    Tree,
    hub_cache,
    model_files,
)
from tests.building.library import SIZE, hf_ls


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
