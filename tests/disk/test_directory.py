"""The file-system calls by themselves: where they lead, what they refuse, and what they leave open or behind."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfold import errors
from hubfold.content import Signature
from hubfold.disk import directory as fsops
from hubfold.disk import exchange, open_flags
from hubfold.disk import held as disk_held
from hubfold.disk.directory import Directory
from hubfold.disk.held import Attributes, HeldFile, Lease
from hubfold.errors import LeftAlone

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act for another user")
SOMEBODY = 12345


def open_descriptors() -> set[tuple[str, str]]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # the one that listed the folder
    return found


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.fixture(params=["descriptors", "paths"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With directory descriptors, and as on a platform that has none."""
    if request.param == "paths":
        monkeypatch.setattr(fsops, "_HAS_DIR_FD", False)
    return str(request.param)


class Recorder:
    """Notes the calls of functions of `os` on their way through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.calls: list[tuple[object, ...]] = []
        for name in names:
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            what = args[0]
            seen = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else what
            self.calls.append((name, seen, *args[1:]))
            return real(*args, **kwargs)

        return call


# -- ways that lead only below -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/elsewhere/f", "../f", "", "sub/../../f"])
def test_a_path_that_is_not_below_the_root_is_left_alone(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(LeftAlone, match="does not lie below"):
        Directory.parent_of(str(root), os.path.join(root, path) if path[:1] != "/" else path)


@pytest.mark.parametrize("path", ["/", "/elsewhere/f", "../f"])
def test_no_folder_is_made_outside_the_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(LeftAlone, match="does not lie below"):
        Directory.make_below(str(root), os.path.join(root, path) if path[:1] != "/" else path)
    assert list(tmp_path.iterdir()) == [root] and list(root.iterdir()) == []


def test_the_parent_of_a_deep_path(tmp_path: Path, by: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"here")
    directory, name = Directory.parent_of(str(tmp_path), str(tmp_path / "a" / "b" / "f"))
    with directory:
        assert (directory.path, name) == (str(tmp_path / "a" / "b"), "f")
        fd = directory.open_file(name)
        assert os.read(fd, 9) == b"here"
        os.close(fd)


@pytest.mark.parametrize("what", ["link", "file"])
def test_neither_a_link_nor_a_file_is_taken_for_a_folder_on_the_way(
    tmp_path: Path, by: str, what: str
) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "f").write_bytes(b"not ours")
    if what == "link":
        (tmp_path / "sub").symlink_to("away")
    else:
        (tmp_path / "sub").write_bytes(b"")
    if what == "link" or by == "descriptors":
        with pytest.raises(LeftAlone, match="sub is no directory any more"):
            Directory.parent_of(str(tmp_path), str(tmp_path / "sub" / "f"))
        with pytest.raises(LeftAlone, match=r"sub is no directory$"):
            Directory.make_below(str(tmp_path), str(tmp_path / "sub" / "deeper"))
        assert sorted(path.name for path in (tmp_path / "away").iterdir()) == ["f"]


def test_a_missing_folder_on_the_way_is_told_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Directory.parent_of(str(tmp_path), str(tmp_path / "no" / "f"))


def test_folders_below_a_root_are_made_durable_one_in_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    calls = Recorder(monkeypatch, "mkdir", "fsync")
    with Directory.make_below(str(tmp_path), str(tmp_path / "there" / "a" / "b")) as made:
        assert made.path == str(tmp_path / "there" / "a" / "b")
        assert os.path.samestat(made.stat(), os.stat(tmp_path / "there" / "a" / "b"))
    assert calls.calls == [
        ("mkdir", "there"),
        ("mkdir", "a"),
        ("fsync", str(tmp_path / "there")),
        ("mkdir", "b"),
        ("fsync", str(tmp_path / "there" / "a")),
    ]


def test_the_root_itself_needs_nothing_made(tmp_path: Path) -> None:
    with Directory.make_below(str(tmp_path), str(tmp_path)) as root:
        assert os.path.samestat(root.stat(), os.stat(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_error_below_a_new_folder_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(directory: Directory, name: str) -> Directory:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Directory, "child", broken)
    for call in (Directory.make_below, Directory.parent_of):
        with pytest.raises(OSError, match="Input/output") as caught:
            call(str(tmp_path), str(tmp_path / "a" / "b"))
        assert caught.value.errno == errno.EIO


@ROOT
def test_folders_that_root_makes_belong_to_the_owner_of_the_folder_above(tmp_path: Path) -> None:
    os.chown(tmp_path, SOMEBODY, SOMEBODY + 1)
    Directory.make_below(str(tmp_path), str(tmp_path / "a" / "b")).close()
    assert fsops.make_folders(str(tmp_path / "c" / "d")) == [str(tmp_path / "c"), str(tmp_path / "c" / "d")]
    for name in ("a", "a/b", "c", "c/d"):
        st = os.stat(tmp_path / name)
        assert (st.st_uid, st.st_gid) == (SOMEBODY, SOMEBODY + 1), name


def test_folders_that_were_there_are_not_called_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Recorder(monkeypatch, "fsync")
    assert fsops.make_folders(str(tmp_path)) == []
    assert calls.calls == []
    assert fsops.make_folders(str(tmp_path / "a" / "b")) == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert calls.calls == [("fsync", str(tmp_path)), ("fsync", str(tmp_path / "a"))]


def test_a_folder_that_somebody_else_makes_meanwhile_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Directory.mkdir

    def slower(directory: Directory, name: str) -> bool:
        os.mkdir(os.path.join(directory.path, name))
        return real(directory, name)

    monkeypatch.setattr(Directory, "mkdir", slower)
    assert fsops.make_folders(str(tmp_path / "a")) == []
    assert (tmp_path / "a").is_dir()


# -- names in a directory ----------------------------------------------------------------------------------------------


def test_a_directory_follows_links_only_where_the_user_named_them(tmp_path: Path, by: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with Directory.open(str(tmp_path / "link")) as named:
        assert named.names() == []
    with Directory.open(str(tmp_path)) as parent, pytest.raises(OSError) as caught:
        parent.child("link")
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file").touch()
        Directory.open(str(tmp_path / "file"))


def test_what_a_name_is_and_what_it_reads(tmp_path: Path, by: str) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "d").mkdir()
    with Directory.open(str(tmp_path)) as here:
        assert here.names() == ["d", "f", "l"]
        assert stat.S_ISLNK(here.lstat("l").st_mode) and here.stat_through("l").st_size == 5
        assert here.lstat_or_none("l") is not None and here.lstat_or_none("none") is None
        assert here.readlink("l") == "f"
        assert os.path.samestat(here.stat(), os.stat(tmp_path))
        with pytest.raises(OSError) as caught:
            here.open_file("l")
        assert caught.value.errno == errno.ELOOP
        assert here.mkdir("new") and not here.mkdir("new") and (tmp_path / "new").is_dir()
        with here.child("new") as new:
            assert new.path == str(tmp_path / "new") and new.names() == []
        here.rmdir("new")
        here.link_from(here, "f", "f2")
        assert os.stat(tmp_path / "f2").st_nlink == 2
        here.rename("f2", "f3")
        here.unlink("f")
        assert here.names() == ["d", "f3", "l"] and (tmp_path / "f3").read_bytes() == b"12345"
        with pytest.raises(OSError) as caught:
            here.lstat_or_none("x" * 300)
        assert caught.value.errno == errno.ENAMETOOLONG
        here.sync()
    if by == "paths":
        with pytest.raises(OSError, match="no atomic exchange"):
            here.exchange("f3", "l")


def test_a_hard_link_of_a_symlink_links_the_symlink_itself(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "l").symlink_to("f")
    with Directory.open(str(tmp_path)) as here:
        here.link_from(here, "l", "l2")
    assert (tmp_path / "l2").is_symlink() and os.stat(tmp_path / "f").st_nlink == 1


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o600), (0o640, 0o640)])
def test_a_new_file_is_private_and_new(tmp_path: Path, mode: int | None, expected: int) -> None:
    (tmp_path / "l").symlink_to("planted")
    with Directory.open(str(tmp_path)) as here:
        os.close(here.create_file("f", mode) if mode is not None else here.create_file("f"))
        assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == expected
        for name in ("f", "l"):
            with pytest.raises(FileExistsError):
                here.create_file(name)
    assert not (tmp_path / "planted").exists()


def test_appending_adds_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("planted")
    with Directory.open(str(tmp_path)) as here:
        for part in (b"one", b"two"):
            fd = here.append_file("f")
            os.write(fd, part)
            os.close(fd)
        with pytest.raises(OSError):
            here.append_file("l")
    assert (tmp_path / "f").read_bytes() == b"onetwo" and not (tmp_path / "planted").exists()
    assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o644 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_moving_replaces_nothing(tmp_path: Path) -> None:
    for name in ("from/f", "to/taken"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    with Directory.open(str(tmp_path / "from")) as here, Directory.open(str(tmp_path / "to")) as there:
        with pytest.raises(FileExistsError) as caught:
            here.move("f", there, "taken")
        assert caught.value.errno == errno.EEXIST and caught.value.filename == str(tmp_path / "to" / "taken")
        here.move("f", there, "free")
    assert (tmp_path / "to" / "free").read_bytes() == b"from/f" and not (tmp_path / "from" / "f").exists()
    assert (tmp_path / "to" / "taken").read_bytes() == b"to/taken"


def test_names_are_exchanged_at_once_and_an_error_is_the_kernels(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with Directory.open(str(tmp_path)) as here:
        here.exchange("a", "b")
        assert (tmp_path / "a").read_bytes() == b"b" and (tmp_path / "b").read_bytes() == b"a"
        with pytest.raises(FileNotFoundError) as caught:
            here.exchange("a", "missing")
    assert caught.value.filename == str(tmp_path / "missing")


@ROOT
def test_what_root_makes_in_a_directory_belongs_to_its_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, SOMEBODY, SOMEBODY + 1)
    with Directory.open(str(tmp_path)) as here:
        fd = here.create_file("f")
        here.own_file(fd)
        os.close(fd)
        here.symlink("f", "given", (SOMEBODY + 2, SOMEBODY + 3))
        here.symlink("f", "kept")
    owners = {p.name: (os.lstat(p).st_uid, os.lstat(p).st_gid) for p in tmp_path.iterdir()}
    assert owners == {
        "f": (SOMEBODY, SOMEBODY + 1),
        "given": (SOMEBODY + 2, SOMEBODY + 3),
        "kept": (os.geteuid(), os.getegid()),
    }


def test_an_ordinary_user_gives_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    calls = Recorder(monkeypatch, "chown", "fchown")
    with Directory.make_below(str(tmp_path), str(tmp_path / "a")) as here:
        fd = here.create_file("f")
        here.own_file(fd)
        os.close(fd)
        here.symlink("f", "l", (SOMEBODY, SOMEBODY))
    assert not fsops.privileged() and calls.calls == []


# -- a name in the place of another ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_exchange_the_displaced_file_has_two_names_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Directory, "exchange", refuse)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"old")
    with Directory.open(str(tmp_path)) as here:
        displaced = exchange.swap_in(here, "new", "name")
        assert displaced == "new~" and here.names() == ["name", "new~"]
        assert (tmp_path / "name").read_bytes() == b"new" and (tmp_path / "new~").read_bytes() == b"old"
        with pytest.raises(LeftAlone, match="the file as it was before is at new~ beside it"):
            exchange.swap_back(here, "new", "name", displaced, ours=lambda name: False)
        assert (tmp_path / "name").read_bytes() == b"new" and (tmp_path / "new~").read_bytes() == b"old"
        exchange.swap_back(here, "new", "name", displaced, ours=lambda name: name == "name")
        assert here.names() == ["name"] and (tmp_path / "name").read_bytes() == b"old"


def test_with_exchange_the_displaced_file_has_the_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"old")
    with Directory.open(str(tmp_path)) as here:
        displaced = exchange.swap_in(here, "new", "name")
        assert displaced == "new" and (tmp_path / "new").read_bytes() == b"old"
        with pytest.raises(LeftAlone, match="the file as it was before is at new beside it"):
            exchange.swap_back(here, "new", "name", displaced, ours=lambda name: False)
        assert (tmp_path / "name").read_bytes() == b"new" and (tmp_path / "new").read_bytes() == b"old"
        exchange.swap_back(here, "new", "name", displaced, ours=lambda name: name == "new")
        assert here.names() == ["name"]
    assert (tmp_path / "name").read_bytes() == b"old"


def test_what_somebody_removes_while_a_swap_is_taken_back_is_no_reason_to_give_up(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"old")

    def gone_meanwhile(name: str) -> bool:
        (tmp_path / name).unlink()
        return False

    with Directory.open(str(tmp_path)) as here:
        displaced = exchange.swap_in(here, "new", "name")
        exchange.swap_back(here, "new", "name", displaced, ours=gone_meanwhile)
        assert here.names() == ["name"] and (tmp_path / "name").read_bytes() == b"old"


def test_another_error_of_the_exchange_is_no_reason_for_the_long_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Directory, "exchange", fail)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"old")
    with Directory.open(str(tmp_path)) as here, pytest.raises(OSError, match="Input/output"):
        exchange.swap_in(here, "new", "name")
    assert (tmp_path / "name").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


def test_a_rename_that_fails_leaves_no_second_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fsops, "_libc", None)
    monkeypatch.setattr(Directory, "rename", fail)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "name").write_bytes(b"old")
    with Directory.open(str(tmp_path)) as here, pytest.raises(OSError, match="Input/output"):
        exchange.swap_in(here, "new", "name")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["name", "new"]
    assert (tmp_path / "name").stat().st_nlink == 1


def test_a_tree_is_removed_without_following_links_and_its_folders_are_counted(tmp_path: Path) -> None:
    for folder in ("gone/a/b", "stays"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "stays" / "f").write_bytes(b"mine")
    (tmp_path / "gone" / "a" / "f").write_bytes(b"x" * 100_000)
    (tmp_path / "gone" / "a" / "l").symlink_to(tmp_path / "stays")
    blocks = sum(os.stat(tmp_path / name).st_blocks for name in ("gone", "gone/a", "gone/a/b"))
    with Directory.open(str(tmp_path)) as here:
        assert fsops.remove_tree(here, "gone") == blocks * 512
    assert [p.name for p in tmp_path.iterdir()] == ["stays"] and (tmp_path / "stays" / "f").exists()


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
    until = time.monotonic() + 10
    while not lease.wanted and time.monotonic() < until:
        time.sleep(0.01)
    assert lease.wanted and writer.poll() is None and (tmp_path / "f").read_bytes() == b"old"
    lease.release()
    assert not lease.held and not lease.wanted
    assert writer.wait(10) == 0 and (tmp_path / "f").read_bytes() == b"new"
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


# -- words for people --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EACCES, "x"), "permission denied"),
        (OSError(errno.EPERM, "x"), "not permitted"),
        (OSError(errno.EROFS, "x"), "the file system is read-only"),
        (OSError(errno.ENOSPC, "x"), "no space left on the file system"),
        (OSError(errno.EDQUOT, "x"), "the disk quota is used up"),
        (OSError(errno.EIO, "x"), "the drive reported an error"),
        (OSError(errno.ENOENT, "x"), "it is gone"),
        (OSError(errno.EMLINK, "x"), "the file system allows no more hard links to this file"),
        (OSError(errno.EXDEV, "x"), "the file system does not link between these two places"),
        (OSError(errno.EOPNOTSUPP, "x"), "the file system does not support it"),
        (OSError(errno.ENOSYS, "x"), "the system does not support it"),
        (OSError(errno.ENOTEMPTY, "Directory not empty"), "Directory not empty"),
        (OSError("no number"), "no number"),
        (LeftAlone("its own words"), "its own words"),
    ],
)
def test_an_error_is_told_in_one_phrase(error: BaseException, words: str) -> None:
    assert errors.describe(error) == words


def test_a_full_disk_and_a_used_up_quota_are_both_out_of_space() -> None:
    assert frozenset({errno.ENOSPC, errno.EDQUOT}) == errors.OUT_OF_SPACE
