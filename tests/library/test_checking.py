"""The gate: whether models are whole where a program loads them, and what is said of the cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hubfold import Engine, NoSpace, RootError, check_model_availability
from hubfold.library import checking
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building.library import commit_of


@pytest.fixture
def two(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """The environment's cache has org/here; a registered copy and another cache have org/there."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    for name in ("here", "there"):
        tree.hub.add(f"org/{name}", model_files(name, 40_000))
    tree.build(
        {
            "hf/hub": hub_cache("org/here"),
            "other/hub": hub_cache("org/there"),
            "models/there": local_dir("org/there"),
        }
    )
    with Engine() as engine:
        engine.add_root(tree["models"])
    return tree


def config(text: str) -> None:
    with Engine() as engine:
        Path(engine.state.config).parent.mkdir(parents=True, exist_ok=True)
        Path(engine.state.config).write_text(text)


@pytest.mark.slow
def test_whole_elsewhere_is_not_whole_where_the_program_looks(two: Tree) -> None:
    with Engine() as engine:
        here, there = engine.check(["org/here", "org/there"], anywhere=False).models
        assert (here.status, there.status) == ("cached", "missing")
        assert there.elsewhere is None, "a copy of which no root says what it is has no name"
        engine.add_root(two["other/hub"])
        report = engine.check(["org/there"], anywhere=False)
        assert (report.models[0].status, report.models[0].elsewhere) == (
            "missing",
            str(commit_of(two, "org/there", "other/hub")),
        )
        assert [one.kind for one in report.recommendations] == ["elsewhere"]
        assert report.recommendations[0].command == "hubfold download org/there"
        assert engine.check(["org/there"]).whole, "anywhere"
        assert engine.check(["org/there"], anywhere=True).anywhere


@pytest.mark.slow
def test_what_a_user_put_into_another_cache_by_its_name_counts_there(two: Tree) -> None:
    """`download --into`, and then `check`: as long as it is whole there, and of that model alone."""
    two.hub.add("org/third", model_files("third", 40_000))
    into = two.folder / "large/hub"
    with Engine() as engine:
        engine.add_root(two["other/hub"])
        engine.download(engine.plan_download(["org/third"], into=into))
        report = engine.check(["org/third", "org/there"], anywhere=False)
        assert [model.status for model in report.models] == ["cached", "missing"]
        assert report.models[0].root == str(into)
        assert [one.kind for one in report.recommendations] == ["placed", "elsewhere"]
        named = engine.check(["org/third"], cache=two["hf/hub"], anywhere=False)
        assert named.models[0].status == "missing", "another cache was asked about"
        config('[models]\nthird = "org/third"\n')
    with Engine() as engine:
        assert engine.missing_models() == ()
        weights = next(into.glob("models--*/snapshots/*/model.safetensors"))
        os.truncate(weights.resolve(), 100)
        assert engine.check(anywhere=False).models[0].status != "cached"
        assert engine.missing_models() == ("third",)


@pytest.mark.slow
def test_what_is_remembered_of_places_may_be_lost(two: Tree) -> None:
    into = two.folder / "large/hub"
    with Engine() as engine:
        engine.download(engine.plan_download(["org/there"], into=into))
        assert engine.check(["org/there"], anywhere=False).whole
        Path(engine.state.placed_at).write_text("damaged")
        assert engine.check(["org/there"], anywhere=False).models[0].elsewhere is not None
        engine.download(engine.plan_download(["org/there"], into=into))
        assert engine.check(["org/there"], anywhere=False).whole


@pytest.mark.parametrize("place", ["other/hub", "other"])
def test_a_cache_may_be_named_by_its_folder_or_the_one_above_and_need_not_be_known(
    two: Tree, place: str
) -> None:
    with Engine() as engine:
        report = engine.check(["org/here", "org/there"], cache=two[place])
        assert [model.status for model in report.models] == ["missing", "cached"]
        assert report.cache == str(two["other/hub"])
        assert str(two["other/hub"]) not in {root.path for root in engine.roots()}, "a look makes no root"


def test_a_cache_that_is_not_there_yet_has_nothing_and_a_file_is_none(two: Tree, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Engine() as engine:
        report = engine.check(["org/here"], cache=tmp_path / "new")
        assert (report.models[0].status, report.there, report.writable) == ("missing", False, True)
        assert report.recommendations[0].command == f"hubfold download org/here --into {tmp_path / 'new'}"
        assert report.models[0].elsewhere == str(commit_of(two, "org/here", "hf/hub"))
        assert not (tmp_path / "new").exists()
        with pytest.raises(RootError):
            engine.check(["org/here"], cache=tmp_path / "file")


def test_a_repository_behind_a_link_is_in_its_cache(two: Tree) -> None:
    repo = two["hf/hub/models--org--here"]
    shutil.move(repo, two["large"])
    repo.symlink_to(two["large"])
    with Engine() as engine:
        report = engine.check(["org/here"], anywhere=False)
    assert report.whole
    assert report.disk_bytes is not None and report.disk_bytes > 40_000


def test_what_the_cache_takes_and_what_nobody_configured(two: Tree) -> None:
    config('[models]\nthere = "org/there"\n')
    with Engine() as engine:
        report = engine.check(anywhere=False)
        assert [(one.id, one.state) for one in report.unconfigured] == [("org/here", "whole")]
        blobs = [path.stat() for path in two["hf/hub"].rglob("blobs/*")]
        assert report.disk_bytes == sum(st.st_blocks * 512 for st in blobs)
        assert engine.check(["org/there"], anywhere=False).unconfigured == (), "it was not asked"
        assert engine.missing_models() == ("there",)
        assert engine.missing_models(two["other"]) == ()


@pytest.mark.slow
def test_a_download_fills_the_gate_with_what_is_elsewhere(two: Tree) -> None:
    config('[models]\nthere = "org/there"\n')
    with Engine() as engine:
        engine.add_root(two["other/hub"])
        assert engine.missing_models() == ("there",)
        assert not engine.download(engine.plan_download(engine.missing_models())).failed
        assert engine.missing_models() == ()
        assert engine.check(anywhere=False).models[0].path == str(commit_of(two, "org/there", "hf/hub"))


@pytest.mark.slow
def test_below_the_reserve_check_warns_and_download_refuses(
    two: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(two.folder).free
    config(f'reserve = {free * 2}\n[models]\nthere = "org/there"\n')
    with Engine() as engine:
        report = engine.check(anywhere=False)
        assert (report.reserve_bytes, report.models[0].status) == (free * 2, "missing")
        assert "reserve" in [one.kind for one in report.recommendations]
        with pytest.raises(NoSpace, match="in reserve") as error:
            engine.download(engine.plan_download(["there"]))
        assert "`reserve` in config.toml" in error.value.hint
        assert engine.missing_models() == ("there",), "nothing was fetched"
        plan = engine.plan_download(["org/here"])
        assert not engine.download(plan).failed, "nothing has to be fetched"
    config('reserve = "1KB"\n[models]\nthere = "org/there"\n')
    with Engine() as engine:
        assert "reserve" not in [one.kind for one in engine.check(anywhere=False).recommendations]
        assert not engine.download(engine.plan_download(["there"])).failed


def test_what_is_needed_must_fit_beside_the_reserve(two: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "free_bytes", lambda folder: 50 * 10**9)
    config('reserve = "30GB"\n[models]\nbig = { repo = "org/big", size = "25GB" }\n')
    with Engine() as engine:
        kinds = {one.kind: one.message for one in engine.check(anywhere=False).recommendations}
    assert "25.0G are needed and 50.0G are free" in kinds["space"]
    assert "30.0G are kept in reserve" in kinds["space"]


@pytest.mark.parametrize(("refused", "kind"), [(os.R_OK, "unreadable"), (os.W_OK, "unwritable")])
def test_a_cache_that_this_user_may_not_use_is_told(
    two: Tree, monkeypatch: pytest.MonkeyPatch, refused: int, kind: str
) -> None:
    """Root may everything, so the answer of the system is given here."""
    cache = str(two["hf/hub"])

    def access(path: str, mode: int, **how: bool) -> bool:
        return not (path == cache and mode & refused)

    monkeypatch.setattr(checking.os, "access", access)
    with Engine() as engine:
        report = engine.check(["org/here"], anywhere=False)
    assert (report.readable, report.writable) == (refused != os.R_OK, refused != os.W_OK)
    [told] = [one for one in report.recommendations if one.kind == kind]
    assert cache in told.message


def test_availability_is_asked_of_one_cache(two: Tree) -> None:
    assert check_model_availability("org/here")[0] is True
    assert check_model_availability("org/there")[0] is False
    available, text = check_model_availability("org/there", two["other"])
    assert available is True and str(two["other/hub"]) in text
    available, text = check_model_availability("org/here", cache_dir=str(two["other/hub"]))
    assert available is False and str(two["hf/hub"]) in text
