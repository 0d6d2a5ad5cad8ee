"""Many clients at once, of which some are cut off: the bytes are right, and the memory stays what it is."""

from __future__ import annotations

import os
import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.serving import CLIENTS, NAME, hubfold, resident, sparse_model
from tests.building import serving
from tests.building.waiting import PATIENCE

MIB = 1 << 20
PATH = f"/{NAME}/resolve/main/model.bin"


def fetch(endpoint: str, blob: Path, first: int, end: int, cut: int | None) -> int:
    """Fetch a range and compare it as it comes, up to byte `cut` of it; how many bytes were right."""
    parts = urlsplit(endpoint)
    head = f"GET {PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nRange: bytes={first}-{end - 1}\r\n\r\n"
    with (
        socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE) as sock,
        blob.open("rb") as file,
        sock.makefile("rb", MIB) as answer,
    ):
        sock.sendall(head.encode())
        assert b" 206 " in answer.readline()
        while answer.readline() != b"\r\n":
            pass
        file.seek(first)
        right, most = 0, end - first if cut is None else cut
        while right < most:
            data = answer.read(min(MIB, most - right))
            assert data, "the answer ended before its end"
            assert data == file.read(len(data))
            right += len(data)
    return right


assert serving, "without its packages there is nothing to try"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_64_clients_at_once_and_every_tenth_is_cut_off(tmp_path: Path) -> None:
    """Of a sparse file of 4 GiB; each client fetches a part of it, and one that is cut goes on where it was."""
    size = int(os.environ.get("HUBFOLD_TEST_SERVE_MIB", "4096")) * MIB
    blob = sparse_model(tmp_path / "hub", size)
    part, chance = size // CLIENTS, random.Random(15)

    def client(endpoint: str, number: int) -> int:
        first, end = number * part, (number + 1) * part
        cuts = [chance.randrange(1, part)] if number % 10 == 0 else []
        got = sum(fetch(endpoint, blob, first, end, cut) for cut in cuts)
        return got + fetch(endpoint, blob, first + got, end, None)

    with hubfold(tmp_path / "hub", tmp_path) as (endpoint, pid), ThreadPoolExecutor(CLIENTS) as pool:
        fetch(endpoint, blob, 0, 10, None)
        done = list(pool.map(lambda number: client(endpoint, number), range(CLIENTS)))
        assert done == [part] * CLIENTS
        assert resident(pid) < 200 * 10**6
