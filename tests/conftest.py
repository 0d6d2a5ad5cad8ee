"""Every test has a home and caches of its own, and no network but the loopback; and which tests run, beside which.

The tiers that take longer are asked for by the environment:

- ``HUBFOLD_TEST_SLOW=1``: tests marked `slow` (sweeps, images of file systems).
- ``HUBFOLD_TEST_CLIENTS=DIR``: tests marked `clients`; ``DIR/<release>/`` is an environment with that huggingface_hub.
- ``HUBFOLD_TEST_PROGRAMS=DIR``: tests marked `programs`; ``DIR/<name>/`` is an environment with that program.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree
from tests import folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.building.downloads import Remembered

pytest.register_assert_rewrite("hubfold.testing.contract", "hubfold.testing.folds", "tests.building")

# The client reads its variables when it is first imported, so nothing of the user's may be there by then.
_OURS = ("HF_", "HUGGINGFACE", "HUBFOLD_", "XDG_", "TRANSFORMERS_", "PRIMARY_CACHE_", "SECONDARY_CACHE_")
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
    # The client takes a Hub that says nothing for ten seconds for one that is away; ours may be waiting for its turn.
    "HF_HUB_DOWNLOAD_TIMEOUT": "300",
    "HF_HUB_ETAG_TIMEOUT": "300",
}


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: now and then each waits for a disk."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else 2


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)
    folders.leave()


_numbers = itertools.count()


@pytest.fixture
def new_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """Makes folders for one test, in memory where `folders` says so; they are gone after it unless it failed."""
    memory = None if request.node.nodeid.startswith(folders.ON_DISK) else folders.in_memory()
    made: list[Path] = []

    def make(name: str) -> Path:
        # Numbered by a count of our own: pytest lists all folders that there are to find the number of the next.
        made.append((memory or tmp_path_factory.getbasetemp()) / f"{name}-{next(_numbers)}")
        made[-1].mkdir(mode=0o700)
        return made[-1]

    failed = request.session.testsfailed
    yield make
    if request.session.testsfailed == failed:
        for folder in made:
            folders.remove(folder)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, new_folder: Callable[[str], Path]) -> Path:
    return new_folder(re.sub(r"\W", "_", request.node.name)[:30])


@pytest.fixture(autouse=True)
def isolated(new_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, outside its `tmp_path`; returns it."""
    home = new_folder("home")
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


@pytest.fixture(scope="session")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Remembered:
    # Not above: what is imported before its asserts are rewritten keeps them as they are.
    from tests.building.downloads import Remembered

    return Remembered(tmp_path_factory.mktemp("downloads"), Tree._download)


@pytest.fixture(autouse=True)
def one_download_of_each(
    request: pytest.FixtureRequest, remembered: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trees are made of downloads that are made once in each process, but where trees and Hub are what is tested."""
    if not request.node.nodeid.startswith("tests/testing/"):
        # Not the object itself, which would be no method.
        monkeypatch.setattr(Tree, "_download", lambda tree, *what, **where: remembered(tree, *what, **where))


@pytest.fixture
def tree(tmp_path: Path, loopback_hub: LoopbackHub) -> Tree:
    """An empty tree below the test's own folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return Tree(folder, loopback_hub)


@pytest.fixture
def other_drive(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on another file system."""
    drives = [folders.MEMORY, str(tmp_path_factory.getbasetemp())]
    others = [
        drive
        for drive in drives
        if os.access(drive, os.W_OK) and os.stat(drive).st_dev != tmp_path.stat().st_dev
    ]
    if not others:
        pytest.skip(f"{folders.MEMORY} is no other file system here")
    with tempfile.TemporaryDirectory(dir=others[0]) as place:
        yield Path(place)


_TIERS = {
    "slow": ("HUBFOLD_TEST_SLOW", "takes long: set HUBFOLD_TEST_SLOW=1"),
    "clients": (
        "HUBFOLD_TEST_CLIENTS",
        "needs older clients: set HUBFOLD_TEST_CLIENTS to a folder of environments",
    ),
    "programs": (
        "HUBFOLD_TEST_PROGRAMS",
        "needs other programs: set HUBFOLD_TEST_PROGRAMS to a folder of environments",
    ),
}


# How long an example takes says how busy the machine is, and nothing of hubfold.
settings.register_profile("steady", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("steady")

#: Files whose tests wait for each other (`building.device_numbers`): one process does all of them.
_NUMBERED = (
    "tests/reading/test_extents.py",
    "tests/engine/test_marked_disks.py",
    *("tests/mounted/test_kernel.py", "tests/cli/test_doctor_mounts.py", "tests/cli/test_within.py"),
    *(
        f"tests/faults/test_{name}.py"
        for name in (
            "filesystems",
            "harness",
            "lifecycle_places",
            "other_machines",
            "seen_twice",
            "two_machines",
        )
    ),
)
#: What its tests need takes long to make and serves all of them.
_TOGETHER = {"tests/whole/test_after_folding.py", "tests/backend/test_registry.py"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    # (Not by marks of pytest-xdist: `--dist loadgroup` of its 3.8 puts the group into a field that pytest 9.2 has no
    # more, and says nothing.)
    class WhatWaitsTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file in _NUMBERED or (file.startswith("tests/faults/") and "btrfs" in nodeid):
                return "numbered"
            return file if file in _TOGETHER else nodeid

    return WhatWaitsTogether(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """A process that runs tests beside others has mounts of its own: what one unmounts would stay in another's boxes.

    The image that is written over then would be of a live file system.
    """
    if hasattr(config, "workerinput") and sys.platform == "linux" and os.geteuid() == 0:
        folders.own_mounts()


#: Tests of `BackendContract` that start hubfold several times.
_FOLDING = ("once_folded", "killed_in_the_middle")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file = item.nodeid.partition("::")[0]
        if file.startswith("tests/plugins") and any(name in item.name for name in _FOLDING):
            item.add_marker(pytest.mark.slow)
        for marker, (variable, reason) in _TIERS.items():
            if item.get_closest_marker(marker) and os.environ.get(variable, "0") in ("", "0"):
                item.add_marker(pytest.mark.skip(reason=reason))
