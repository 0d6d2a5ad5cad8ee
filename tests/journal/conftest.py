"""Logs that are made of records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubfold.journal.run_log import RunLog
from tests.building.journals import RUN, written


@pytest.fixture
def logs(tmp_path: Path) -> Any:
    """Makes logs, each called by its number."""
    made = 0

    def log(*records: dict[str, Any]) -> RunLog:
        nonlocal made
        made += 1
        folder = tmp_path / str(made)
        folder.mkdir()
        found = written(folder, RUN, *records)
        found.run = str(made)
        return found

    return log
