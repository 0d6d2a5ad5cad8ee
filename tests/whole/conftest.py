"""The real clients, and the Hub that they download from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building.clients import NEWEST, OLDER, Client


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(
    scope="module", params=[NEWEST, *(pytest.param(release, marks=pytest.mark.clients) for release in OLDER)]
)
def client(request: pytest.FixtureRequest, hub: LoopbackHub) -> Iterator[Client]:
    client = Client(request.param, hub)
    yield client
    client.close()
