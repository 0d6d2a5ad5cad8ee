"""Attributes, leases, and files that are held: what they know, what they refuse, and what they leave open."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from hubfold.content import Signature
from hubfold.disk import directory as fsops
from hubfold.disk import held as disk_held
from hubfold.disk import open_flags
from hubfold.disk.held import Attributes, HeldFile, Lease
from hubfold.errors import LeftAlone
from tests.building.waiting import PATIENCE, until

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act for another user")
SOMEBODY = 12345


@pytest.fixture(params=["descriptors", "paths"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With directory descriptors, and as on a platform that has none."""
    if request.param == "paths":
        monkeypatch.setattr(fsops, "_HAS_DIR_FD", False)
    return str(request.param)


# -- attributes --------------------------------------------------------------------------------------------------------


def test_attributes_go_from_one_file_to_another(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    os.setxattr(one, "user.a", b"\x00value")
    os.setxattr(two, "user.other", b"stays")
    os.chmod(one, 0o4751)
    os.utime(one, ns=(1_500_000_000_000000001, 1_400_000_000_000000002))
    with open(one, "rb") as source, open(two, "rb") as target:
        given = Attributes.of(source.fileno())
        given.give_to(target.fileno())
    assert given.mode == 0o4751 and given.xattrs == {"user.a": b"\x00value"}
    st = os.stat(two)
    assert (stat.S_IMODE(st.st_mode), st.st_atime_ns, st.st_mtime_ns) == (
        0o4751,
        1_500_000_000_000000001,
        1_400_000_000_000000002,
    )
    assert os.getxattr(two, "user.a") == b"\x00value"


@ROOT
def test_the_owner_is_given_before_the_mode_which_it_would_cut(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with open(tmp_path / "f", "rb") as file:
        Attributes(0o6755, SOMEBODY, SOMEBODY + 1, 1, 2, {}).give_to(file.fileno())
    st = os.stat(tmp_path / "f")
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (SOMEBODY, SOMEBODY + 1, 0o6755)


def test_what_is_so_already_needs_no_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner, and a label that the file system gave the new file by itself, may not be ours to set."""
    (tmp_path / "f").write_bytes(b"")
    os.setxattr(tmp_path / "f", "user.label", b"same")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with open(tmp_path / "f", "rb") as file:
        attributes = Attributes.of(file.fileno())
        monkeypatch.setattr(os, "fchown", refuse)
        monkeypatch.setattr(os, "setxattr", refuse)
        attributes.give_to(file.fileno())
    for other in (
        Attributes(0o600, attributes.uid + 1, attributes.gid, 1, 2, {}),
        Attributes(0o600, attributes.uid, attributes.gid + 1, 1, 2, {}),
        Attributes(0o600, attributes.uid, attributes.gid, 1, 2, {"user.label": b"other"}),
        Attributes(0o600, attributes.uid, attributes.gid, 1, 2, {"user.new": b""}),
    ):
        with open(tmp_path / "f", "rb") as file, pytest.raises(PermissionError):
            other.give_to(file.fileno())


def test_where_no_mode_can_be_set_by_descriptor_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"")
    before = os.stat(tmp_path / "f").st_mode
    with open(tmp_path / "f", "rb") as file:
        with monkeypatch.context() as patch:
            patch.delattr(os, "fchmod")
            disk_held.set_mode(file.fileno(), 0o400)
        assert os.stat(tmp_path / "f").st_mode == before
        disk_held.set_mode(file.fileno(), 0o400)
    assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o400


@pytest.mark.parametrize(
    ("code", "known"),
    [(errno.EOPNOTSUPP, True), (errno.ENOSYS, True), (errno.EPERM, True), (errno.EIO, False)],
)
def test_no_extended_attributes_is_not_an_error_but_an_error_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, known: bool
) -> None:
    def refuse(fd: int) -> list[str]:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "listxattr", refuse)
    with open(__file__, "rb") as file:
        if known:
            assert disk_held.read_xattrs(file.fileno()) == {}
        else:
            with pytest.raises(OSError, match="Input/output"):
                disk_held.read_xattrs(file.fileno())


@pytest.mark.parametrize(
    ("name", "number", "goes_on"),
    [
        ("security.selinux", errno.EPERM, True),
        ("user.mine", errno.ENODATA, True),
        ("user.mine", errno.EPERM, False),
    ],
)
def test_a_label_that_every_file_has_may_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, goes_on: bool
) -> None:
    """The kernel gives it to every file, and nobody takes it away; what the user set goes with the file."""

    def refuse(fd: int, name: str) -> None:
        raise OSError(number, "refused")

    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"")
    other.write_bytes(b"")
    with open(one, "rb") as file:
        attributes = Attributes.of(file.fileno())
    monkeypatch.setattr(os, "listxattr", lambda fd: [name])
    monkeypatch.setattr(os, "getxattr", lambda fd, name: b"x")
    monkeypatch.setattr(os, "removexattr", refuse)
    with open(other, "r+b") as file, nullcontext() if goes_on else pytest.raises(OSError, match="refused"):
        attributes._replace(xattrs={}).give_to(file.fileno())


def test_an_attribute_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"")
    os.setxattr(tmp_path / "f", "user.z", b"read")
    real = os.listxattr
    monkeypatch.setattr(os, "listxattr", lambda fd: ["user.removed", *real(fd)])
    with open(tmp_path / "f", "rb") as file:
        assert disk_held.read_xattrs(file.fileno()) == {"user.z": b"read"}


# -- leases and files that are held ------------------------------------------------------------------------------------


def test_a_lease_knows_a_writer_and_lets_it_go_on(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    fd = os.open(tmp_path / "f", open_flags.READ)
    lease = Lease(fd)
    assert lease.held and not lease.wanted
    writer = subprocess.Popen(
        [sys.executable, "-c", f"open({str(tmp_path / 'f')!r}, 'r+b').write(b'new')"], env=dict(os.environ)
    )
    until(lambda: lease.wanted, "the writer did not come")
    assert writer.poll() is None and (tmp_path / "f").read_bytes() == b"old"
    lease.release()
    assert not lease.held and not lease.wanted
    assert writer.wait(PATIENCE) == 0 and (tmp_path / "f").read_bytes() == b"new"
    os.close(fd)


def test_a_writer_that_waits_sends_a_signal_that_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    fd = os.open(tmp_path / "f", open_flags.READ)
    lease = Lease(fd)
    assert fcntl.fcntl(fd, fcntl.F_GETSIG) == signal.SIGURG
    with pytest.raises(BlockingIOError):
        os.open(tmp_path / "f", os.O_WRONLY | os.O_NONBLOCK)
    assert lease.wanted
    lease.release()
    os.close(fd)


def test_a_file_open_for_writing_gives_no_lease_and_no_hold(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with open(tmp_path / "f", "r+b"), pytest.raises(LeftAlone, match="open for writing"):
        HeldFile(str(tmp_path), str(tmp_path / "f"))


def test_a_file_system_without_leases_must_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    (tmp_path / "f").write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "fcntl", refuse)
        held = HeldFile(str(tmp_path), str(tmp_path / "f"))
        assert held.lease is not None and not held.lease.held and not held.write_wanted and held.unchanged()
        held.close()


def test_a_lease_that_is_gone_is_let_go_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"")
    held = HeldFile(str(tmp_path), str(tmp_path / "f"))
    lease = held.lease
    assert lease is not None and lease.held

    def refuse(*_: object) -> int:
        raise OSError(errno.EAGAIN, "")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "fcntl", refuse)
        lease.release()
    held.close()


def test_what_is_held_is_a_regular_file_as_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"12")
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "d").mkdir()
    now = Signature.of(os.stat(tmp_path / "f"))
    with pytest.raises(LeftAlone, match="it is a symlink now"):
        HeldFile(str(tmp_path), str(tmp_path / "l"))
    with pytest.raises(LeftAlone, match="no regular file"):
        HeldFile(str(tmp_path), str(tmp_path / "d"))
    with pytest.raises(FileNotFoundError):
        HeldFile(str(tmp_path), str(tmp_path / "none"))
    for field in Signature._fields:
        with pytest.raises(LeftAlone, match="it changed since it was scanned"):
            HeldFile(str(tmp_path), str(tmp_path / "f"), now._replace(**{field: getattr(now, field) + 1}))
    held = HeldFile(str(tmp_path), str(tmp_path / "f"), now)
    assert held.signature == now and held.lease is not None and held.lease.held
    held.close()
    with monkeypatch.context() as patch:
        patch.delattr(os, "close")  # a descriptor closed twice may be somebody else's by then
        held.close()
    free = HeldFile(str(tmp_path), str(tmp_path / "f"), lease=False)
    assert free.lease is None and not free.write_wanted
    free.close()


@pytest.mark.parametrize("change", ["size", "mtime", "inode", "kind", "gone"])
def test_a_name_is_the_held_file_only_while_it_is_that_file_unchanged(tmp_path: Path, change: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12")
    held = HeldFile(str(tmp_path), str(path), lease=False)
    os.link(path, tmp_path / "second")
    assert held.is_here(held.directory, "f") and held.is_here(held.directory, "second") and held.unchanged()
    if change == "size":
        os.truncate(path, 1)
        os.utime(path, ns=(1, held.signature.mtime_ns))
    elif change == "mtime":
        os.utime(path, ns=(held.attributes.atime_ns, held.signature.mtime_ns + 1))
    elif change in ("inode", "kind"):
        path.unlink()
        path.write_bytes(b"12") if change == "inode" else path.symlink_to("second")
        os.utime(path, ns=(1, held.signature.mtime_ns), follow_symlinks=False)
    else:
        path.unlink()
    assert not held.is_here(held.directory, "f")
    assert held.unchanged() == (change in ("inode", "kind", "gone"))
    held.close()


def test_a_waiting_writer_means_that_a_held_file_is_not_unchanged(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12")
    held = HeldFile(str(tmp_path), str(tmp_path / "f"))
    assert held.unchanged() and not held.write_wanted
    with pytest.raises(BlockingIOError):
        os.open(tmp_path / "f", os.O_WRONLY | os.O_NONBLOCK)
    assert held.write_wanted and not held.unchanged()
    held.close()
    os.close(os.open(tmp_path / "f", os.O_WRONLY | os.O_NONBLOCK))
