"""`rm --from X` and `clean --all X` touch nothing outside X: caches in caches, links, copies and vaults elsewhere, and
X by whatever path it is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold import Engine, LinkKind
from hubfold.errors import UsageError
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files

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


# -- X, and what lies outside it ------------------------------------------------------------------------------------


@pytest.fixture
def apart(tree: Tree, loopback_hub: LoopbackHub) -> Tree:
    """A model in two caches, of which each has a folder of its own, and twice as a local copy, once inside a cache."""
    loopback_hub.add("org/base", model_files("base"))
    return tree.build(
        {
            "hf/hub": hub_cache("org/base"),
            "other/hub": hub_cache("org/base"),
            "models/base": local_dir("org/base"),
            "hf/hub/mine": local_dir("org/base"),
        }
    )


@pytest.fixture
def around(apart: Tree) -> Engine:
    engine = Engine(apart.folder / "state", environ={**os.environ, "HF_HOME": str(apart["hf"])})
    for name in ("other/hub", "models", "hf/hub/mine"):
        engine.add_root(apart[name])
    engine.scan()
    return engine


def every(tree: Tree) -> set[str]:
    """Every path, but what is hubfold's own state."""
    found = (str(path.relative_to(tree.folder)) for path in tree.folder.rglob("*"))
    return {path for path in found if not path.startswith("state")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "named",
    ["hf/hub", "hf/hub/", "hf/../hf/hub/.", "linked", "linked/", "hf", f"hf/hub/{MODEL}"],
)
@pytest.mark.parametrize("with_more", [False, True])
def test_by_whatever_path_a_cache_is_named(apart: Tree, around: Engine, named: str, with_more: bool) -> None:
    apart["linked"].symlink_to("hf/hub")
    before = every(apart)
    plan = around.plan_remove(
        ["org/base"], roots=[f"{apart.folder}/{named}"], with_links=with_more, with_copies=with_more
    )
    assert not around.apply_removal(plan).failed
    gone = before - every(apart)
    inside = (
        "hf/hub/" if named == "hf" and with_more else f"hf/hub/{MODEL}"
    )  # a copy lies in that cache's folder
    assert gone and all(path.startswith(inside) for path in gone), gone


@pytest.mark.slow
def test_a_folder_above_stands_for_the_caches_below_it(apart: Tree, around: Engine) -> None:
    around.apply_removal(around.plan_remove(["org/base"], roots=[apart.folder]))
    assert not there(apart["hf/hub"]) and not there(apart["other/hub"])
    assert (apart["models/base"] / "model.safetensors").exists()
    assert (apart["hf/hub/mine"] / "model.safetensors").exists()


def test_a_folder_above_is_no_cache_to_be_emptied(apart: Tree, around: Engine) -> None:
    before = every(apart)
    for folder in (apart.folder, apart["models"]):
        with pytest.raises(UsageError, match="is no cache"):
            around.plan_clean_all(folder)
    assert every(apart) == before


@pytest.mark.slow
def test_a_copy_that_lies_outside_is_a_mistake(apart: Tree, around: Engine) -> None:
    before = every(apart)
    with pytest.raises(UsageError, match="none of the folders that --from names"):
        around.plan_remove([str(apart["models/base"])], roots=[apart["hf/hub"]])
    assert every(apart) == before
    around.apply_removal(around.plan_remove([str(apart["models/base"])], roots=[apart["models"]]))
    assert not (apart["models/base"] / "model.safetensors").exists()


@pytest.mark.slow
def test_links_that_lie_outside_keep_what_they_read(apart: Tree, around: Engine) -> None:
    """Also where links may go: only those below X."""
    snapshot = next((apart["hf/hub"] / MODEL / "snapshots").iterdir())
    link = apart["models"] / "linked.safetensors"
    link.symlink_to(snapshot / "model.safetensors")
    around.scan()
    plan = around.plan_remove(["org/base"], roots=[apart["hf/hub"]], with_links=True)
    assert [left.path for left in plan.left] == [str(snapshot)]
    around.apply_removal(plan)
    assert link.read_bytes() == model_files("base")["model.safetensors"]
    around.apply_removal(around.plan_remove(["org/base"], with_links=True))
    assert not os.path.lexists(link) and not there(apart["hf/hub"])


@pytest.mark.slow
@pytest.mark.parametrize("all_of_it", [False, True])
def test_the_vault_of_another_cache_is_not_swept(apart: Tree, around: Engine, all_of_it: bool) -> None:
    """Its objects are names of the same files, and nothing needs them: `gc` removes them, or `rm` of their cache."""
    around.apply(around.plan(link=LinkKind.SYMLINK, into=apart["hf/hub"]))
    around.apply(around.plan(link=LinkKind.HARDLINK))
    runs = [run.run for run in around.runs() if run.command == "consolidate"]
    around.undo(next(run for run in runs if list((apart["hf"]).glob("hubfold/objects/*/*"))))
    objects = {path for path in every(apart) if path.startswith("hf/hubfold/objects")}
    assert objects
    before = every(apart)
    if all_of_it:
        around.apply_removal(around.plan_clean_all(apart["other/hub"]))
    else:
        around.apply_removal(around.plan_remove(["org/base"], roots=[apart["other/hub"]]))
    gone = before - every(apart)
    assert gone and all(path.startswith("other/hub") for path in gone), gone
