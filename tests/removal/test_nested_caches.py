"""A cache that lies in another one: what is said of the outer one touches nothing of the inner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files

MODEL = "models--org--base"


@pytest.fixture
def nested(tree: Tree, loopback_hub: LoopbackHub) -> Tree:
    """``hf`` is a cache itself, as for a program that was given the base folder, and has the real one in ``hub``."""
    loopback_hub.add("org/base", model_files("base"))
    return tree.build({"hf": hub_cache("org/base"), "hf/hub": hub_cache("org/base")})


@pytest.fixture
def engine(nested: Tree) -> Engine:
    engine = Engine(nested.folder / "state", environ={**os.environ, "HF_HOME": str(nested["hf"])})
    engine.add_root(nested["hf"])
    engine.scan()
    return engine


def there(cache: Path) -> bool:
    return any((cache / MODEL).rglob("*.safetensors"))


@pytest.mark.parametrize("named, stays", [("hf", "hf/hub"), ("hf/hub", "hf")])
def test_rm_from_one_leaves_the_other(nested: Tree, engine: Engine, named: str, stays: str) -> None:
    plan = engine.plan_remove(["org/base"], roots=[nested[named]])
    assert {removal.root for removal in plan.removals} == {str(nested[named])}
    assert not engine.apply_removal(plan).failed
    assert not there(nested[named])
    assert there(nested[stays])


def test_clean_all_of_the_outer_one_leaves_the_inner(nested: Tree, engine: Engine) -> None:
    assert not engine.apply_removal(engine.plan_clean_all(nested["hf"])).failed
    assert not there(nested["hf"])
    assert there(nested["hf/hub"])


def test_a_base_folder_that_is_no_cache_stands_for_the_one_in_it(
    tree: Tree, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"hf/hub": hub_cache("org/base")})
    with Engine(tree.folder / "state", environ={**os.environ, "HF_HOME": str(tree["hf"])}) as engine:
        engine.scan()
        engine.apply_removal(engine.plan_remove(["org/base"], roots=[tree["hf"]]))
    assert not there(tree["hf/hub"])
