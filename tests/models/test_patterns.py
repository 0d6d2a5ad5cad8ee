"""Which files of a model are wanted: patterns, alone and of several requests together."""

from __future__ import annotations

import pytest

from hubfold.models.patterns import ALL, Selection, ask_for_texts, may_be_weights, together, wanted

JSON, NOT_BIN = Selection(("*.json",)), Selection((), ("*.bin",))


@pytest.mark.parametrize(
    ("include", "exclude"),
    [
        ((), ()),
        (("*.json",), ()),
        (("sub/",), ()),
        (("*",), ("sub/*.bin", "A*")),
        ((), ("[ab].bin",)),
        (("a.b?n",), ()),
    ],
)
def test_patterns_mean_what_they_mean_to_the_client(
    include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    from huggingface_hub.utils import filter_repo_objects

    names = ["a.bin", "A.bin", "b.bin", "sub/a.bin", "sub/config.json", "config.json"]
    theirs = list(
        filter_repo_objects(
            names, allow_patterns=list(include) or None, ignore_patterns=list(exclude) or None
        )
    )
    assert [name for name in names if Selection(include, exclude).wants(name)] == theirs


def test_a_selection_that_leaves_out_nothing_is_no_selection() -> None:
    assert not ALL
    assert JSON and NOT_BIN
    assert (str(ALL), str(JSON), str(Selection(("a", "b"), ("c",)))) == ("", "only *.json", "only a b, not c")


def test_several_requests_want_what_one_of_them_wants() -> None:
    both = together([JSON, Selection(("*.txt",)), JSON])
    assert both == (JSON, Selection(("*.txt",)))
    assert [name for name in ("a.json", "a.txt", "a.bin") if wanted(both, name)] == ["a.json", "a.txt"]


def test_where_one_request_leaves_out_nothing_all_is_wanted() -> None:
    assert together([JSON, ALL]) == ()
    assert together([]) == ()
    assert wanted((), "anything")


@pytest.mark.parametrize(
    ("include", "texts"),
    [
        ((), False),
        (("*.json", "*.md"), True),
        (("config.json",), True),
        (("model.safetensors.index.json",), True),
        (("tokenizer*", "vocab*", "merges.txt", "README*", "LICENSE"), True),
        (("tokenizer/",), True),
        (("*",), False),
        (("*.json", "*"), False),
        (("*.json", "*.safetensors"), False),
        (("model*",), False),
        (("onnx/",), False),
        (("*Q4_K_M*",), False),
        (("model.bin",), False),
    ],
)
def test_what_names_only_texts_asks_for_no_weights(include: tuple[str, ...], texts: bool) -> None:
    assert ask_for_texts((Selection(include),)) is texts
    assert ask_for_texts((Selection(include), JSON)) is texts, "all of what was asked for counts"
    assert not ask_for_texts(())
    assert not ask_for_texts((Selection((), ("*.bin",)),)), "to leave something out names nothing"


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (["model.safetensors", "a.GGUF", "x/y.pt", "rust_model.ot", "model.onnx_data", "a.npz"], True),
        (
            [
                "config.json",
                "README.MD",
                "tokenizer.model",
                "LICENSE",
                ".gitattributes",
                "a/b.py",
                "logo.png",
            ],
            False,
        ),
    ],
)
def test_what_may_be_weights(names: list[str], weights: bool) -> None:
    assert {may_be_weights(name) for name in names} == {weights}
