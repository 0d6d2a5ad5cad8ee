"""Locks that hold between hosts: one holder at a time, and a stale one broken by the rule alone."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import SHARED_VARIABLE
from hubfold.disk.hosts import lock
from hubfold.disk.locks import take_own_lock
from hubfold.errors import HeldElsewhere, LeftAlone
from tests.building import lock_takers
from tests.building.host_locks import another
from tests.building.host_locks import token_that_is_gone as gone
from tests.building.tiers import tries
from tests.building.waiting import until


def test_one_holds_it_and_is_told(tmp_path: Path) -> None:
    held = lock.take(str(tmp_path / "x"), "consolidate")
    with pytest.raises(HeldElsewhere, match=rf"consolidate, process {os.getpid()} on .*, since 2"):
        lock.take(str(tmp_path / "x"))
    found = lock.holder_of(str(tmp_path / "x"))
    assert found is not None
    assert (found.pid, found.command) == (os.getpid(), "consolidate")
    held.release()
    assert not list(tmp_path.iterdir()), "a lock leaves nothing"
    assert lock.holder_of(str(tmp_path / "x")) is None


def test_where_a_process_of_this_boot_is_gone_the_next_takes_it(tmp_path: Path) -> None:
    another(tmp_path / "x", token := gone())
    held = lock.take(str(tmp_path / "x"))
    assert held.instead_of is not None
    assert held.instead_of.token == token
    held.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other", [{"_0": "ab" * 16}, {"_0": "0" * 32}, {"_1": 1}, {"_2": os.getppid()}], ids=str
)
def test_what_is_not_known_to_be_gone_is_nobodys_to_take(tmp_path: Path, other: dict[str, object]) -> None:
    """Another boot, none that is told, another container; and a process that is there."""
    if other == {"_2": os.getppid()}:
        other |= {"_3": Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[19]}
    file = another(tmp_path / "x", gone(**other))
    with pytest.raises(HeldElsewhere, match="node7"):
        lock.take(str(tmp_path / "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.host"]
    assert file.exists()


def test_a_process_number_that_was_given_again_is_not_the_holder(tmp_path: Path) -> None:
    another(tmp_path / "x", gone(_2=os.getpid(), _3=1))
    lock.take(str(tmp_path / "x")).release()


def test_a_holder_whose_text_says_nothing_holds_it_too(tmp_path: Path) -> None:
    another(tmp_path / "x", text=b"[1")
    with pytest.raises(HeldElsewhere, match="process 4711 on another host"):
        lock.take(str(tmp_path / "x"))


def test_a_holder_that_lets_go_later_takes_nothing_from_the_next(tmp_path: Path) -> None:
    first = lock.take(str(tmp_path / "x"))
    assert lock.break_lock(str(tmp_path / "x"), next((tmp_path / "x.host").iterdir()).name)
    second = lock.take(str(tmp_path / "x"))
    first.release()
    with pytest.raises(HeldElsewhere):
        lock.take(str(tmp_path / "x"))
    second.release()


def test_a_holder_that_was_broken_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    held = lock.take(str(tmp_path / "x"))
    assert not held.lost
    lock.break_lock(str(tmp_path / "x"), next((tmp_path / "x.host").iterdir()).name)
    until(lambda: held.lost, "it never noticed")


def test_a_heart_that_beats_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is that the time of the file stays the same while we watch, not what it is."""
    monkeypatch.setattr(lock, "STILL", 0.03)
    file = another(tmp_path / "x")
    os.utime(file, (0, 0))
    path = str(tmp_path / "x")
    beat = lock.beat_of(path)
    assert beat is not None
    assert lock.silent({path: beat}, time.sleep) == [path]
    times = iter(range(1, 10**6))
    assert lock.silent({path: beat}, lambda _: os.utime(file, (0, next(times)))) == []


def test_breaking_hits_the_one_holder_that_was_named(tmp_path: Path) -> None:
    held = lock.take(str(tmp_path / "x"))
    assert not lock.break_lock(str(tmp_path / "x"), gone())
    with pytest.raises(HeldElsewhere):
        lock.take(str(tmp_path / "x"))
    held.release()
    assert not lock.break_lock(str(tmp_path / "x"), gone())


def test_only_the_lock_of_a_process_that_is_gone_is_cleared_away(tmp_path: Path) -> None:
    of = tmp_path / "x"
    lock.clear_ended(str(of))
    file = another(of)
    lock.clear_ended(str(of))
    assert file.exists()
    file.rename(file.with_name(gone()))
    lock.clear_ended(str(of))
    assert not list(tmp_path.iterdir())


def test_what_a_process_left_that_was_killed_while_it_took_the_lock_goes(tmp_path: Path) -> None:
    empty, whole, alive = (tmp_path / f"x.host.{token}" for token in (gone(), gone(), gone(_0="ab" * 16)))
    for path in (empty, whole, alive):
        path.mkdir()
    (whole / whole.name.removeprefix("x.host.")).touch()
    lock.take(str(tmp_path / "x")).release()
    assert list(tmp_path.iterdir()) == [alive]


def test_a_lock_follows_no_symlink(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / gone()).touch()
    (tmp_path / "x.host").symlink_to(elsewhere)
    with pytest.raises((OSError, LeftAlone)):
        lock.take(str(tmp_path / "x"))
    assert len(list(elsewhere.iterdir())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "x.host"]


def test_a_server_that_replaces_no_empty_folder_is_served_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.host").mkdir()
    rename = os.replace

    def refusing(old: str, new: str, **options: int) -> None:
        if os.path.isdir(tmp_path / new):
            raise FileExistsError(17, "File exists")
        rename(old, new, **options)

    monkeypatch.setattr(os, "replace", refusing)
    lock.take(str(tmp_path / "x")).release()


@pytest.mark.parametrize("call", ["names", "open_file", "unlink", "rename"])
def test_what_goes_on_nfs_while_it_is_looked_at_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Seen on two mounts of one export: a folder that was opened, and removed by the other host, is stale."""
    another(tmp_path / "x", gone())
    real = getattr(Directory, call)
    stale = [True, False]

    def once(self: Directory, *args: str) -> object:
        if self.path.endswith("x.host" if call != "rename" else tmp_path.name) and stale.pop(0):
            raise OSError(errno.ESTALE, "Stale file handle")
        stale.append(False)
        return real(self, *args)

    monkeypatch.setattr(Directory, call, once)
    lock.take(str(tmp_path / "x")).release()
    assert not list(tmp_path.iterdir())


def test_the_locks_of_hubfold_hold_between_hosts_where_they_have_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_own_lock(str(tmp_path / "x")).release()
    assert [path.name for path in tmp_path.iterdir()] == ["x"], "a disk of this host has flock"
    monkeypatch.setenv(SHARED_VARIABLE, "1")
    held = take_own_lock(str(tmp_path / "x"))
    assert (tmp_path / "x.host").is_dir()
    held.release()
    another(tmp_path / "x")
    with pytest.raises(HeldElsewhere):
        take_own_lock(str(tmp_path / "x"))
    (next((tmp_path / "x.host").iterdir())).unlink()
    take_own_lock(str(tmp_path / "x")).release()


def held_by(share: Path) -> str:
    try:
        return os.readlink(share / "inside")
    except FileNotFoundError:
        return ""


@pytest.mark.slow
def test_with_a_flock_that_lies_no_two_processes_hold_it_at_once_and_who_is_killed_stands_in_no_way(
    tmp_path: Path,
) -> None:
    """Eight processes; 10,000 acquisitions with HUBFOLD_TEST_LOCKS=10000."""
    library = lock_takers.lying_flock(tmp_path)
    if library is None:
        pytest.skip("there is no cc")
    share = tmp_path / "share"
    share.mkdir()
    each = int(os.environ.get("HUBFOLD_TEST_LOCKS", tries(80, 320))) // 8
    takers = [lock_takers.start(share, library, each) for _ in range(8)]
    killed = 0
    while any(taker.poll() is None for taker in takers):
        time.sleep(0.02)
        holder = next((one for one in takers if str(one.pid) == held_by(share)), None)
        if holder is not None and killed < tries(4, 8):
            holder.send_signal(signal.SIGKILL)
            holder.communicate()
            takers[takers.index(holder)] = lock_takers.start(share, library, each)
            killed += 1
    met = [int(taker.communicate()[0]) for taker in takers]
    assert met == [0] * 8
    assert len((share / "taken").read_text().split()) >= 8 * each
    assert killed
    assert not (share / "x.host").exists()
    print(f"{len((share / 'taken').read_text().split())} acquisitions, {killed} holders killed")
