"""Where `llama-server --models-dir` finds the models of a cache."""

from __future__ import annotations

import pytest

from hubfold.content import Snapshot, SnapshotFile
from hubfold_plugins.llamacpp import folder


def shown(*names: str, repo_id: str = "org/base-GGUF", repo_type: str = "model") -> dict[str, str]:
    files = tuple(SnapshotFile(name, f"/cache/{name}", 1) for name in names)
    one = Snapshot(repo_id, repo_type, "a" * 40, ("main",), "/cache", files=files)
    return {file.name: file.file for file in folder.shown(one)}


def test_a_model_of_one_file_lies_at_the_top() -> None:
    assert shown("base-Q4_K_M.gguf", "Q8/base-Q8_0.GGUF", "README.md") == {
        "org_base-GGUF_base-Q4_K_M.gguf": "base-Q4_K_M.gguf",
        "org_base-GGUF_base-Q8_0.gguf": "Q8/base-Q8_0.GGUF",
    }


def test_the_parts_of_a_model_share_a_folder() -> None:
    parts = [f"Q8/base-0000{number}-of-00002.gguf" for number in (1, 2)]
    assert shown(*parts) == {f"org_base-GGUF_base/{part[3:]}": part for part in parts}


def test_a_model_that_is_one_part_has_a_folder_too() -> None:
    assert list(shown("base-00001-of-00001.gguf")) == ["org_base-GGUF_base/base-00001-of-00001.gguf"]


@pytest.mark.parametrize(
    ("there", "taken", "called"),
    [
        (["mmproj-F32.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf", "mmproj-F16.gguf"),
        (["mmproj-F32.gguf", "mmproj-BF16.gguf"], "mmproj-BF16.gguf", "mmproj-BF16.gguf"),
        (["base.mmproj-Q8_0.gguf"], "base.mmproj-Q8_0.gguf", "mmproj-base.mmproj-Q8_0.gguf"),
    ],
)
def test_each_model_has_one_projector_beside_it(there: list[str], taken: str, called: str) -> None:
    assert shown("a.gguf", "b.gguf", *there) == {
        "org_base-GGUF_a/a.gguf": "a.gguf",
        f"org_base-GGUF_a/{called}": taken,
        "org_base-GGUF_b/b.gguf": "b.gguf",
        f"org_base-GGUF_b/{called}": taken,
    }


@pytest.mark.parametrize("repo_id", ["", "..", "../x", "a/../b", "a b/c"])
def test_a_name_that_is_none_of_the_hub_has_nothing(repo_id: str) -> None:
    assert not shown("base.gguf", repo_id=repo_id)
    assert not shown("base.gguf", repo_type="dataset")
