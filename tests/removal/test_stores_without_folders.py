"""Stores that keep the files of all models together, by a plugin that says no more than it has to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.errors import HubfoldError, UsageError
from hubfold.library.availability import NotWhole
from hubfold.models.names import UnknownModel
from tests.building import jar, tree

MODELS = {
    "a/one": {"w.bin": "one", "s.bin": "shared"},
    "b/two": {"w.bin": "two", "s.bin": "shared"},
    "c/three": {"w.bin": "three"},
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return jar.fill(tmp_path / "jar", MODELS, locked=("c/three",))


@pytest.fixture
def engine(tmp_path: Path, store: Path) -> Iterator[Engine]:
    environ = tree.environment(str(tmp_path))
    with Engine(environ=environ) as first:
        jar.install(Path(first.state.plugins))
    with Engine(environ=environ) as engine:
        engine.add_root(store)
        yield engine


def blobs(store: Path) -> set[str]:
    return {path.name for path in (store / "blobs").iterdir()}


def test_what_two_models_share_goes_with_both(store: Path, engine: Engine) -> None:
    plan = engine.plan_remove(["a/one", "b/two"], with_copies=True)
    assert str(store / "blobs/shared") in engine.preview_removal(plan).removed
    report = engine.apply_removal(plan)
    assert not report.failed and blobs(store) == {"three"}


def test_and_stays_with_one_of_them(store: Path, engine: Engine) -> None:
    report = engine.apply_removal(engine.plan_remove(["a/one"], with_copies=True))
    assert not report.failed and blobs(store) == {"two", "shared", "three"}


def test_and_where_a_third_model_needs_it(store: Path, engine: Engine) -> None:
    jar.fill(store, {"d/four": {"s.bin": "shared"}})
    report = engine.apply_removal(engine.plan_remove(["a/one", "b/two"], with_copies=True))
    assert not report.failed and blobs(store) == {"shared", "three"}


def test_and_where_one_begins_to_need_it_since_it_was_shown(store: Path, engine: Engine) -> None:
    plan = engine.plan_remove(["a/one", "b/two"], with_copies=True)
    jar.fill(store, {"d/four": {"s.bin": "shared"}})
    report = engine.apply_removal(plan)
    assert [Path(failed.path).name for failed in report.failed] == ["shared"]
    assert blobs(store) == {"shared", "three"}


def test_a_file_of_one_model_is_not_taken_for_that_of_another(store: Path, engine: Engine) -> None:
    """Both are given the folder of the store."""
    report = engine.apply_removal(engine.plan_remove(["a/one", "w.bin"], with_copies=True))
    assert [Path(path).name for path in report.removed] == ["one"] and not report.failed
    assert blobs(store) == {"two", "shared", "three"}


def test_a_file_that_another_model_needs_is_told_and_stays(store: Path, engine: Engine) -> None:
    with pytest.raises(HubfoldError, match=r"it stays at .*/blobs/shared: another model needs it"):
        engine.plan_remove(["a/one", "s.bin"], with_copies=True)


def test_a_store_is_no_copy_of_a_model(store: Path, engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"jar holds 3 models: a/one, b/two, c/three") as caught:
        engine.plan_remove([str(store)])
    assert "name" in str(caught.value.hint)


def test_a_folder_that_is_named_like_a_model_is_asked_about(
    store: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    with pytest.raises(UnknownModel, match="no root holds a model called 'jar'") as caught:
        engine.plan_remove(["jar"])
    assert caught.value.hint == "if the folder is meant: hubfold rm ./jar"


def test_a_layout_says_why_a_model_stays(engine: Engine) -> None:
    plan = engine.plan_remove(["c/three"], with_copies=True)
    assert [(Path(left.path).name, left.reason) for left in plan.left] == [("c-three.json", "it is locked")]
    assert not engine.preview_removal(plan).models


def test_the_path_of_a_model_is_a_file_of_its_own(store: Path, engine: Engine) -> None:
    """Not the folder of the store, in which the files of all of them lie."""
    assert engine.model_path("c/three") == str(store / "blobs/three")
    with pytest.raises(
        NotWhole, match=r"a/one has 2 files among those of other models: s\.bin, w\.bin"
    ) as caught:
        engine.model_path("a/one")
    assert "hubfold path a/one s.bin" in str(caught.value.hint)
    assert engine.model_path("a/one", "w.bin") == str(store / "blobs/one")


def test_why_says_that_a_note_is_no_content(store: Path, engine: Engine) -> None:
    engine.scan()
    assert "jar" in (told := engine.why(store / "models/c-three.json").reason) and "no content" in told


def test_what_was_touched_of_late_is_named_by_clean(store: Path, engine: Engine) -> None:
    (store / "blobs/lone").write_bytes(b"lone")
    report = engine.preview_removal(engine.plan_clean())
    assert not report.removed
    assert [(Path(left.path).name, "--older-than 0" in left.reason) for left in report.left] == [
        ("lone", True)
    ]
