"""What users call a model: what is understood, what is refused, and what a wrong name may have meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfold.errors import UsageError
from hubfold.models import names
from hubfold.models.names import ConfiguredModel, ModelName, Name, parse
from hubfold.models.patterns import Selection


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc",
        "a/../b",
        "a\x1b[31m/b",
        "a\nb",
        "a//b",
        "",
        "a/b/c",
        "-x/y",
        "org/..",
        "a b",
        "ｏrg/x",
        "..",
        "hf://",
        "datasets/a/b/c",
    ],
)
def test_what_cannot_be_a_repo_id_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(name)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "repo_type", "repo_id"),
    [
        ("org/name", None, "org/name"),
        ("gpt2", None, "gpt2"),
        ("datasets/org/name", "dataset", "org/name"),
        ("model/gpt2", "model", "gpt2"),
        ("hf://spaces/org/name", "space", "org/name"),
        ("kernels/org/name", "kernel", "org/name"),
        ("Org/Name_1.0-GGUF", None, "Org/Name_1.0-GGUF"),
        # An organisation that is called nearly so.
        ("modelss/name", None, "modelss/name"),
    ],
)
def test_what_can_be_one_is_understood(name: str, repo_type: str | None, repo_id: str) -> None:
    found = parse(name)
    assert (found.name, found.repo_type, found.repo_id) == (name, repo_type, repo_id)


@given(st.text())
def test_whatever_is_taken_for_a_repo_id_names_no_place_outside(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    parts = found.repo_id.split("/")
    assert len(parts) <= 2
    assert all(part and part.isascii() and part.isprintable() and not part.startswith(".") for part in parts)
    assert ".." not in found.repo_id
    assert str(found.repo).endswith(found.repo_id)


@pytest.mark.parametrize("revision", ["../x", "", "a..b", "-x", "a b", "a\nb", "~", "refs/../../x"])
def test_what_cannot_be_a_revision_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match="is not a revision"):
        parse("org/name", revision=revision)


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", "v1.0+cpu", "a" * 40])
def test_a_revision_is_a_branch_a_tag_or_a_commit(revision: str) -> None:
    assert parse("org/name", revision=revision).revision == revision


def test_a_short_name_of_the_configuration_stands_for_all_that_it_says() -> None:
    selection = Selection(("*.json",))
    known = {"base": ConfiguredModel("base", "datasets/org/base", "v1", 5, selection)}
    assert parse("base", known) == ModelName("base", "org/base", "dataset", "v1", 5, selection)
    assert parse("base", known, "v2").revision == "v2", "what is asked for now wins"
    assert parse("org/base", known) == ModelName("org/base", "org/base")


def test_a_bad_repo_id_in_the_configuration_is_refused_too() -> None:
    with pytest.raises(UsageError):
        parse("base", {"base": ConfiguredModel("base", "../../etc")})


def test_a_name_without_a_type_means_a_model_before_anything_else() -> None:
    known = [Name("dataset", "org/a"), Name("model", "org/a"), Name("space", "org/b")]
    assert parse("org/a").among(known) == Name("model", "org/a")
    assert parse("datasets/org/a").among(known) == Name("dataset", "org/a")
    assert parse("org/b").among(known) == Name("space", "org/b")
    assert parse("models/org/b").among(known) is None
    assert parse("org/c").among(known) is None


def test_letters_count_as_the_same_but_the_same_letters_come_first() -> None:
    known = [Name("model", "Org/A"), Name("model", "org/a")]
    assert parse("org/a").among(known) == Name("model", "org/a")
    assert parse("ORG/A").among(known[:1]) == Name("model", "Org/A")


def test_names_are_written_as_they_are_typed() -> None:
    assert [str(Name(kind, "org/a")) for kind in names.REPO_TYPES] == [
        "org/a",
        "datasets/org/a",
        "spaces/org/a",
        "kernels/org/a",
    ]
    for kind in names.REPO_TYPES:
        assert parse(str(Name(kind, "org/a"))).repo == Name(kind, "org/a")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("abcdef0123", True),
        ("abcdef", True),
        ("abcde", False),
        ("bcdef0", False),
        ("main", True),
        ("other", False),
        ("abcdef01234", False),
    ],
)
def test_a_revision_is_asked_for_by_its_hash_its_first_digits_or_a_ref(asked: str, expected: bool) -> None:
    assert names.stands_for(asked, "abcdef0123", ["main"]) is expected


def test_the_nearest_names_come_first_and_no_far_one_at_all() -> None:
    known = ["org/llama-base", "org/llama-tuned", "other/mistral", "org/xyz"]
    assert names.nearest("org/lama-base", known) == ("org/llama-base", "org/llama-tuned")
    assert names.nearest("mistal", known) == ("other/mistral",)
    assert names.nearest("LLAMA-BASE", known)[0] == "org/llama-base"
    assert names.nearest("org/quite-another", known) == ()
    assert len(names.nearest("model", [f"org/model-{n}" for n in range(9)])) == 3


def test_an_unknown_model_says_what_was_meant_or_where_to_look() -> None:
    error = names.unknown("org/lama", ["org/llama", "org/llama"])
    assert str(error) == "no root holds a model called 'org/lama'"
    assert error.hint == "did you mean org/llama?"
    assert names.unknown("org/lama", []).hint == "see `hubfold ls` for what is there"
    assert names.unknown("x", [], "the backup has no", "look").args == ("the backup has no model called 'x'",)


def test_a_configured_name_that_is_not_there_is_to_be_downloaded() -> None:
    hint = names.meant("my base", ["my base", "org/base"])
    assert "hubfold download 'my base'" in hint


def test_a_name_that_several_layouts_know_means_what_each_calls_so() -> None:
    asked = ModelName("a:b", "a:b", "model", layout="one or two", others=("docker.io/a:b",))
    assert asked.means("model", "A:B") and asked.means("model", "docker.io/a:b")
    assert not asked.means("dataset", "a:b") and not asked.means("model", "b:a")
    assert asked.among([Name("model", "docker.io/a:b")]) == Name("model", "docker.io/a:b")
