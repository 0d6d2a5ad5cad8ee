"""Whose the space is: payloads that several models share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.reports.models import Wholeness
from hubfold.testing.trees import (
    Tree,
    has_shared_store,
    hub_cache,
    local_dir,
    model_files,
    safetensors,
    with_xet_hash,
)
from tests.building.library import SIZE, models

needs_shared_store = pytest.mark.skipif(not has_shared_store(), reason="this client has no shared store")


def freed(engine: Engine, *roots: Path) -> dict[str, int | None]:
    """What `hubfold ls` says that removing each model frees."""
    for root in roots:
        engine.add_root(root)
    return {model.id: model.freed_bytes for model in engine.models().models}


def test_a_payload_that_two_repos_share_counts_once_where_the_client_counts_it_twice(
    tree: Tree, engine: Engine
) -> None:
    weights = safetensors("base", 2 << 20)
    tree.hub.add("org/base", {"model.safetensors": weights})
    tree.hub.add("org/same", {"model.safetensors": weights})
    tree.build({"hub": hub_cache("org/base", "org/same")})
    engine.scan([tree["hub"]])
    engine.apply(engine.plan([tree["hub"]]))
    assert sum(1 for _ in tree["hub"].glob("models--*/blobs/*")) == 2
    library = engine.library([tree["hub"]])
    base, same = library.models
    from huggingface_hub import scan_cache_dir

    assert scan_cache_dir(tree["hub"]).size_on_disk == 2 * len(weights), "the client counts both names"
    assert library.physical_bytes == len(weights)
    assert (base.bytes, same.bytes) == (len(weights), len(weights))
    assert base.physical_bytes + same.physical_bytes == len(weights)
    for model, size in freed(engine, tree["hub"]).items():
        assert size == engine.preview_remove([model]).bytes < 1 << 20, "removing one frees no weights"


@needs_shared_store
def test_a_payload_of_the_shared_store_belongs_to_all_that_use_it(tree: Tree, engine: Engine) -> None:
    weights = with_xet_hash(safetensors("base", SIZE))
    tree.hub.add("org/base", {"model.safetensors": weights})
    tree.hub.add("org/same", {"other.safetensors": weights})
    tree.build({"hub": hub_cache("org/base", "org/same", shared=True)})
    base, same = models(engine, tree["hub"]).values()
    assert (base.bytes, same.bytes) == (SIZE, SIZE)
    assert base.physical_bytes + same.physical_bytes == _blocks(tree["hub"])
    before = freed(engine, tree["hub"])["org/base"]
    shutil.rmtree(tree["hub/models--org--same"])
    after = freed(engine)["org/base"]
    assert before is not None and after is not None
    assert after - before >= SIZE, "its last user takes the payload with it"


def _blocks(cache: Path) -> int:
    files = {os.stat(path).st_ino: os.stat(path) for path in cache.glob("blobs/??/*") if path.suffix == ""}
    return sum(st.st_blocks * 512 for st in files.values())


def test_what_a_model_alone_has_is_freed(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", SIZE))
    tree.build({"hub": hub_cache("org/base")})
    [base] = models(engine, tree["hub"]).values()
    blobs = sum(path.stat().st_blocks * 512 for path in tree["hub/models--org--base/blobs"].iterdir())
    assert base.physical_bytes == blobs
    all_of_it = sum(
        path.lstat().st_blocks * 512
        for path in [tree["hub/models--org--base"], *tree["hub/models--org--base"].rglob("*")]
    )
    assert freed(engine, tree["hub"]) == {"org/base": all_of_it}, "its folders and notes go as well"


def test_a_folded_copy_takes_nothing_and_keeps_the_content(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/base", model_files("base", 2 << 20))
    tree.build({"hf/hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    engine.scan([tree["hf"], tree["models"]])
    before = models(engine, tree["hf"], tree["models"])["org/base"]
    engine.apply(engine.plan([tree["hf"], tree["models"]]))
    after = models(engine, tree["hf"], tree["models"])["org/base"]
    assert after.state is Wholeness.WHOLE
    assert before.physical_bytes - after.physical_bytes == 2 << 20
    assert freed(engine, tree["hf"], tree["models"])["org/base"] == engine.preview_remove(["org/base"]).bytes
    assert engine.preview_remove(["org/base"]).bytes < 1 << 20, "a link needs it"
