"""For authors of backends: the contract of a backend as tests, and builders of trees (`hubfold.testing.trees`).

Subclass `BackendContract` in a test module of your own and say what your layout looks like on the disk::

    from hubfold.testing import BackendContract, Built

    class TestOllama(BackendContract):
        backend = OllamaBackend

        def build(self, folder):
            digest = hashlib.sha256(b"weights").hexdigest()
            (folder / "blobs").mkdir()
            (folder / "blobs" / f"sha256-{digest}").write_bytes(b"weights")
            (folder / "manifests").mkdir()
            return Built(folder, {f"blobs/sha256-{digest}"})

and have pytest explain failures: ``pytest.register_assert_rewrite("hubfold.testing")`` in ``conftest.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold.lazy import hand_on

if TYPE_CHECKING:
    from hubfold.testing.built import Built
    from hubfold.testing.contract import BackendContract, digests_of, opened, snapshot
    from hubfold.testing.loopback_hub import LoopbackHub
    from hubfold.testing.trees import (
        Tree,
        copy_of,
        fine_tune_of,
        hardlink_of,
        hub_cache,
        link_to,
        local_dir,
        model_files,
        safetensors,
        sparse,
    )

__all__ = [
    "BackendContract",
    "Built",
    "LoopbackHub",
    "Tree",
    "copy_of",
    "digests_of",
    "fine_tune_of",
    "hardlink_of",
    "hub_cache",
    "link_to",
    "local_dir",
    "model_files",
    "opened",
    "safetensors",
    "snapshot",
    "sparse",
]

__getattr__ = hand_on(
    __name__,
    {
        "built": ("Built",),
        "contract": ("BackendContract", "digests_of", "opened", "snapshot"),
        "loopback_hub": ("LoopbackHub",),
        "trees": (
            "Tree",
            "copy_of",
            "fine_tune_of",
            "hardlink_of",
            "hub_cache",
            "link_to",
            "local_dir",
            "model_files",
            "safetensors",
            "sparse",
        ),
    },
)
