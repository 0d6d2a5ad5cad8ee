"""What is told of models: one state out of many revisions, and what a choice of files makes of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubfold.content import Role
from hubfold.models.patterns import Selection
from hubfold.reports.models import (
    CheckedModel,
    CheckReport,
    Disk,
    Download,
    Judged,
    MissingFile,
    Model,
    ModelFile,
    ModelPlace,
    ModelsReport,
    Revision,
    Wholeness,
)

JSON_ONLY = (Selection(("*.json",)),)
WHOLE, INCOMPLETE, BROKEN, OFFLINE, UNKNOWN = Wholeness


def revision(name: str = "1", state: Wholeness = WHOLE, *refs: str, at: float | None = None) -> Revision:
    return Revision(name, refs, f"/r/{name}", state, Judged.LISTING, 1, files=(), last_modified=at)


def place(*revisions: Revision, path: str = "/r") -> ModelPlace:
    return ModelPlace("/r", "plain", Role.SECONDARY, True, path, 1, revisions)


def model(*places: ModelPlace, repo_id: str = "org/a", repo_type: str = "model") -> Model:
    return Model(repo_id, repo_type, 1, 1, places)


@pytest.mark.parametrize(
    ("places", "state", "cached"),
    [
        ([place(revision())], WHOLE, True),
        ([place(revision("1", INCOMPLETE))], INCOMPLETE, False),
        ([place(revision("1", INCOMPLETE)), place(revision())], WHOLE, True),
        # What is broken anywhere is told, though a program finds a whole one.
        ([place(revision("1", BROKEN)), place(revision())], BROKEN, True),
        # A program that asks for no revision gets main, and that is not whole.
        ([place(revision("1", INCOMPLETE, "main"), revision("2"))], INCOMPLETE, False),
        ([place(revision("1", OFFLINE))], OFFLINE, False),
        ([place(revision("1", OFFLINE)), place(revision("1", INCOMPLETE))], INCOMPLETE, False),
        ([place(revision("1", UNKNOWN))], UNKNOWN, False),
        ([place(revision("1", UNKNOWN)), place(revision("1", OFFLINE))], UNKNOWN, False),
        ([place(revision("1", UNKNOWN)), place(revision("1", INCOMPLETE))], INCOMPLETE, False),
        ([place(revision("1", UNKNOWN)), place(revision())], WHOLE, True),
    ],
)
def test_one_state_out_of_many(places: list[ModelPlace], state: Wholeness, cached: bool) -> None:
    assert (model(*places).state, model(*places).cached) == (state, cached)


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([revision("1"), revision("2", WHOLE, "main"), revision("3", WHOLE, "v1")], "2"),
        ([revision("1", at=9), revision("3", WHOLE, "v1", at=1)], "3"),
        ([revision("1", at=1), revision("2", at=9), revision("3")], "2"),
        ([revision("2"), revision("1")], "1"),
    ],
)
def test_a_program_gets_main_else_a_named_revision_else_the_newest(
    revisions: list[Revision], expected: str
) -> None:
    assert place(*revisions).default.revision == expected


def test_names_of_models() -> None:
    assert model(place(revision())).id == "org/a"
    assert model(place(revision()), repo_type="dataset").id == "datasets/org/a"
    assert model(place(revision(), path="/my copy"), repo_id="").id == "/my copy"
    both = model(place(revision("1", WHOLE, "v1", "main")), place(revision("2", WHOLE, "main")))
    assert both.refs == ("main", "v1")


def partly(
    *missing: MissingFile, files: tuple[str, ...] = ("config.json",), state: Wholeness = INCOMPLETE
) -> Revision:
    there = tuple(ModelFile(name, f"/{name}", 5) for name in files)
    return Revision("1", (), "/r", state, Judged.LISTING, 5, files=there, missing=missing, expected_bytes=105)


WEIGHTS = MissingFile("weights.bin", 100, "is not there")


def test_what_was_not_asked_for_is_not_missing() -> None:
    found = partly(WEIGHTS).only(JSON_ONLY)
    assert (found.state, found.missing, found.expected_bytes) == (WHOLE, (), 5)
    assert found.selected == JSON_ONLY
    assert found.unselected == partly(WEIGHTS)


def test_what_was_asked_for_is_missing() -> None:
    full = partly(WEIGHTS, MissingFile("tokenizer.json", 7, "is not there"))
    found = full.only(JSON_ONLY)
    assert (found.state, [one.name for one in found.missing]) == (INCOMPLETE, ["tokenizer.json"])
    assert found.expected_bytes == 5


def test_a_choice_is_made_of_all_there_is_and_not_of_a_choice() -> None:
    full = partly(WEIGHTS)
    assert full.only(JSON_ONLY).only((Selection(("*.bin",)),)) == full
    assert full.only(JSON_ONLY).only(()) == full


def test_patterns_that_fit_no_file_do_not_count() -> None:
    assert partly(WEIGHTS).only((Selection(("*.gguf",)),)) == partly(WEIGHTS)


def test_a_damaged_file_counts_whatever_was_asked_for() -> None:
    damaged = MissingFile("weights.bin", 100, "leads nowhere", damaged=True)
    assert partly(damaged, state=BROKEN).only(JSON_ONLY).state is BROKEN


def test_an_open_download_of_a_file_without_a_name_counts() -> None:
    opened = MissingFile("", None, "was not downloaded to its end", partial_bytes=3)
    assert partly(opened).only(JSON_ONLY).state is INCOMPLETE
    assert (
        partly(MissingFile("", None, "no file of it is there"), files=()).only(JSON_ONLY).state is INCOMPLETE
    )


NO_WEIGHTS = MissingFile("", None, "has its config.json and no weights", weights=True)


@pytest.mark.parametrize(
    ("include", "exclude", "state"),
    [
        ((), (), INCOMPLETE),
        (("*.json",), (), WHOLE),
        (("config.json", "tokenizer*", "README*", "vocab/"), (), WHOLE),
        (("*.json", "*.safetensors"), (), INCOMPLETE),
        (("*.json", "*.gguf"), (), INCOMPLETE),
        (("*",), (), INCOMPLETE),
        ((), ("*.bin",), INCOMPLETE),
        ((), ("*.safetensors",), INCOMPLETE),
        (("*.json", "weights/"), (), INCOMPLETE),
    ],
)
@pytest.mark.parametrize("listed", [True, False], ids=["with a listing", "without one"])
def test_a_model_without_weights_is_whole_only_if_nothing_else_was_asked_for(
    include: tuple[str, ...], exclude: tuple[str, ...], state: Wholeness, listed: bool
) -> None:
    lacks = MissingFile("model.safetensors", 100, "is not there") if listed else NO_WEIGHTS
    full = replace(partly(lacks), weightless=True)
    chosen = (Selection(include, exclude),) if include or exclude else ()
    assert full.only(chosen).state is state


def test_what_lies_on_a_drive_that_is_away_is_not_judged_anew() -> None:
    away = partly(WEIGHTS, state=OFFLINE)
    assert away.only(JSON_ONLY) == away


def test_what_has_to_be_fetched_is_not_known_where_one_size_is_not() -> None:
    assert partly(WEIGHTS, WEIGHTS).missing_bytes == 200
    assert partly().missing_bytes == 0
    assert partly(WEIGHTS, MissingFile("x", None, "is not there")).missing_bytes is None


def test_a_model_with_several_rows_is_one_model() -> None:
    one, other = model(place(revision("1"), revision("2"))), model(place(revision()), repo_id="org/b")
    report = ModelsReport(((one, one.revisions[0]), (other, None), (one, one.revisions[1])), 0)
    assert report.models == (one, other)
    assert [row["id"] for row in report.as_json()["models"]] == ["org/a", "org/b", "org/a"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("states", "whole"), [(["cached"], True), (["cached", "missing"], False), ([], True)]
)
def test_a_check_is_whole_where_every_model_is(states: list[str], whole: bool) -> None:
    assert (
        CheckReport(tuple(CheckedModel("a", "a", None, state) for state in states), None, None).whole is whole
    )


@pytest.mark.parametrize(
    ("rate", "running", "told"), [(None, None, None), (0.4, True, 0), (0.0, False, 0), (9.6, True, 10)]
)
def test_a_download_runs_while_bytes_come(rate: float | None, running: bool | None, told: int | None) -> None:
    document = Download("/p", "org/a", "f", 1, 2, rate).as_json()
    assert (document["running"], document["bytes_per_second"]) == (running, told)
    assert Disk("/", 9, 1, (), rate=rate).as_json()["free_bytes_per_second"] == told
