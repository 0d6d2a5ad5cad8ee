"""The links that objects are kept for: found one hop at a time, whatever they lead to."""

from __future__ import annotations

from pathlib import Path

from hubfold.vault.links import links_below, points_at


def test_every_symlink_below_the_roots_with_what_it_points_at(tmp_path: Path) -> None:
    here = tmp_path.resolve()
    (here / "root/deep").mkdir(parents=True)
    (here / "other").mkdir()
    (here / "root/file").write_bytes(b"")
    (here / "root/dangling").symlink_to("nothing")
    (here / "root/deep/up").symlink_to("../file")
    (here / "root/way").symlink_to("../other")
    (here / "other/second").symlink_to(here / "root/dangling")
    found = dict(links_below([str(here / "root"), str(here / "other")]))
    assert found == {
        str(here / "root/dangling"): str(here / "root/nothing"),
        str(here / "root/deep/up"): str(here / "root/file"),
        str(here / "root/way"): str(here / "other"),
        str(here / "other/second"): str(here / "root/dangling"),
    }


def test_links_are_followed_in_folders_on_the_way_and_not_at_the_end(tmp_path: Path) -> None:
    here = tmp_path.resolve()
    (here / "vault").mkdir()
    (here / "root").mkdir()
    (here / "short").symlink_to("vault")
    (here / "vault/object").symlink_to("elsewhere")
    (here / "root/link").symlink_to("../short/object")
    assert dict(links_below([str(here / "root")])) == {str(here / "root/link"): str(here / "vault/object")}


def test_a_root_that_is_away_has_no_links(tmp_path: Path) -> None:
    assert list(links_below([str(tmp_path / "away")])) == []


def test_a_link_points_at_an_object_that_need_not_be_there(tmp_path: Path) -> None:
    object_ = tmp_path / "vault/objects/ab/abc"
    link = tmp_path / "link"
    link.symlink_to("vault/objects/ab/abc")
    assert points_at(str(link), str(object_))
    assert not points_at(str(link), str(object_.with_name("other")))
    assert not points_at(str(tmp_path / "missing"), str(object_))
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert not points_at(str(file), str(file))
    # The folder of the object by another name.
    object_.parent.mkdir(parents=True)
    (tmp_path / "way").symlink_to("vault")
    assert points_at(str(link), str(tmp_path / "way/objects/ab/abc"))
