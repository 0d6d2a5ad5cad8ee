"""Which tests run, and beside which: the tiers that take longer are asked for by the environment.

- ``HUBFOLD_TEST_SLOW=1``: tests marked `slow` (sweeps, images of file systems).
- ``HUBFOLD_TEST_CLIENTS=DIR``: tests marked `clients`; ``DIR/<release>/`` is an environment with that huggingface_hub.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

_TIERS = {
    "slow": ("HUBFOLD_TEST_SLOW", "takes long: set HUBFOLD_TEST_SLOW=1"),
    "clients": (
        "HUBFOLD_TEST_CLIENTS",
        "needs older clients: set HUBFOLD_TEST_CLIENTS to a folder of environments",
    ),
}


#: Tests with one of these fixtures run one after another: what another process mounts meanwhile could take the device
#: number of a btrfs that is remounted, and a fault would then strike another call than the one that was recorded.
_MOUNT = {"mounts", "btrfs"}
#: The files that have such tests; all of each goes to one process, the same for all. (Not by marks of pytest-xdist:
#: `--dist loadgroup` of its 3.8 puts the group into a field that pytest 9.2 has no more, and says nothing.)
_MOUNTING = {
    f"tests/{name}.py"
    for name in (
        *(
            "test_extents",
            "test_scan",
            "faults/test_any_sequence",
            "faults/test_doctor_sweeps",
            "faults/test_drive_away",
        ),
        *("faults/test_filesystems", "faults/test_harness", "faults/test_lifecycle_places"),
        *("faults/test_models", "faults/test_power_cuts", "faults/test_races", "faults/test_sweeps"),
        "faults/test_tree",
    )
}
#: What its tests need takes long to make and serves all of them.
_TOGETHER = {"tests/test_after_folding.py"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class OneProcessMounts(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "mounts" if file in _MOUNTING else file if file in _TOGETHER else nodeid

    return OneProcessMounts(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file = item.nodeid.partition("::")[0]
        if _MOUNT.intersection(getattr(item, "fixturenames", ())) and file not in _MOUNTING:
            raise pytest.UsageError(f"{file} mounts: it belongs to _MOUNTING in {__file__}")
        for marker, (variable, reason) in _TIERS.items():
            if item.get_closest_marker(marker) and os.environ.get(variable, "0") in ("", "0"):
                item.add_marker(pytest.mark.skip(reason=reason))
