"""What a user calls workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hubfold import workers
from hubfold.errors import UsageError
from hubfold.progress import Stop
from hubfold.workers import named
from tests.building.waiting import PATIENCE


@pytest.mark.parametrize(
    "text",
    [
        *("processes", "processes:1", "processes:64", "mpi", "dask:local", "dask:local:2", "dask:slurm"),
        *("dask:tcp://127.0.0.1:8786", "dask:tls://host:1", "dask:slurm?jobs=2&memory=4GB"),
    ],
)
def test_a_word_that_means_workers_makes_none(text: str) -> None:
    before = set(sys.modules)
    named.check(text)
    assert named.threads(text) is None
    assert not {name.partition(".")[0] for name in set(sys.modules) - before} & {"dask", "distributed"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "process", "processes:0", "processes:-1", "processes:x", "processes:9999", "processes:٣"),
        *("dask", "dask:", "dask:tcp", "dask:tcp://", "dask:local:0", "dask:slurm?jobs", "slurm", "mpi:3"),
    ],
)
def test_what_means_nobody_is_refused_with_a_way_on(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        named.check(text)
    assert repr(text) in str(raised.value)
    assert raised.value.hint


def test_threads_are_no_workers() -> None:
    assert (named.threads("threads"), named.threads("threads:3")) == (0, 3)
    with pytest.raises(UsageError):
        named.threads("threads:none")


def test_as_many_processes_as_there_are_processors() -> None:
    team = named.open_team("processes", Stop())
    assert team.width() == (os.cpu_count() or 1)
    team.close()


@pytest.mark.parametrize(("text", "extra"), [("dask:local:1", "dask"), ("mpi", "mpi")])
def test_where_an_extra_is_missing_it_is_named(
    text: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("distributed", "mpi4py", "mpi4py.futures"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "hubfold.workers.dask_team", raising=False)
    monkeypatch.delattr(workers, "dask_team", raising=False)
    with pytest.raises(UsageError) as raised:
        named.open_team(text, Stop())
    assert f"hubfold[{extra}]" in raised.value.hint


def test_an_executor_of_the_callers_is_not_ended() -> None:
    with ThreadPoolExecutor(3) as executor:
        team = named.team_of(executor)
        assert team.width() == 3
        team.close()
        assert executor.submit(int, "3").result() == 3


@pytest.mark.slow
def test_ranks_of_mpi_are_workers(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install 'hubfold[mpi]'")
    mpiexec = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("mpiexec is not installed")
    for name in "ab":
        (tmp_path / f"{name}.gguf").write_bytes(b"the same")
    scan = [
        "-m",
        "hubfold",
        "scan",
        "--only",
        "--min-size",
        "1",
        "--executor",
        "mpi",
        "--json",
        str(tmp_path),
    ]
    runner = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    done = subprocess.run([*runner, *scan], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["duplicate_sets"] == 1
    alone = subprocess.run([sys.executable, *scan], capture_output=True, text=True, timeout=PATIENCE)
    assert alone.returncode == 2
    assert "there are no ranks that take work" in alone.stderr
