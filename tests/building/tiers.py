"""How much a test tries: a few inputs where a contributor types `pytest`, all of them in the slow tier."""

from __future__ import annotations

import os

SLOW = os.environ.get("HUBFOLD_TEST_SLOW", "0") not in ("", "0")


def tries(few: int, many: int) -> int:
    return many if SLOW else few
