"""Every test has a home and caches of its own, and no network but the loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.register_assert_rewrite("hubfold.testing.contract")

# The client reads its variables when it is first imported, so nothing of the user's may be there by then.
_OURS = ("HF_", "HUGGINGFACE", "HUBFOLD_", "XDG_", "TRANSFORMERS_")
#: What chooses tests is no setting of the user's.
_ASKED = ("HUBFOLD_TEST_", "HUBFOLD_FAULTS", "HUBFOLD_DEBUG")
for _name in [name for name in os.environ if name.startswith(_OURS) and not name.startswith(_ASKED)]:
    del os.environ[_name]
_HOME = tempfile.mkdtemp(prefix="hubfold-tests-")
os.environ |= {
    "HF_HOME": f"{_HOME}/huggingface",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, outside its `tmp_path`; returns it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hf" / "hub"))
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", str(home / "hf" / "hub"))
    monkeypatch.setenv("HUBFOLD_HOME", str(home / "hubfold"))
    for variable in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(home / variable.lower()))
    return home


@pytest.fixture
def loopback_hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def tree(tmp_path: Path, loopback_hub: LoopbackHub) -> Tree:
    """An empty tree below the test's own folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return Tree(folder, loopback_hub)


@pytest.fixture
def other_drive(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK) or os.stat(memory).st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{memory} is no other file system here")
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)
