"""Workers of a Dask cluster: real ones, on this machine, some of which see other device numbers."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.content import Scope
from hubfold.engine.engine import Engine
from hubfold.errors import HubfoldError, UsageError
from hubfold.progress import Stop
from hubfold.workers import named, spread
from tests.building.reading import noise
from tests.faults.filesystems import Mounts, Unavailable, need, need_root, run
from tests.workers.test_folders import rows

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'hubfold[dask]'")
pytestmark = pytest.mark.slow

from distributed import Client  # noqa: E402

from tests.building.dask_cluster import Cluster  # noqa: E402


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as made:
        yield made


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    with Mounts(tmp_path / "mounts") as made:
        yield made


def fill(folder: Path, number: int = 60) -> None:
    """Files of which some are equal."""
    for one in range(number):
        place = folder / f"model-{one % 7}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{one}.safetensors").write_bytes(noise(40_000 + one % 30, b"%d" % (one % 30)))


def test_where_a_device_has_another_number_the_rows_are_the_same(
    cluster: Cluster, mounts: Mounts, tmp_path: Path
) -> None:
    try:
        need_root()
        need("unshare", "losetup", "mkfs.ext4")
        made = mounts.image("ext4")
        fill(Path(made.path) / "models")
        run("umount", made.path)
        loops = [run("losetup", "--read-only", "--find", "--show", str(made.image)) for _ in range(2)]
    except Unavailable as error:
        pytest.skip(str(error))
    here, there = (one.stdout.strip() for one in loops)
    try:
        run("mount", "-o", "ro", here, made.path)
        script = 'umount "$1" && mount -o ro "$2" "$1" && shift 2 && exec "$@"'
        for number in range(4):
            elsewhere = (
                "unshare",
                "-m",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
                made.path,
                there,
            )
            cluster.work(*(elsewhere if number % 2 else ()))
        cluster.wait(4)
        assert len(cluster.devices(made.path)) == 2

        models = Path(made.path) / "models"
        alone = rows(tmp_path / "alone", models, None)
        assert len(alone["digests"]) == 60
        with Engine(tmp_path / "spread", executor=f"dask:{cluster.address}") as engine:
            report = engine.scan([models], min_size=0)
            assert report.duplicate_sets
            assert engine.notices == []
        assert rows(tmp_path / "spread", models, None) == alone
    finally:
        cluster.close()
        for device in (here, there):
            run("umount", made.path, check=False)
            run("losetup", "-d", device, check=False)


def test_workers_that_are_killed_lose_no_scan_and_get_nothing_wrong(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "TASK_JOBS", 4)
    fill(tmp_path / "models", 120)
    alone = rows(tmp_path / "alone", tmp_path / "models", None)
    for _ in range(3):
        cluster.work()
    cluster.wait(3)
    ended, killed = threading.Event(), []

    def kill() -> None:
        while not ended.wait(random.random()):
            one = cluster.workers.pop(0)
            one.kill()
            one.wait()
            killed.append(one.pid)
            cluster.work()
            cluster.wait(3)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        number = 0
        while len(killed) < 2:
            number += 1
            with Engine(tmp_path / f"home-{number}", executor=f"dask:{cluster.address}") as engine:
                engine.scan([tmp_path / "models"], min_size=0)
            assert rows(tmp_path / f"home-{number}", tmp_path / "models", None) == alone
    finally:
        ended.set()
        killer.join()


def test_verify_sees_a_file_that_was_rewritten_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    # Dask remembers the results of equal calls; bytes that rot change no signature.
    fill(tmp_path / "models", 4)
    cluster.work()
    cluster.wait(1)
    path = tmp_path / "models" / "model-1" / "1.safetensors"
    # As somebody hands it in who knows nothing of that.
    with (
        Client(cluster.address, set_as_default=False) as client,
        Engine(tmp_path / "home", executor=client.get_executor()) as engine,
    ):
        assert engine.verify([tmp_path / "models"]).problems == ()
        st = path.stat()
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
        (problem,) = engine.verify([tmp_path / "models"]).problems
    assert problem.path == str(path)


def test_a_cluster_of_this_machine_is_made_and_ended(tmp_path: Path) -> None:
    fill(tmp_path / "models", 10)
    alone = rows(tmp_path / "alone", tmp_path / "models", None)
    with Engine(tmp_path / "home", executor="dask:local:1") as engine:
        engine.scan([tmp_path / "models"], min_size=0)
        assert engine.notices == []
    assert rows(tmp_path / "home", tmp_path / "models", None) == alone


#: Runs the script of a job at once, and tells its number as SLURM does.
SBATCH = f"""#!{sys.executable}
import subprocess, sys
job = subprocess.Popen(["sh", sys.argv[-1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(f"Submitted batch job {{job.pid}}")
"""
SCANCEL = f"""#!{sys.executable}
import os, signal, sys
os.kill(int(sys.argv[1]), signal.SIGTERM)
"""


def test_jobs_of_slurm_are_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'hubfold[dask]'")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "models", 10)
    alone = rows(tmp_path / "alone", tmp_path / "models", None)
    word = "dask:slurm?jobs=1&cores=1&memory=1GB&walltime=00:10:00&interface=lo&wait=120"
    with Engine(tmp_path / "home", executor=word) as engine:
        engine.scan([tmp_path / "models"], min_size=0, scope=Scope(only=True))
        assert engine.notices == []
    assert rows(tmp_path / "home", tmp_path / "models", None) == alone


def test_a_setting_that_slurm_does_not_have_is_told() -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'hubfold[dask]'")
    with pytest.raises(UsageError, match="nodes"):
        named.open_team("dask:slurm?nodes=4", Stop())


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.workers.dask_team._CONNECT", 0.5)
    with pytest.raises(HubfoldError, match="no Dask scheduler answers at tcp:"):
        named.open_team("dask:tcp://127.0.0.1:1", Stop())


def test_nothing_of_it_is_imported_for_who_has_other_workers() -> None:
    script = (
        "import sys; from hubfold.engine.engine import Engine; Engine(executor='processes:1').workspace.spread;"
        "print([name for name in sys.modules if name.partition('.')[0] in ('dask', 'distributed', 'mpi4py')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
