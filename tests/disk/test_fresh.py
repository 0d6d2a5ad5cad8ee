"""The ctime of an open file as the file system has it now."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from hubfold.disk import fresh


def test_it_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with path.open("rb") as file:
        before = fresh.ctime_ns(file.fileno())
        assert before == os.stat(path).st_ctime_ns
        while os.stat(path).st_ctime_ns == before:  # until the clock of the file system has moved on
            path.chmod(0o600)
        assert fresh.ctime_ns(file.fileno()) == os.stat(path).st_ctime_ns != before


@pytest.mark.parametrize("lacking", ["function", "system"])
def test_without_statx_it_is_what_fstat_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    class Library:
        def __init__(self, *_: object, **__: object) -> None:
            if lacking == "system":
                self.statx = lambda *_: -1  # as a kernel that does not have it

    monkeypatch.setattr(ctypes, "CDLL", Library)
    path = tmp_path / "file"
    path.write_bytes(b"")
    with path.open("rb") as file:
        assert fresh.ctime_ns(file.fileno()) == os.stat(path).st_ctime_ns


def test_a_descriptor_that_is_closed_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    os.close(fd)
    with pytest.raises(OSError):
        fresh.ctime_ns(fd)
