"""Real file systems: what each allows is used, what it does not is left alone and said, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building import tree

from .commands import Ran, enrol, from_nothing, must
from .filesystems import Mounts, flip_byte, free_bytes, physical, run, unmount
from .power_cut import DiskStage
from .strace_sweep import Window

pytestmark = pytest.mark.slow


def consolidate(place: str, *argv: str, good: tuple[int, ...] = (0,), state: str | None = None) -> Ran:
    env = {"HUBFOLD_HOME": state} if state is not None else None
    return must(place, "consolidate", *argv, "-y", "--json", good=good, env=env)


def links(ran: Ran) -> dict[str, str]:
    """The link kind by path of what a run did."""
    return {action["path"]: action["link"] for action in ran.json["actions"]}


def reasons(ran: Ran) -> dict[str, str]:
    """Why each path was left alone, on purpose or because of an error."""
    left = {entry["path"]: entry["reason"] for entry in ran.json["skipped"]}
    return left | {entry["path"]: entry["error"] for entry in ran.json["failed"]}


def taken_back(place: str, before: dict[str, tree.Seen], state: str | None = None) -> None:
    env = {"HUBFOLD_HOME": state} if state is not None else None
    must(place, "undo", "-y", env=env)
    must(place, "gc", "-y", env=env)
    assert tree.differences(before, place) == []
    assert tree.leftovers(before, place, vaults=False) == []


# -- shared extents --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_with_reflinks_nothing_but_extents_changes(mounts: Mounts, tmp_path: Path, kind: str) -> None:
    place, state = mounts.image(kind).path, str(tmp_path / "state")
    built = tree.one_cache(place)
    before = tree.census(place)
    stats = {path: os.lstat(path) for path in before}
    free = free_bytes(place)
    ran = consolidate(place, *built.roots, state=state)
    assert set(links(ran).values()) == {"reflink"}
    assert len(links(ran)) == 3
    assert tree.differences(before, place) == []
    assert tree.leftovers(before, place, vaults=False) == []
    for path, st in stats.items():
        now = os.lstat(path)
        assert (now.st_ino, now.st_nlink, now.st_mtime_ns) == (st.st_ino, st.st_nlink, st.st_mtime_ns), path
    for action in ran.json["actions"]:
        assert physical(action["path"]) == physical(action["keeper"]) is not None
    gained = free_bytes(place) - free
    assert abs(gained - ran.json["reclaimed_bytes"]) <= 256 << 10, (gained, ran.json["reclaimed_bytes"])
    assert links(consolidate(place, *built.roots, state=state)) == {}
    assert must(place, "dupes", "--json", env={"HUBFOLD_HOME": state}).json["reclaimable_bytes"] == 0
    taken_back(place, before, state)


def test_btrfs_subvolumes_share_extents(mounts: Mounts) -> None:
    place = mounts.image("btrfs").path
    for name in ("one", "two"):
        run("btrfs", "subvolume", "create", os.path.join(place, name))
    cache, copies = os.path.join(place, "one"), os.path.join(place, "two")
    assert os.stat(cache).st_dev != os.stat(copies).st_dev
    built = tree.one_cache(cache, copies)
    before = tree.census(place)
    assert set(links(consolidate(place, *built.roots)).values()) == {"reflink"}
    assert tree.differences(before, place) == []
    assert links(consolidate(place, *built.roots)) == {}


def test_xfs_without_reflinks_gets_links(mounts: Mounts) -> None:
    place = mounts.image("xfs-noreflink").path
    built = tree.one_cache(place)
    before = tree.census(place)
    assert set(links(consolidate(place, *built.roots)).values()) == {"symlink"}
    assert tree.losses(before, place) == []
    taken_back(place, before)


# -- one file system seen twice, layers ------------------------------------------------------------------------------


def test_a_tree_seen_through_a_bind_mount_is_no_duplicate(mounts: Mounts) -> None:
    place = mounts.image("ext4").path
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.safetensors": tree.model("weights")})
    before = tree.census(place)
    again = mounts.bind(hub).path
    assert must(place, "scan", hub, again, "--json").json["reclaimable_bytes"] == 0
    assert links(consolidate(place, hub, again)) == {}
    assert tree.differences(before, place) == []


def test_hard_links_do_not_cross_a_bind_mount(mounts: Mounts) -> None:
    place = mounts.image("ext4").path
    built = tree.one_cache(place)
    other = mounts.bind(os.path.join(place, "models")).path
    before = tree.census(place)
    assert os.stat(other).st_dev == os.stat(place).st_dev
    copy = os.path.join(other, "one/model.safetensors")
    refused = consolidate(place, built.roots[0], other, "--link", "hardlink")
    assert links(refused) == {} and "another file system" in reasons(refused)[copy]
    assert tree.differences(before, place) == []
    done = consolidate(place, built.roots[0], other)
    assert links(done)[copy] == "symlink" and os.readlink(copy).startswith("/")
    assert tree.losses(before, place) == []
    taken_back(place, before)


def test_an_overlay_loses_nothing(mounts: Mounts) -> None:
    """A file of the lower layer gets another inode when it is linked or changed."""
    disk = mounts.image("ext4")
    tree.one_cache(disk.path)
    place = mounts.overlay(disk.path).path
    roots = [os.path.join(place, name) for name in ("hf/hub", "models", "plain")]
    before = tree.census(place)
    below = tree.census(disk.path)
    for _ in range(2):
        consolidate(place, *roots, good=(0, 3))
        assert tree.losses(before, place) == []
    assert links(consolidate(place, *roots)) == {}
    assert os.path.islink(os.path.join(place, "plain/downloaded.safetensors"))
    while "undo" and must(place, "undo", "-y", good=(0, 1)).returncode == 0:
        assert tree.losses(before, place) == []
    must(place, "gc", "-y")
    assert [
        text for text in tree.differences(before, place) if ": mtime_ns " not in text or "hub" not in text
    ] == []
    assert tree.leftovers(before, place, vaults=False) == []
    assert tree.differences(below, disk.path) == []


# -- full, read-only, without links ----------------------------------------------------------------------------------


@pytest.mark.parametrize("full_of", ["bytes", "inodes"])
def test_a_full_state_directory(mounts: Mounts, tmp_path: Path, full_of: str) -> None:
    place = str(tmp_path / "tree")
    built = tree.one_cache(place)
    before = tree.census(place)
    state = mounts.tmpfs("512k", inodes=24).path
    for name in ("scan", "consolidate"):  # with nothing there yet, and with an index
        fill(state, full_of)
        argv = [name, *built.roots] + (["-y"] if name == "consolidate" else [])
        ran = must(place, *argv, good=(1,), env={"HUBFOLD_HOME": state})
        assert "no space" in ran.stderr.lower() or "full" in ran.stderr.lower(), ran.stderr
        assert tree.differences(before, place) == []
        assert tree.leftovers(before, place, vaults=False) == []
        empty(state)
        must(place, "scan", *built.roots, env={"HUBFOLD_HOME": state})
    consolidate(place, *built.roots, state=state)
    assert tree.losses(before, place) == []
    taken_back(place, before, state)


def fill(folder: str, what: str) -> None:
    with pytest.raises(OSError, match="No space"):
        for i in range(10_000):
            if what == "inodes":
                Path(folder, f"fill{i}").touch()
            else:
                with open(os.path.join(folder, "fill"), "ab", buffering=0) as file:
                    file.write(bytes(4096))


def empty(folder: str) -> None:
    for name in os.listdir(folder):
        if name.startswith("fill"):
            os.unlink(os.path.join(folder, name))


def test_undo_asks_for_room_first(mounts: Mounts, tmp_path: Path) -> None:
    place, state = mounts.tmpfs("16m").path, str(tmp_path / "state")
    built = tree.one_cache(place)
    before = tree.census(place)
    consolidate(place, *built.roots, "--link", "symlink", state=state)
    fill(place, "bytes")
    folded = tree.shape(place)
    ran = must(place, "undo", "-y", good=(1,), env={"HUBFOLD_HOME": state})
    assert "free" in ran.stderr and "nothing was changed" in ran.stderr
    assert tree.shape(place) == folded
    assert tree.losses(before, place) == []
    empty(place)
    taken_back(place, before, state)


def test_a_disk_without_an_inode_left(mounts: Mounts, tmp_path: Path) -> None:
    place, state = mounts.tmpfs("32m", inodes=64).path, str(tmp_path / "state")
    built = tree.one_cache(place)
    before = tree.census(place)
    must(place, "scan", *built.roots, env={"HUBFOLD_HOME": state})
    fill(place, "inodes")
    ran = consolidate(place, *built.roots, good=(3,), state=state)
    assert links(ran) == {} and {"no space left on the file system"} == {
        text.rpartition(": ")[2] for text in reasons(ran).values() if "space" in text
    }
    assert tree.differences(before, place) == []
    empty(place)
    assert len(links(consolidate(place, *built.roots, state=state))) == 4
    fill(place, "inodes")
    ran = must(place, "undo", "-y", "--json", good=(3,), env={"HUBFOLD_HOME": state})
    assert tree.losses(before, place) == []
    empty(place)
    taken_back(place, before, state)


def test_vfat_copies_are_left_alone_with_the_reason(mounts: Mounts, tmp_path: Path) -> None:
    place, drive = str(tmp_path / "tree"), mounts.vfat().path
    built = tree.one_cache(place)
    copy = tree.write(os.path.join(drive, "models/model.safetensors"), tree.model("weights"))
    before = tree.census(drive)
    ran = consolidate(place, built.roots[0], drive)
    assert "no links" in reasons(ran)[copy]
    assert links(ran) == {}
    assert tree.losses(before, drive) == []
    assert tree.leftovers(before, drive, vaults=False) == []


def test_exfat_copies_are_left_alone_with_the_reason(mounts: Mounts, tmp_path: Path) -> None:
    """The kernel says what it is; a driver in FUSE does not, but it refuses the link: then the file stays as it is."""
    place, drive = str(tmp_path / "tree"), mounts.exfat()
    built = tree.one_cache(place)
    copy = tree.write(os.path.join(drive.path, "models/model.safetensors"), tree.model("weights"))
    before = tree.census(drive.path)
    for _ in range(2):
        ran = consolidate(place, built.roots[0], drive.path, good=(0, 3))
        assert ("no links" if drive.kind == "exfat" else "does not support it") in reasons(ran)[copy]
        assert links(ran) == {}
        assert tree.differences(before, drive.path) == []
        assert tree.leftovers(before, drive.path, vaults=False) == []
    must(place, "recover")
    if drive.kind == "exfat":
        assert ran.returncode == 0


def test_a_drive_mounted_read_only(mounts: Mounts, tmp_path: Path) -> None:
    place, drive = str(tmp_path / "tree"), mounts.image("ext4")
    built = tree.one_cache(place, drive.path)
    before = {**tree.census(place), **tree.census(drive.path)}
    mounts.read_only(drive)
    promised = must(place, "scan", *built.roots, "--json").json["reclaimable_bytes"]
    ran = consolidate(place, *built.roots)
    assert links(ran) == {} and promised == 0
    assert all("read-only" in reason for reason in reasons(ran).values())
    mounts.read_only(drive, on=False)
    assert len(links(consolidate(place, *built.roots))) == 4
    mounts.read_only(drive)
    ran = must(place, "undo", "-y", good=(3,))
    assert "read-only" in ran.stderr
    assert tree.losses(before, place) == []
    mounts.read_only(drive, on=False)
    must(place, "undo", "-y")
    assert tree.differences(before, place) == []


def test_a_read_only_cache_gets_no_vault_and_loses_nothing(mounts: Mounts, tmp_path: Path) -> None:
    disk = mounts.image("ext4")
    built = tree.one_cache(disk.path, str(tmp_path / "copies"))
    before = {**tree.census(disk.path), **tree.census(str(tmp_path / "copies"))}
    mounts.read_only(disk)
    ran = consolidate(str(tmp_path), *built.roots, good=(0, 3))
    assert not any("/hub/" in path for path in links(ran))
    assert tree.losses(before, disk.path) == []
    assert [path for path in before if path.startswith(disk.path)] == tree.files(disk.path)


# -- drives that fail or go away -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("number", [1, 2])
def test_a_drive_that_answers_errors_in_mid_run(mounts: Mounts, tmp_path: Path, number: int) -> None:
    place, drive = str(tmp_path / "tree"), mounts.image("xfs")
    built = tree.one_cache(place, drive.path)
    before = {**tree.census(place), **tree.census(drive.path)}
    run("sync", "-f", drive.path)
    must(place, "scan", *built.roots)
    window = Window(
        from_nothing(place, "consolidate", *built.roots, "-y"), str(tmp_path / "log"), "renameat2", number
    )
    window.opened()
    mounts.shutdown(drive)
    outcome = window.ended()
    assert outcome.returncode == 3, outcome.stderr
    assert "the drive reported an error" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    unmount(drive.path)
    mounts.mount(drive)
    assert tree.losses(before, place) == []
    must(place, "recover")
    assert tree.losses(before, place) == []
    assert tree.leftovers(before, drive.path, vaults=False) == []
    consolidate(place, *built.roots)
    assert os.path.islink(os.path.join(drive.path, "plain/downloaded.safetensors"))
    assert tree.losses(before, place) == []
    while must(place, "undo", "-y", good=(0, 1)).returncode == 0:
        pass
    assert tree.differences(before, place) == []


def test_a_drive_that_is_away_is_not_gone(mounts: Mounts, tmp_path: Path) -> None:
    place, drive = str(tmp_path / "tree"), mounts.image("ext4")
    built = tree.one_cache(place, drive.path)
    before = {**tree.census(place), **tree.census(drive.path)}
    enrol(place, *built.roots)
    consolidate(place, *built.roots)
    known = must(place, "dupes", "--json").json
    unmount(drive.path)
    for argv in (["scan"], ["scan", *built.roots]):
        ran = must(place, *argv, good=(0, 1, 3))
        assert drive.path in ran.stderr, "it says what it could not look at"
    ran = must(place, "gc", "-y", "--json")
    assert ran.json["removed"] == []
    assert all("drive" in entry["reason"] for entry in ran.json["kept"])
    assert must(place, "undo", "-y", good=(3,)).stderr
    mounts.mount(drive)
    assert tree.losses(before, place) == []
    must(place, "scan", *built.roots)
    assert must(place, "dupes", "--json").json == known
    must(place, "undo", "-y")
    must(place, "gc", "-y")
    assert tree.differences(before, place) == []
    assert (
        tree.leftovers(
            {path: seen for path, seen in before.items() if path.startswith(place)}, place, vaults=False
        )
        == []
    )


@pytest.mark.parametrize("copy", [0, 1, 2, 3])
def test_a_file_that_cannot_be_read_is_equal_to_nothing(mounts: Mounts, copy: int) -> None:
    """One of three copies, or a file that differs in one byte, is damaged; the checksums of btrfs see that."""
    disk = mounts.image("btrfs")
    built = tree.one_cache(disk.path)
    before = tree.census(disk.path)
    stage = DiskStage(mounts, [disk])
    stage.save()
    assert disk.image is not None
    flip_byte(disk.image + ".saved", tree.model("weights")[8192:8224], copy)
    stage.fresh()
    shape = tree.shape(disk.path)
    (bad,) = [path for path in before if not os.path.islink(path) and not readable(path)]
    through = [path for path in before if os.path.realpath(path) == bad]
    if "/plain/" in bad:  # no claim tells its digest, so the scan is the first to read it
        ran = must(disk.path, "scan", *built.roots, good=(0, 3))
        assert bad in ran.stderr and "cannot be read" in ran.stderr
    relative = os.path.relpath(bad, disk.path)
    for _ in range(2):
        must(disk.path, "consolidate", *built.roots, "--link", "symlink", "-y", good=(0, 3))
        assert tree.losses(before, disk.path, through) == []
        assert tree.shape(disk.path)[relative] == shape[relative]
        assert [path for path in before if os.path.realpath(path) == bad] == through
        assert tree.leftovers(before, disk.path) == []


def readable(path: str) -> bool:
    try:
        return bool(tree.digest(path))
    except OSError:
        return False


def test_silent_rot_is_refused_by_the_compare(mounts: Mounts) -> None:
    """The same size and times, other bytes: the name of the blob still says what it was."""
    disk = mounts.image("ext4")
    data = tree.model("weights")
    tree.cache(os.path.join(disk.path, "hf/hub"), "org/one", {"model.safetensors": data})
    must(disk.path, "scan", os.path.join(disk.path, "hf/hub"))
    stage = DiskStage(mounts, [disk])
    stage.save()
    assert disk.image is not None
    flip_byte(disk.image + ".saved", data[8192:8224])
    stage.fresh()
    copies = tree.local_dir(os.path.join(disk.path, "models/one"), {"model.safetensors": data})
    before = tree.census(disk.path)
    ran = must(
        disk.path,
        "consolidate",
        os.path.join(disk.path, "hf/hub"),
        os.path.join(disk.path, "models"),
        "-y",
        good=(3,),
    )
    assert copies["model.safetensors"] in ran.stderr and "differ" in ran.stderr
    assert tree.differences(before, disk.path) == []
    assert tree.leftovers(before, disk.path, vaults=False) == []
