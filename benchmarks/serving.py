"""``python -m benchmarks.serving``: `hubfold serve` beside nginx, which sends the same file as it is.

A sparse file in a hub cache (``--size``, 4 GiB by itself) is fetched by curl over the loopback, whole by one client, or
by 64 at once, a part each. Paired: in each round both servers have the same to do, one after the other. Before
that hubfold reads the file once, for its sha256, as it does of every file; nginx proves nothing.

Needs nginx and curl (`apt install nginx-light curl`). Prints a table; nothing is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
CLIENTS = 64
COMMIT = "c" * 40
NAME = "acme/large"
_NGINX = """
worker_processes auto; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


def sparse_model(cache: Path, size: int) -> Path:
    """A model of one file of `size` bytes, 16 MiB of them written at even distances, in a hub cache; the file."""
    repository = cache / "models--acme--large"
    (repository / "blobs").mkdir(parents=True)
    making = repository / "blobs" / "making"
    with making.open("wb") as file:
        for number in range(16):
            file.seek(number * (size // 16))
            file.write(hashlib.shake_128(b"%d" % number).digest(min(MIB, size // 16)))
        file.truncate(size)
    digest = hashlib.sha256()
    with making.open("rb") as file:
        while data := file.read(MIB):
            digest.update(data)
    blob = making.rename(making.with_name(digest.hexdigest()))
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.bin").symlink_to(f"../../blobs/{blob.name}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return blob


@contextmanager
def hubfold(cache: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """(endpoint, process id) of `hubfold serve`."""
    environ = {**os.environ, "HF_HUB_CACHE": str(cache), "HUBFOLD_HOME": str(folder / "state")}
    command = [sys.executable, "-m", "hubfold", "serve", "-q", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


@contextmanager
def nginx(root: Path, folder: Path, port: int) -> Iterator[str]:
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, root=root))
    with subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config)]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def whole(url: str, size: int) -> float:
    """Seconds for one client to fetch all of it."""
    begun = time.perf_counter()
    subprocess.run(["curl", "-sf", "--retry", "3", "-o", "/dev/null", url], check=True)
    return time.perf_counter() - begun


def in_parts(url: str, size: int) -> float:
    """Seconds for 64 clients at once to fetch a part each."""
    part, begun = size // CLIENTS, time.perf_counter()
    clients = [
        subprocess.Popen(
            ["curl", "-sf", "-o", "/dev/null", "-r", f"{number * part}-{(number + 1) * part - 1}", url]
        )
        for number in range(CLIENTS)
    ]
    assert not any(client.wait() for client in clients)
    return time.perf_counter() - begun


def resident(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no VmHWM")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4096, help="MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=8699, help="for nginx")
    asked = parser.parse_args()
    for program in ("nginx", "curl"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    size = asked.size * MIB
    with tempfile.TemporaryDirectory(prefix="hubfold-serving-") as place:
        os.chmod(place, 0o755)
        folder = Path(place)
        blob = sparse_model(folder / "hub", size)
        with hubfold(folder / "hub", folder) as (ours, pid), nginx(blob.parent, folder, asked.port) as theirs:
            urls = {
                "nginx": f"{theirs}/{blob.name}",
                "hubfold serve": f"{ours}/{NAME}/resolve/main/model.bin",
            }
            for url in urls.values():
                whole(url, size)
            for task in (whole, in_parts):
                _table(task, urls, size, asked.rounds)
            print(f"\nhubfold's memory at its most: {resident(pid) / 1e6:.0f} MB")


def _table(task: Callable[[str, int], float], urls: dict[str, str], size: int, rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            seconds[name].append(task(url, size))
    ratios = [theirs / ours for theirs, ours in zip(*seconds.values(), strict=True)]
    print(f"\n{(task.__doc__ or '').strip()}")
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(
            f"  {name:14} {middle:6.2f} s  {size / middle / 1e9:5.2f} GB/s  ({min(found):.2f} to {max(found):.2f})"
        )
    print(
        f"  throughput beside nginx, by rounds: median {statistics.median(ratios):.2f}, least {min(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
