"""Whose file a path in a ModelScope cache is, and which files are no content yet."""

from __future__ import annotations

import pytest

from hubfold_plugins.modelscope.repository import Found, is_partial, repository_of


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("models/a--b/snapshots/v1/x/y.bin", Found("model", "a/b", "x/y.bin", "/c", False)),
        ("datasets/a--b--c/snapshots/v1/x", Found("dataset", "a/b--c", "x", "/c", False)),
        ("models/a/b___5/x/y.bin", Found("model", "a/b.5", "x/y.bin", "/c", True)),
        ("hub/datasets/a/b/x", Found("dataset", "a/b", "x", "/c/hub", True)),
        ("hub/a/b/x", Found("model", "a/b", "x", "/c/hub", True)),
        ("models/a--b/snapshots", None),
        ("models/x", None),
        (".lock/a/b", None),
        ("", None),
    ],
)
def test_whose_file_a_path_is(path: str, found: Found | None) -> None:
    assert repository_of("/c", f"/c/{path}") == found
    assert repository_of("/c/", f"/elsewhere/{path}") is None


def test_parts_of_a_download_are_told_from_files() -> None:
    for name in ("x.bin.incomplete", "x.bin.parallel_tmp", "model.safetensors_0_167772159"):
        assert is_partial(name)
    for name in ("x.bin", "shard_0_1", "x_1.bin", "model-00001-of-00002.safetensors"):
        assert not is_partial(name)
