"""`rm`, `download`, `backup` and `restore` on real file systems: what they free, share, copy and refuse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building import tree

from .commands import enrol, must
from .filesystems import Mounts, as_nobody, free_bytes, physical, run

pytestmark = pytest.mark.slow

MIB = 1 << 20
WEIGHTS = tree.model("weights", 4 * MIB)


def beside(place: str) -> dict[str, str]:
    """hubfold's state outside of the image, so that only what is removed shows in its free space."""
    return {"HUBFOLD_HOME": place + ".state", "HOME": place + ".home"}


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_rm_frees_what_it_says(mounts: Mounts, kind: str) -> None:
    place = mounts.image(kind).path
    env = beside(place)
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": WEIGHTS})
    tree.cache(hub, "org/two", {"other.bin": tree.model("other", 3 * MIB)}, "b" * 40)
    enrol(place, hub, env=env)
    before = free_bytes(place)
    said = must(place, "rm", "org/one", "--dry-run", "--json", env=env).json["reclaimed_bytes"]
    done = must(place, "rm", "org/one", "-y", "--json", env=env).json["reclaimed_bytes"]
    assert done == said >= 4 * MIB
    assert abs(free_bytes(place) - before - said) < MIB // 2


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_rm_says_nothing_is_freed_while_another_file_shares_the_extents(mounts: Mounts, kind: str) -> None:
    place = mounts.image(kind).path
    env = beside(place)
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": WEIGHTS})
    tree.write(os.path.join(place, "plain/copy.bin"), WEIGHTS)
    enrol(place, hub, env=env)
    must(place, "consolidate", hub, os.path.join(place, "plain"), "-y", env=env)
    before = free_bytes(place)
    done = must(place, "rm", "org/one", "-y", "--json", env=env).json["reclaimed_bytes"]
    assert done < MIB
    assert free_bytes(place) - before < MIB
    assert Path(place, "plain/copy.bin").read_bytes() == WEIGHTS


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.add("org/one", {"model.safetensors": WEIGHTS})
        yield hub


def download(place: str, hub: LoopbackHub, *argv: str, good: tuple[int, ...] = (0,)) -> dict[str, object]:
    env = {**hub.environ(), "HF_HUB_OFFLINE": "0"}
    ran = must(
        place,
        "download",
        "org/one",
        "--into",
        os.path.join(place, "hf/hub"),
        "--json",
        *argv,
        good=good,
        env=env,
    )
    return ran.json if ran.returncode == 0 else {"error": ran.stderr}


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_download_shares_extents_with_a_local_copy(mounts: Mounts, hub: LoopbackHub, kind: str) -> None:
    place = mounts.image(kind).path
    copy = tree.write(os.path.join(place, "plain/copy.bin"), WEIGHTS)
    enrol(place, os.path.join(place, "plain"))
    run("sync", "-f", place)
    report = download(place, hub)
    assert [item["how"] for item in report["reused"]] == ["reflink"]  # type: ignore[attr-defined]
    assert not hub.downloads(MIB)
    blob = report["reused"][0]["path"]  # type: ignore[index]
    assert Path(blob).read_bytes() == WEIGHTS
    run("sync", "-f", place)
    assert physical(blob) == physical(copy) is not None
    assert os.stat(copy).st_mode & 0o200  # the copy stays the user's own
    with open(copy, "r+b") as file:
        file.write(b"edited")
    assert Path(blob).read_bytes() == WEIGHTS


def test_a_download_copies_from_another_drive(mounts: Mounts, hub: LoopbackHub) -> None:
    place = mounts.image("ext4").path
    os.mkdir(os.path.join(place, "drive"))
    drive = mounts.tmpfs(at=os.path.join(place, "drive")).path
    copy = tree.write(os.path.join(drive, "copy.bin"), WEIGHTS)
    enrol(place, drive)
    report = download(place, hub, "-y")
    assert [(item["how"], item["source"]) for item in report["reused"]] == [("copy", copy)]  # type: ignore[attr-defined]
    assert not hub.downloads(MIB)
    os.unlink(copy)
    assert Path(report["reused"][0]["path"]).read_bytes() == WEIGHTS  # type: ignore[index]


def test_a_full_disk_is_refused_before_the_download(mounts: Mounts, hub: LoopbackHub) -> None:
    place = mounts.tmpfs("16m").path
    hub.add("org/one", {"model.safetensors": tree.model("large", 20 * MIB)})
    error = download(place, hub, good=(1,))["error"]
    assert "free, and this takes 21.0M (21.0M to download" in str(error)
    assert not hub.downloads(MIB)
    assert not os.path.exists(os.path.join(place, "hf"))


@pytest.mark.parametrize("inodes", [5, 7, 9, 11, 13])
def test_a_disk_that_is_full_in_mid_restore_loses_nothing_and_the_next_one_goes_on(
    mounts: Mounts, inodes: int
) -> None:
    place = mounts.image("ext4").path
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"a.bin": WEIGHTS, "b.bin": tree.model("other", 4 * MIB)})
    enrol(place, hub)
    saved = os.path.join(place, "saved")
    must(place, "backup", saved)
    os.mkdir(os.path.join(place, "small"))
    small = mounts.tmpfs("10m", inodes=inodes, at=os.path.join(place, "small")).path
    repo = os.path.join(small, "hub/models--org--one")
    ran = must(place, "restore", saved, "--into", os.path.join(small, "hub"), "-y", good=(1, 3))
    assert "no space" in ran.stderr.lower()
    snapshot = os.path.join(repo, "snapshots", "a" * 40)
    assert not os.path.exists(snapshot) or sorted(os.listdir(snapshot)) == ["a.bin", "b.bin"]
    assert not os.path.exists(os.path.join(repo, "refs/main"))
    assert not os.path.isdir(repo) or not [name for name in os.listdir(repo) if name.startswith(".")]
    run("mount", "-o", "remount,nr_inodes=1000", small)
    must(place, "restore", saved, "--into", os.path.join(small, "hub"), "-y")
    assert Path(snapshot, "a.bin").read_bytes() == WEIGHTS
    assert Path(repo, "refs/main").read_text() == "a" * 40


def test_rm_of_what_is_somebody_elses_removes_nothing_of_it(mounts: Mounts) -> None:
    import subprocess
    import sys

    place = mounts.image("ext4").path
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": WEIGHTS})
    before = tree.census(place)
    os.mkdir(place + ".nobody", 0o777)
    os.chmod(place + ".nobody", 0o777)
    env = {
        **os.environ,
        "HUBFOLD_HOME": place + ".nobody/state",
        "HOME": place + ".nobody",
        "HF_HUB_CACHE": hub,
    }
    argv = as_nobody([sys.executable, "-m", "hubfold", "rm", "org/one", "-y"])
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr or "Permission denied: '/" in done.stderr:
        pytest.skip("this Python cannot be run by nobody")
    assert done.returncode in (1, 3), done.stderr
    assert tree.losses(before, place) == []
    assert os.path.exists(os.path.join(hub, "models--org--one/refs/main"))
