"""Places on file systems of their own: filled to the limit, full, taken away, an empty mount point left, another drive
in their place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine
from hubfold.content import Role
from hubfold.disk import drives
from hubfold.disk.drives import Drive
from hubfold.errors import NoSpace
from hubfold.places.places import PlaceAway
from hubfold.places.space import OverLimit
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import safetensors

from .filesystems import MIB, Mounted, Mounts, unmount

pytestmark = pytest.mark.slow


class Drives:
    """A home, and the places `fast` and `slow`, each on an ext4 of its own, which is the whole of it."""

    def __init__(self, mounts: Mounts, folder: Path, hub: LoopbackHub) -> None:
        self.mounts, self.folder, self.hub = mounts, folder, hub
        self.fast = mounts.image("ext4", 48 * MIB)
        self.slow = mounts.image("ext4", 96 * MIB)
        for name in ("a", "b", "c"):
            hub.add(f"org/{name}", {"config.json": b"{}", "model.safetensors": safetensors(name, 8 * MIB)})
        with self.engine() as engine:
            engine.add_root(self.fast.path, role=Role.PRIMARY, name="fast", limit=20 * MIB)
            engine.add_root(self.slow.path, name="slow")
            engine.register("big", "org/c", at="slow")

    def engine(self) -> Engine:
        environ = {
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.hub.endpoint,
            "HOME": str(self.folder),
        }
        return Engine(self.folder / "state", environ=environ)

    def download(self, *models: str) -> dict[str, str]:
        """The cache that each went to."""
        with self.engine() as engine:
            report = engine.download(engine.plan_download(models))
        return {model.name: one.cache for one in report.each for model in one.models}


@pytest.fixture
def there(
    mounts: Mounts, tmp_path: Path, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> Drives:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return Drives(mounts, tmp_path, loopback_hub)


def du(path: str) -> int:
    said = subprocess.run(["du", "-sx", "--block-size=1", path], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[0])


def test_a_place_is_filled_to_its_limit_and_no_further(there: Drives) -> None:
    went = there.download("org/a", "org/b", "org/c")
    assert went == {"org/a": there.fast.path, "org/b": there.fast.path, "org/c": there.slow.path}
    assert du(there.fast.path) <= 20 * MIB
    there.hub.add("org/d", {"model.safetensors": safetensors("d", 8 * MIB), "config.json": b"{}"})
    assert there.download("org/d") == {"org/d": there.slow.path}
    with there.engine() as engine:
        place = engine.place_of("fast")
        assert engine.room_left(place) == 20 * MIB - du(there.fast.path)


def test_a_drive_that_is_full_is_passed_over_as_a_limit_is(there: Drives) -> None:
    with there.engine() as engine:
        engine.add_root(there.fast.path, role=Role.PRIMARY, name="fast")
    with open(f"{there.fast.path}/ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(there.fast.path).free - 8 * MIB)
    assert there.download("org/a") == {"org/a": there.slow.path}
    with there.engine() as engine, pytest.raises((NoSpace, OverLimit)):
        engine.download(engine.plan_download(["org/b"], into="fast"))


def photograph(folder: str) -> list[str]:
    return sorted(os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)


def test_a_drive_that_is_taken_away_leaves_a_place_that_is_away_and_not_empty(there: Drives) -> None:
    there.download("org/a", "big")
    with there.engine() as engine:
        engine.scan()
    before = photograph(there.slow.path)
    unmount(there.slow.path)
    assert os.listdir(there.slow.path) == [], "the mount point is left"
    with there.engine() as engine:
        assert [place.name for place in engine.places() if place.away] == ["slow"]
        report = engine.scan()
        [root] = [one for one in report.roots if one.path == there.slow.path]
        assert root.error and "is away" in root.error and root.files >= 1
        checked = engine.check(["big", "org/a"], anywhere=False)
        assert [one.status for one in checked.models] == ["missing", "cached"]
        assert [one.message for one in checked.recommendations if one.kind == "connect"] == [
            "org/c is on `slow`, which is away"
        ]
        for command in (
            lambda: engine.download(engine.plan_download(["big"])),
            lambda: engine.plan_download(["org/b"], into="slow"),
        ):
            with pytest.raises(PlaceAway):
                command()
        engine.apply_removal(engine.plan_clean(older_than=0))
        engine.gc()
        engine.doctor(fix=True)
        engine.scan()
    assert os.listdir(there.slow.path) == [], "and nothing was put there"
    there.mounts.mount(there.slow)
    with there.engine() as engine:
        assert not engine.scan().failed
        assert engine.check(anywhere=False).whole
        assert engine.model_path("big").startswith(there.slow.path)
    assert photograph(there.slow.path) == before


@pytest.mark.parametrize("when", ["before it is planned", "after it is planned"])
@pytest.mark.parametrize("what", ["adopt", "migrate", "move"])
def test_no_model_is_put_into_the_mount_point_that_a_drive_has_left(
    there: Drives, what: str, when: str
) -> None:
    there.download("org/a")
    folder = there.folder / "copy"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors("z", 4 * MIB))
    with there.engine() as engine:
        engine.scan()

        def planned() -> Callable[[], object]:
            if what == "adopt":
                adoption = engine.plan_adopt(folder, "org/z", "a" * 40, into=there.slow.path)
                return lambda: engine.adopt(adoption)
            if what == "migrate":
                migration = engine.plan_migrate(there.fast.path, there.slow.path)
                return lambda: engine.migrate(migration)
            move = engine.plan_move(["org/a"], there.slow.path)
            return lambda: engine.apply_move(move)

        run = planned() if when.startswith("after") else None
        unmount(there.slow.path)
        with pytest.raises(PlaceAway):
            (run or planned())()
    assert os.listdir(there.slow.path) == []
    assert (folder / "model.safetensors").read_bytes() == safetensors("z", 4 * MIB)


def test_another_drive_in_its_place_is_not_taken_for_it(there: Drives) -> None:
    there.download("big")
    unmount(there.slow.path)
    other = there.mounts.image("ext4", at=there.slow.path)
    with there.engine() as engine:
        assert engine.place_of("slow").away
        with pytest.raises(PlaceAway):
            engine.plan_download(["org/a"], into="slow")
        engine.add_root(there.slow.path, name="slow")
        assert not engine.place_of("slow").away, "who adds it again means this one"
    there.mounts.detach(other)


def test_a_place_below_a_mount_point_is_not_made_on_the_disk_around_it(there: Drives) -> None:
    """``/mnt/usb/hub`` where nothing is mounted at ``/mnt/usb``."""
    third = there.mounts.image("ext4")
    cache = f"{third.path}/hub"
    os.mkdir(cache)
    with there.engine() as engine:
        engine.add_root(cache, name="usb")
    unmount(third.path)
    with there.engine() as engine:
        assert engine.place_of("usb").away
        with pytest.raises(PlaceAway):
            engine.download(engine.plan_download(["org/a"], into="usb"))
    assert not os.path.exists(cache)


def test_a_copy_inside_never_becomes_a_link_to_a_drive_that_is_removable(
    there: Drives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By names the drive would come first: ``a`` before ``z``."""
    inside = there.folder / "z"
    usb = there.mounts.place("a")
    mounted: Mounted = there.mounts.image("ext4", 48 * MIB, at=usb)
    inside.mkdir()
    for folder in (str(inside), usb):
        Path(folder, "model.safetensors").write_bytes(safetensors("copy", 4 * MIB))
    number = os.stat(usb).st_dev
    really: Any = drives.drive_of

    def as_usb(device: int, source: str = "") -> Drive:
        return Drive(removable=True) if device == number else really(device, source)

    monkeypatch.setattr("hubfold.disk.filesystem.drive_of", as_usb)
    with there.engine() as engine:
        for folder in (str(inside), usb):
            engine.add_root(folder)
        engine.scan()
        plan = engine.plan()
        assert [action.path for action in plan.actions] == [f"{usb}/model.safetensors"]
        assert plan.actions[0].reason.endswith("(yours is on a removable drive)")
        engine.apply(plan)
    there.mounts.detach(mounted)
    assert (inside / "model.safetensors").read_bytes() == safetensors("copy", 4 * MIB)
