"""Files that are held open, as the executor holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfold.disk.held import HeldFile


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[..., HeldFile]]:
    held: list[HeldFile] = []

    def make(name: str, content: bytes, *, lease: bool = False) -> HeldFile:
        (tmp_path / name).write_bytes(content)
        held.append(HeldFile(str(tmp_path), str(tmp_path / name), lease=lease))
        return held[-1]

    yield make
    for one in held:
        one.close()
