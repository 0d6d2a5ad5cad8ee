"""Below a root is what its folders lead to, no symlink followed; and no plugin makes a root of a home."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from hubfold.disk.bounds import Below, Bounds, homes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/secret").write_text("secret")
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").touch()
    (root / "a/out").symlink_to(tmp_path / "outside")
    (root / "a/in").symlink_to("b")
    (root / "a/secret").symlink_to(tmp_path / "outside/secret")
    return root


@pytest.mark.parametrize(
    ("path", "link"),
    [
        *(("a/b/file", ""), ("a/out", ""), ("a/secret", ""), ("a/file", ""), ("x/y/z", ""), ("a/file/x", "")),
        *(
            ("a/out/secret", "a/out"),
            ("a/out/deep/x", "a/out"),
            ("a/out/no/such", "a/out"),
            ("a/in/x", "a/in"),
        ),
    ],
)
def test_a_symlink_on_the_way_is_found_and_one_at_its_end_is_not(root: Path, path: str, link: str) -> None:
    below = Below(str(root))
    for _ in range(2):
        assert below.link_on_the_way(f"{root}/{path}") == (link and f"{root}/{link}")


@pytest.mark.parametrize(
    ("path", "link"), [("a/out", "a/out"), ("a/b", ""), ("a/file", ""), ("a/secret", "a/secret")]
)
def test_what_will_be_followed_is_no_symlink_itself(root: Path, path: str, link: str) -> None:
    assert Below(str(root)).link_on_the_way(f"{root}/{path}", itself=True) == (link and f"{root}/{link}")


def test_a_root_that_is_not_there_has_nothing_outside(tmp_path: Path) -> None:
    assert Below(str(tmp_path / "gone")).link_on_the_way(f"{tmp_path}/gone/a/b") == ""


def test_a_root_is_what_its_own_path_leads_to(root: Path) -> None:
    way = root.parent / "way"
    way.symlink_to(root)
    assert Below(str(way)).link_on_the_way(f"{way}/a/b/x") == ""


def test_homes_are_those_of_the_user_database() -> None:
    assert os.path.normpath(pwd.getpwuid(os.geteuid()).pw_dir) in homes()


def test_homes_that_are_listed_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """An automounter would mount each."""
    monkeypatch.setattr(os, "lstat", lambda *args, **options: pytest.fail("looked at"))
    assert homes()


def test_no_plugin_makes_a_root_of_a_home_or_of_what_it_lies_in(tmp_path: Path) -> None:
    home = tmp_path / "homes/me"
    home.mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    (home / "models").mkdir()
    bounds = Bounds({"HOME": str(home)})
    for path in ("/", str(home), str(home.parent), str(tmp_path / "link"), pwd.getpwuid(0).pw_dir):
        assert bounds.too_much(path), path
    for path in (str(home / "models"), str(tmp_path / "homes/other"), str(home / "not/yet")):
        assert not bounds.too_much(path), path


def test_a_home_that_no_database_lists_is_known_by_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory service tells of a user who is asked for, and lists none."""
    bounds = Bounds({"HOME": str(tmp_path / "me")})
    user = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwall", list)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd((*user[:5], str(tmp_path), user[6])))
    assert bounds.too_much(str(tmp_path)) == "a home directory, or what one lies in"
    (tmp_path / "of").mkdir()
    monkeypatch.setattr(
        pwd, "getpwuid", lambda uid: pwd.struct_passwd((*user[:5], str(tmp_path / "of"), user[6]))
    )
    assert bounds.too_much(str(tmp_path / "of")) == "a home directory"


def test_a_home_that_is_listed_is_one_whoever_owns_it_and_behind_a_symlink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a service, which belongs to root; and a home that was moved, with a link left in its place."""
    bounds = Bounds({"HOME": str(tmp_path / "me")})
    (tmp_path / "service").mkdir()
    (tmp_path / "moved").mkdir()
    (tmp_path / "left").symlink_to(tmp_path / "moved")
    user = pwd.getpwuid(os.geteuid())
    listed = [
        pwd.struct_passwd((*user[:5], f"{tmp_path}/{name}", user[6])) for name in ("service", "left", "plain")
    ]
    monkeypatch.setattr(pwd, "getpwall", lambda: listed)
    for name in ("service", "left"):
        assert bounds.too_much(f"{tmp_path}/{name}") == "a home directory", name
    (tmp_path / "alias").symlink_to(tmp_path / "service")
    assert bounds.too_much(f"{tmp_path}/alias") == "a home directory"
    assert not bounds.too_much(f"{tmp_path}/moved/models")
