"""What Ollama calls a model, by the words of its own `name_test.go`."""

from __future__ import annotations

import pytest

from hubfold_plugins.ollama.names import parse
from hubfold_plugins.ollama.store import OllamaBackend


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("llama3:8b", "llama3:8b"),
        ("Llama3:8B", "Llama3:8B"),
        ("library/llama3:8b", "llama3:8b"),
        ("registry.ollama.ai/library/llama3:8b", "llama3:8b"),
        ("Registry.Ollama.AI/Library/llama3:8b", "llama3:8b"),
        ("jmorganca/tiny:1b-q4_K.M", "jmorganca/tiny:1b-q4_K.M"),
        ("hf.co/org/base-GGUF", "hf.co/org/base-GGUF:latest"),
        ("hf.co/org/base-GGUF:Q4_K_M", "hf.co/org/base-GGUF:Q4_K_M"),
        ("https://hf.co/org/base-GGUF:Q4_K_M", "hf.co/org/base-GGUF:Q4_K_M"),
        ("localhost:5000/ns/model:tag", "localhost:5000/ns/model:tag"),
        ("localhost:5000/ns/model", "localhost:5000/ns/model:latest"),
        ("_/_/_:_", "_/_/_:_"),
    ],
)
def test_a_name_is_shown_as_ollama_list_has_it(text: str, shown: str) -> None:
    assert OllamaBackend().model_named(text) == ("model", shown, None)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "a:",
            ":b",
            "a:b:",
            "/a/b:c",
            "a//b:c",
            "a/b/c/d:e",
            "a/b/c/d",
            "../a/b:c",
            "a/../b:c",
            "..:8b",
        ),
        *(
            "-a:b",
            "a:-b",
            "a b:c",
            "a:b c",
            "a\n:b",
            "a:b\0",
            "é:b",
            "a.b/c/d.e:f g",
            "hf://a/b:c",
            "ftp://a/b/c:d",
        ),
        *("x" * 81 + ":b", "a:" + "x" * 81, "x" * 351 + "/b/c:d", "n.s/model:tag", "a/b.c/d:e"),
    ],
)
def test_what_is_no_name_is_none(text: str) -> None:
    assert OllamaBackend().model_named(text) is None


@pytest.mark.parametrize("text", ["llama3", "org/name", "org/name-v1.5", "a/b/c"])
def test_what_may_be_a_repo_id_is_left_to_the_hub(text: str) -> None:
    """Though Ollama itself would take it for its ``latest``."""
    assert OllamaBackend().model_named(text) is None
    name = parse(text)
    assert name is not None and name.tag == "latest"
