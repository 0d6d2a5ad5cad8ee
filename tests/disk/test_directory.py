"""The file-system calls by themselves: where they lead, what they refuse, and what they leave open or behind."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hubfold.disk import directory as fsops
from hubfold.disk.directory import Directory
from hubfold.errors import AllNamesTaken, LeftAlone
from tests.building.descriptors import nothing_stays_open

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act for another user")
SOMEBODY = 12345


def test_a_descriptor_left_open_is_seen_and_one_that_others_close_meanwhile_is_not(tmp_path: Path) -> None:
    others = socket.socket()
    with pytest.raises(AssertionError, match=re.escape(str(tmp_path))), nothing_stays_open():
        left = os.open(tmp_path, os.O_RDONLY)
    os.close(left)
    with nothing_stays_open():
        others.close()


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


# -- permissions of another folder -------------------------------------------------------------------------------------


@pytest.fixture
def like(tmp_path: Path) -> Iterator[tuple[Directory, Directory]]:
    """(a folder, another one with other permissions)."""
    for name, mode in (("made", 0o700), ("model", 0o2775)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    with Directory.open(str(tmp_path / "made")) as made, Directory.open(str(tmp_path / "model")) as model:
        yield made, model


def mode_of(folder: Directory) -> int:
    return stat.S_IMODE(os.stat(folder.path).st_mode)


def test_a_folder_gets_the_permissions_of_another(like: tuple[Directory, Directory]) -> None:
    made, model = like
    made.become_like(model)
    assert mode_of(made) == 0o2775
    assert made.names() == []


def test_whoever_may_not_give_the_group_lets_nobody_in_by_it(
    like: tuple[Directory, Directory], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, model = like
    asked: list[tuple[int, int]] = []
    ours = made.stat()

    def chown(fd: int, uid: int, gid: int) -> None:
        asked.append((uid, gid))
        raise PermissionError

    monkeypatch.setattr(fsops, "privileged", lambda: False)
    monkeypatch.setattr(os, "chown", chown)
    made.become_like(model)
    assert (asked, mode_of(made)) == ([], 0o2775), "the group is the same: there is nothing to give"
    other = SimpleNamespace(stat=lambda: SimpleNamespace(st_mode=0o42775, st_uid=1, st_gid=ours.st_gid + 1))
    other._fd = model._fd
    made.become_like(other)  # type: ignore[arg-type]
    assert (asked, mode_of(made)) == ([(-1, ours.st_gid + 1)], 0o705)


@pytest.mark.parametrize("call", ["setxattr", "removexattr"])
def test_an_attribute_that_cannot_be_given_or_taken_is_an_error(
    like: tuple[Directory, Directory], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made, model = like

    def fails(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "getxattr", lambda *_: b"" if call == "setxattr" else missing())
    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="Input/output"):
        made.become_like(model)


def missing() -> bytes:
    raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))


def test_a_file_that_takes_no_more_names_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(os, "link", full)
    with Directory.open(str(tmp_path)) as here, pytest.raises(AllNamesTaken):
        here.link_from(here, "file", "name")
