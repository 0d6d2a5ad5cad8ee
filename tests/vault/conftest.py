"""A cache and a copy that was folded into it, so that the vault has one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building.folding import Folded


@pytest.fixture
def scene(tmp_path: Path) -> Folded:
    return Folded(tmp_path)
