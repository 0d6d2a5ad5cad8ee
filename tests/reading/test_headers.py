"""What the first bytes of a file say, and how they are read. Which formats: `tests/scanning/test_kinds.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.reading import headers


def test_only_the_head_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"GGUF" + b"\1" * (2 * headers.HEAD))
    assert headers.head(str(path)) == b"GGUF" + b"\1" * (headers.HEAD - 4)


def test_a_link_is_not_followed_and_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert headers.head(str(tmp_path / "pipe")) == b""
    (tmp_path / "link").symlink_to(__file__)
    with pytest.raises(OSError):
        headers.head(str(tmp_path / "link"))


def test_a_length_that_cannot_be_one_is_no_safetensors() -> None:
    assert headers.is_a_model((20).to_bytes(8, "little") + b"{")
    assert not headers.is_a_model((1 << 60).to_bytes(8, "little") + b"{")
    assert not headers.is_a_model((20).to_bytes(8, "little") + b"<")


@pytest.mark.parametrize(("first", "blank"), [(b"", True), (b"\0" * 100, True), (b"\0" * 99 + b"\1", False)])
def test_what_is_not_written_yet(first: bytes, blank: bool) -> None:
    assert headers.is_blank(first) is blank
