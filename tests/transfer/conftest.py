"""A machine with models to back up."""

from __future__ import annotations

import pytest

from hubfold import Engine
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files, safetensors
from tests.building.machines import of


@pytest.fixture
def engine(tree: Tree, loopback_hub: LoopbackHub) -> Engine:
    """org/base in two revisions, and org/chat with the same tokenizer."""
    shared = safetensors("shared", 2 << 20)
    loopback_hub.add("org/base", {**model_files("base"), "tokenizer.safetensors": shared})
    loopback_hub.add("org/chat", {**model_files("chat"), "sub/folder/tokenizer.safetensors": shared})
    tree.build({"hf/hub": hub_cache("org/base", "org/chat")})
    loopback_hub.add("org/base", {**model_files("newer"), "tokenizer.safetensors": shared})
    tree.sync("hf/hub")
    return of(tree, "here", tree["hf/hub"])
