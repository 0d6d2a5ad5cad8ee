"""Which tests run, and beside which: the tiers that take longer are asked for by the environment.

- ``HUBFOLD_TEST_SLOW=1``: tests marked `slow` (sweeps, images of file systems).
- ``HUBFOLD_TEST_CLIENTS=DIR``: tests marked `clients`; ``DIR/<release>/`` is an environment with that huggingface_hub.
"""

from __future__ import annotations

import os

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _MOUNT.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("mounts"))
        for marker, (variable, reason) in _TIERS.items():
            if item.get_closest_marker(marker) and os.environ.get(variable, "0") in ("", "0"):
                item.add_marker(pytest.mark.skip(reason=reason))
