"""Locks of the layouts' own programs: held without a trace, and never for longer than needed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import filelock
import pytest

from hubfold.disk.locks import passing_lock, take_lock
from hubfold.errors import Busy, LeftAlone

OLD = 1_600_000_000_000_000_000


def is_free(path: Path) -> bool:
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    lock.release()
    return True


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "below/folders/x.lock"
    held = take_lock(str(path))
    assert not is_free(path)
    held.release()
    assert is_free(path)


def test_a_lock_that_somebody_holds_is_told_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with filelock.FileLock(path), pytest.raises(Busy, match=str(path)):
        take_lock(str(path))
    take_lock(str(path)).release()


def test_a_lock_file_keeps_the_time_at_which_its_program_last_used_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_bytes(b"")
    os.utime(path, ns=(OLD, OLD))
    take_lock(str(path)).release()
    assert path.stat().st_mtime_ns == OLD


def test_a_lock_file_that_a_client_truncates_keeps_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until 4.2, filelock truncated what it locked."""
    path = tmp_path / "x.lock"
    path.write_bytes(b"")
    os.utime(path, ns=(OLD, OLD))
    acquire = filelock.FileLock.acquire

    def truncating(self: filelock.FileLock, *args: object, **options: object) -> object:
        os.utime(path)
        return acquire(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(filelock.FileLock, "acquire", truncating)
    take_lock(str(path)).release()
    assert path.stat().st_mtime_ns == OLD


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: filelock.FileLock, *_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(OSError) as caught:
        take_lock(str(tmp_path / "x.lock"))
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_lock_file_that_root_makes_can_be_taken_by_the_user_whose_folder_it_is(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    take_lock(str(tmp_path / "new.lock")).release()
    assert ((tmp_path / "new.lock").stat().st_uid, (tmp_path / "new.lock").stat().st_gid) == (65534, 65534)
    (tmp_path / "old.lock").write_bytes(b"")
    take_lock(str(tmp_path / "old.lock")).release()
    assert (tmp_path / "old.lock").stat().st_uid == 0, "what was there stays whose it is"


@pytest.mark.parametrize("folder", [True, False])
def test_a_lock_held_for_a_moment_leaves_nothing_that_was_not_there(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "locks/x.lock"
    if folder:
        path.parent.mkdir()
    with passing_lock(str(path)):
        assert not is_free(path)
    assert sorted(tmp_path.rglob("*")) == ([path.parent] if folder else [])


def test_a_lock_held_for_a_moment_leaves_a_lock_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "locks/x.lock"
    path.parent.mkdir()
    path.write_bytes(b"")
    with passing_lock(str(path)):
        pass
    assert path.exists()
    assert is_free(path)


def test_what_somebody_else_puts_beside_a_passing_lock_stays(tmp_path: Path) -> None:
    path = tmp_path / "locks/x.lock"
    with passing_lock(str(path)):
        (path.parent / "y.lock").write_bytes(b"")
    assert [one.name for one in path.parent.iterdir()] == ["y.lock"]


def test_an_error_under_a_passing_lock_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with pytest.raises(KeyError), passing_lock(str(path)):
        raise KeyError
    assert not path.exists()
    take_lock(str(path)).release()


# of a layout


def test_the_lock_of_a_layout_is_made_where_its_root_is(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with passing_lock(str(tmp_path / "root/.locks/model/x.lock"), str(tmp_path / "root")):
        assert (tmp_path / "root/.locks/model/x.lock").exists()


def test_where_its_root_is_gone_no_folder_grows_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    with (
        pytest.raises(LeftAlone, match="is not there"),
        passing_lock(str(tmp_path / "media/usb/hub/.locks/x.lock"), str(tmp_path / "media/usb/hub")),
    ):
        pass
    assert not list((tmp_path / "media").iterdir())


@pytest.mark.parametrize("place", [".locks/x.lock", ".locks/model/x.lock", "link.lock"])
def test_the_lock_of_a_layout_follows_no_symlink(tmp_path: Path, place: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.lock").write_bytes(b"of somebody")
    root = tmp_path / "root"
    root.mkdir()
    (root / ".locks").symlink_to(tmp_path / "outside")
    (root / "link.lock").symlink_to(tmp_path / "outside/x.lock")
    with pytest.raises(LeftAlone):
        take_lock(str(root / place), str(root))
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["x.lock"]
    assert (tmp_path / "outside/x.lock").read_bytes() == b"of somebody"
