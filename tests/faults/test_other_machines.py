"""Links of another machine, and of drives that are away or mounted elsewhere: what one machine cannot see stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tests.building import tree

from .filesystems import Mounts, need, need_root, unmount
from .striking import hubfold

pytestmark = pytest.mark.slow

#: In its own mounts and with its own name: machine id and boot id of another machine, nothing at home.
_ELSEWHERE = """
echo machine-b >/proc/sys/kernel/hostname; mount -t tmpfs none "$HOME"; mkdir "$HOME/models"
echo "$1" >"$HOME/id"; shift
for file in /etc/machine-id /proc/sys/kernel/random/boot_id; do mount --bind "$HOME/id" "$file"; done
exec "$@"
"""


class Shared:
    """A cache on a share, a copy at home that was folded into it; then the cache lost the model."""

    def __init__(self, base: Path, share: str, home: Path) -> None:
        need_root()
        need("unshare")
        self.base, self.share, self.home = base, share, home
        self.env = tree.environment(str(base / "a")) | {"HF_HOME": share, "HOME": str(home)}
        data = tree.model("weights")
        self.copy = tree.write(str(home / "models/m.safetensors"), data)
        self.data = data
        blobs = tree.cache(os.path.join(share, "hub"), "org/one", {"model.safetensors": data})
        self.run("consolidate", os.path.join(share, "hub"), str(home / "models"), "--link", "symlink", "-y")
        assert os.path.islink(self.copy)
        shutil.rmtree(os.path.dirname(os.path.dirname(next(iter(blobs.values())))))

    def run(self, *argv: str, good: tuple[int, ...] = (0,)) -> str:
        ran = hubfold(self.env, *argv).ran
        assert ran.returncode in good, (ran.stdout, ran.stderr)
        return ran.stdout

    def gc(self) -> list[str]:
        return [one["path"] for one in json.loads(self.run("gc", "-y", "--json"))["removed"]]

    def on_another_machine(self, *argv: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | self.env | {"HUBFOLD_HOME": str(self.base / "b-state")}
        command = [
            "unshare",
            "-mu",
            "bash",
            "-c",
            _ELSEWHERE,
            "b",
            uuid.uuid4().hex,
            sys.executable,
            "-m",
            "hubfold",
            *argv,
        ]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def reads(self) -> bool:
        return Path(self.copy).read_bytes() == self.data


def test_gc_on_a_machine_that_does_not_see_the_link(mounts: Mounts, tmp_path: Path) -> None:
    shared = Shared(tmp_path, mounts.tmpfs("64m").path, tmp_path / "home")
    ran = shared.on_another_machine("scan")
    assert ran.returncode == 0, ran.stderr
    ran = shared.on_another_machine("gc", "-y", "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["removed"] == [] and "was made by" in told["kept"][0]["reason"]
    assert shared.reads()
    # The machine that made it sees it go.
    os.unlink(shared.copy)
    assert len(shared.gc()) == 1


def test_a_machine_that_is_given_up_on_another_one(mounts: Mounts, tmp_path: Path) -> None:
    shared = Shared(tmp_path, mounts.tmpfs("64m").path, tmp_path / "home")
    assert shared.on_another_machine("scan").returncode == 0
    name = os.uname().nodename
    ran = shared.on_another_machine("gc", "--forget-machine", name, "-y", "--json")
    assert len(json.loads(ran.stdout)["last_copies"]) == 1, ran.stderr
    assert not os.path.exists(shared.copy), "a person said so"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_link_on_a_drive_that_comes_and_goes(mounts: Mounts, tmp_path: Path, kind: str) -> None:
    """Away, mounted elsewhere, another drive in its place, back again: only then can the link be seen to be gone."""
    drive, other = mounts.image(kind), mounts.image("ext4")
    shared = Shared(tmp_path, str(tmp_path / "share"), Path(drive.path) / "home")
    unmount(drive.path)
    assert shared.gc() == []
    unmount(other.path)
    mounts.mount(replace(other, path=drive.path))
    os.makedirs(os.path.dirname(shared.copy))
    assert shared.gc() == [], "another drive lies there"
    unmount(drive.path)
    mounts.mount(replace(drive, path=other.path))
    assert shared.gc() == [], "it dangles where it is mounted now, and needs its object"
    os.unlink(shared.copy.replace(drive.path, other.path))
    unmount(other.path)
    assert shared.gc() == []
    mounts.mount(drive)
    assert len(shared.gc()) == 1


def test_a_link_that_is_seen_by_a_bind_mount_only(mounts: Mounts, tmp_path: Path) -> None:
    drive = mounts.image("ext4")
    shared = Shared(tmp_path, str(tmp_path / "share"), Path(drive.path) / "home")
    seen = mounts.bind(os.path.dirname(shared.copy))
    unmount(drive.path)
    assert shared.gc() == []
    os.unlink(os.path.join(seen.path, os.path.basename(shared.copy)))
    assert len(shared.gc()) == 1, "its folder was read there"
