"""How long `hubfold fleet` takes to answer: ``python -m benchmarks.fleet [--hosts 100] [--rows 10000] [--place DIR]``.

The data is made, not measured of anybody: on each host, files of models of 50 files each, of whose contents 40 % are on
every host, 30 % on ten of the hosts, and the rest on one alone; each has a digest. DuckDB makes the files, in the
format of `hubfold export` (`hubfold.fleet.layout`); the questions are asked as the command asks them, each by itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hubfold.fleet import ask, layout, questions

SCANNED = 1_795_000_000


def make(folder: str, hosts: int, rows: int) -> None:
    """An export for each host."""
    import duckdb

    for number in range(hosts):
        about = {"": str(layout.VERSION)}
        values = (f"node{number:03}", f"{number:032x}", str(SCANNED), str(rows))
        about |= {f".{name}": value for name, value in zip(layout.ABOUT, values, strict=True)}
        kept = ", ".join(f"'{layout.KEY}{name}': '{value}'" for name, value in about.items())
        with duckdb.connect(":memory:") as database:
            database.execute(
                f"""COPY ({_rows(number, rows)}) TO '{folder}/node{number:03}.parquet'
                (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{kept}}})"""
            )


def _rows(host: int, rows: int) -> str:
    content = f"""CASE WHEN i % 10 < 4 THEN i WHEN i % 10 < 7 THEN i + {host // 10}::BIGINT * 100000000
        ELSE i + {host + 100}::BIGINT * 1000000000 END"""
    # Thirty-two bytes that look like a sha256; to make real ones takes longer than all else.
    digest = " || ".join(f"lpad(hex(hash(c + {number})), 16, '0')" for number in range(4))
    return f"""SELECT 'node{host:03}' AS host, '{host:032x}' AS machine, {SCANNED}::BIGINT AS scanned,
        NULL::VARCHAR AS share, '/home/u/hub' AS root, 'hub-cache' AS backend,
        '/home/u/hub/models--org--m' || m || '/blobs/' || {digest} AS path, NULL::VARCHAR AS name,
        'model' AS repo_type, 'org/m' || m AS repo_id, md5(m::VARCHAR) AS revision,
        (hash(c) % 1000000 + 1)::BIGINT AS size, (hash(c) % 250)::BIGINT * 4096 AS bytes, true AS first,
        i::BIGINT AS inode, 1000::BIGINT AS uid, 'sha256' AS algorithm, unhex({digest}) AS digest,
        (hash(c) >> 1)::BIGINT AS content, NULL::BIGINT AS xxh3
        FROM (SELECT i, {content} AS c, i // 50 AS m FROM range({rows}) t(i))"""


def measure(folder: str) -> Iterator[tuple[str, float, float, int]]:
    """(question, seconds, seconds of CPU, rows of the answer)."""
    paths = ask.exported_at([folder])
    for name in (*questions.QUESTIONS, "model"):
        start, cpu = time.perf_counter(), time.process_time()
        model = "org/m7" if name == "model" else ""
        report = ask.ask(paths, [name], model=model, stale_after=float("inf"))
        assert not report.warnings
        yield name, time.perf_counter() - start, time.process_time() - cpu, len(report.answers[0].rows)


@contextmanager
def _place(named: str | None) -> Iterator[str]:
    if named is not None:
        os.makedirs(named, exist_ok=True)
        yield named
    else:
        with tempfile.TemporaryDirectory() as made:
            yield made


def main() -> None:
    parser = argparse.ArgumentParser(description="How long `hubfold fleet` takes to answer, on made data.")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of each host")
    parser.add_argument(
        "--place", help="a folder that the files are made in, and left (default: a temporary one)"
    )
    told = parser.parse_args()
    with _place(told.place) as folder:
        if not any(name.endswith(layout.SUFFIX) for name in os.listdir(folder)):
            make(folder, told.hosts, told.rows)
        size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        print(f"{told.hosts} hosts x {told.rows:,} rows (made data), {size / 1e6:.0f} MB")
        for name, seconds, cpu, rows in measure(folder):
            print(f"{name:8} {seconds:6.2f} s  {cpu:6.2f} s of CPU  {rows:3} rows")


if __name__ == "__main__":
    main()
