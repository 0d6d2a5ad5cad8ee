"""Downloads by the real client that come half-way, and stop there for as long as a test likes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from hubfold.testing.loopback_hub import LoopbackHub, StoredFile
from tests.building.waiting import until

# The client writes in steps of 10 MB, which no test wants to wait for.
_DOWNLOAD = """
import json, sys
from huggingface_hub import constants, snapshot_download
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
snapshot_download(**json.loads(sys.argv[1]))
"""


class Half(io.BytesIO):
    """Gives half of its bytes, and the rest when it is let."""

    def __init__(self, data: bytes, go_on: threading.Event) -> None:
        super().__init__(data)
        self._half, self._go_on = len(data) // 2, go_on

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() < self._half:
            return super().read(self._half - self.tell())
        self._go_on.wait()
        return super().read(size)


def half_of_it(folder: Path, least: int) -> bool:
    try:
        return any(path.stat().st_size >= least // 2 for path in folder.rglob("*.incomplete"))
    except FileNotFoundError:  # a folder that the client made for a moment
        return False


@contextmanager
def half_downloaded(
    hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch, *, least: int, **asked: Any
) -> Iterator[threading.Event]:
    """A client downloads below `folder`; in the block, its first file of `least` bytes or more is at the half.

    Setting the event that is given lets the rest come. The client is killed at the end of the block.
    """
    go_on = threading.Event()
    real = StoredFile.open

    def opened(file: StoredFile) -> BinaryIO:
        source = real(file)
        return Half(source.read(), go_on) if file.size >= least else source

    with monkeypatch.context() as patch:
        patch.setattr(StoredFile, "open", opened)
        arguments = json.dumps({"endpoint": hub.endpoint, "max_workers": 1, **asked})
        client = subprocess.Popen(
            [sys.executable, "-c", _DOWNLOAD, arguments], env={**os.environ, **hub.environ()}
        )
        try:
            until(lambda: client.poll() is not None or half_of_it(folder, least), "the client did not begin")
            assert client.poll() is None, "the client ended"
            yield go_on
        finally:
            client.kill()
            client.wait()
            go_on.set()
