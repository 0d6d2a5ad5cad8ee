"""Who may read files and pass folders, looked at on a disk."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from hubfold.access import ACL, DEFAULT_ACL, OPEN, Permissions
from hubfold.disk import permissions
from hubfold.disk.directory import make_folder_like
from hubfold.disk.held import Attributes, HeldFile
from hubfold.disk.permissions import Ways
from tests.building.people import acl, open_place

ME, MINE = os.geteuid(), os.getegid()


def test_files_with_the_same_permissions_have_them_as_one_object_without_a_path(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "other", "shared")]
    for path in paths:
        path.touch()
        path.chmod(0o640)
    os.setxattr(paths[2], ACL, acl(0o640, users=[(7, 4)]))
    one, other, shared = (permissions.of_file(str(path)) for path in paths)
    assert one is other and one.path == "" and one == permissions.of_path(str(paths[0]))
    assert shared == permissions.of_path(str(paths[2])) != one


def test_a_file_by_its_mode_and_by_its_acl(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o640)
    path.chmod(0o640)
    assert permissions.of_path(str(path)) == Permissions.of(ME, MINE, 0o640)
    os.setxattr(path, ACL, acl(0o640, users=[(7, 4)]))
    found = permissions.of_path(str(path))
    assert found.users == ((7, 4),)
    held = HeldFile(str(tmp_path), str(path))
    assert permissions.of_attributes(Attributes.of(held.fd), str(path)) == found
    held.close()


def test_the_way_to_a_folder_is_every_folder_above_it() -> None:
    with open_place() as place:
        deep = place / "a" / "b"
        deep.mkdir(parents=True)
        for folder in (place / "a", deep):
            folder.chmod(0o755)
        assert Ways().to(str(deep)) == OPEN
        (place / "a").chmod(0o750)
        assert [folder.path for folder in Ways().to(str(deep)).folders] == [str(place / "a")]
        (place / "link").symlink_to(deep)
        assert Ways().to(str(place / "link")) == Ways().to(str(deep))
        deep.chmod(0o1777)
        assert Ways().to(str(deep)).sticky == ME


def test_the_way_to_a_folder_that_is_to_be_made() -> None:
    with open_place() as place:
        (place / "like").mkdir()
        (place / "like").chmod(0o700)
        missing = str(place / "new" / "objects")
        assert [folder.path for folder in Ways().to_new(missing, str(place / "like")).folders] == [
            str(place / "like")
        ]
        os.makedirs(missing)
        for folder in (missing, os.path.dirname(missing)):
            os.chmod(folder, 0o755)
        assert Ways().to_new(missing, str(place / "like")) == OPEN


def test_a_folder_that_cannot_be_looked_at_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Ways().to(str(tmp_path / "missing"))


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users with groups of their own names, one of which somebody else is in; and a group of several."""
    users = {"ann": (50_001, 50_001), "bea": (50_002, 50_002), "cid": (50_003, 50_009)}
    groups = {50_001: ("ann", []), 50_002: ("bea", ["ann"]), 50_009: ("cid", []), 50_010: ("team", [])}
    users["dan"] = (50_004, 50_009)
    entries = [pwd.struct_passwd((name, "x", uid, gid, "", "/", "")) for name, (uid, gid) in users.items()]
    by_name = {entry.pw_name: entry for entry in entries}
    by_gid = {gid: grp.struct_group((name, "x", gid, members)) for gid, (name, members) in groups.items()}
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)
    monkeypatch.setattr(pwd, "getpwnam", by_name.__getitem__)
    monkeypatch.setattr(grp, "getgrgid", by_gid.__getitem__)
    permissions.only_user.cache_clear()


@pytest.mark.parametrize(
    ("gid", "alone"),
    [(50_001, {(50_001, 50_001)}), (50_002, set()), (50_009, set()), (50_010, set()), (50_011, set())],
    ids=["his own", "with a member", "primary of two", "nobody's name", "unknown"],
)
def test_a_group_is_one_users_where_it_is_plainly_so(people: None, gid: int, alone: set[object]) -> None:
    assert permissions.alone(Permissions.of(ME, gid, 0o640)) == alone
    permissions.only_user.cache_clear()


def test_attributes_that_only_root_may_set(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, "user.note", b"")
    assert permissions.not_ours_to_set(str(path)) is None
    if os.geteuid() == 0:
        os.setxattr(path, "trusted.note", b"")
        assert permissions.not_ours_to_set(str(path)) == "trusted.note"
        assert permissions.groups() is None


def test_a_folder_is_made_like_another(tmp_path: Path) -> None:
    like, new = tmp_path / "like", tmp_path / "new"
    like.mkdir()
    like.chmod(0o2750)
    os.setxattr(tmp_path, DEFAULT_ACL, acl(0o777, users=[(7, 7)]))
    make_folder_like(str(new), str(like))
    assert new.stat().st_mode == like.stat().st_mode and os.listxattr(new) == []
    os.setxattr(like, ACL, acl(0o750, users=[(8, 5)]))
    os.setxattr(like, DEFAULT_ACL, acl(0o750, users=[(9, 5)]))
    make_folder_like(str(tmp_path / "other"), str(like))
    for name in (ACL, DEFAULT_ACL):
        assert os.getxattr(tmp_path / "other", name) == os.getxattr(like, name)
    # One that is in use stays as somebody made it, one that a crash left is finished.
    (new / "file").touch()
    whole = like.stat().st_mode & 0o7777
    for folder, expected in ((new, 0o700), (tmp_path / "other", whole)):
        folder.chmod(0o700)
        make_folder_like(str(folder), str(like))
        assert folder.stat().st_mode & 0o7777 == expected


@pytest.mark.parametrize(
    ("folder", "umask", "file"),
    [
        (0o2775, 0o077, 0o664),
        (0o755, 0o077, 0o644),
        (0o700, 0o077, 0o600),
        (0o700, 0o022, 0o644),
        (0o1777, 0o022, 0o664),
    ],
)
def test_what_is_made_meanwhile_is_as_open_as_a_folder(
    tmp_path: Path, folder: int, umask: int, file: int
) -> None:
    top = tmp_path / "cache"
    top.mkdir()
    top.chmod(folder)
    before = os.umask(umask)
    try:
        with permissions.open_as(str(top)):
            (top / "made").touch()
        assert (top / "made").stat().st_mode & 0o777 == file
        with permissions.open_as(str(tmp_path / "gone")):
            pass
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
