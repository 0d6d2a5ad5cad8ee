"""The way of a path through mounts: data in, data out."""

from __future__ import annotations

import pytest

from hubfold.errors import UsageError
from hubfold.mounted.mounts import Mount, Reached, View, below, mending, parse, plain

#: Symlinks and files of a host; folders are what lies above them.
HOST = {
    "/srv/hub/models--a/snapshots/1/m": "../../blobs/x",
    "/srv/hub/models--a/blobs/x": "",
    "/srv/hubfold/objects/ab/abc": "",
    "/srv/copies/relative": "../hubfold/objects/ab/abc",
    "/srv/copies/absolute": "/srv/hubfold/objects/ab/abc",
    "/srv/copies/twice": "relative",
    "/srv/copies/loop": "loop",
    "/srv/copies/folder": "/srv/hub/models--a",
    "/srv/copies/above": "../../../../srv/copies/twice",
    "/srv/copies/slashed": "/srv//hubfold/./objects/ab/abc",
}
VAULT = "/srv/hubfold"


def look(path: str) -> str | bool | None:
    if path in HOST:
        return HOST[path] or False
    return True if any(name.startswith(path.rstrip("/") + "/") for name in HOST) else None


def view(*mounts: str) -> View:
    return View([Mount(*parse(mount)) for mount in mounts], look)


@pytest.mark.parametrize(
    ("made", "path", "at", "here"),
    [
        (["/srv:/data"], "/data/hub/models--a/snapshots/1/m", "/data/hub/models--a/blobs/x", True),
        (["/srv/hub:/h"], "/h/models--a/snapshots/1/m", "/h/models--a/blobs/x", True),
        (["/srv:/data"], "/data/copies/relative", "/data/hubfold/objects/ab/abc", True),
        (["/srv:/data"], "/data/copies/twice", "/data/hubfold/objects/ab/abc", True),
        (["/srv:/data"], "/data/copies/absolute", "/srv/hubfold/objects/ab/abc", False),
        (["/srv:/srv"], "/srv/copies/absolute", "/srv/hubfold/objects/ab/abc", True),
        (["/srv:/srv"], "/srv/copies/slashed", "/srv/hubfold/objects/ab/abc", True),
        (["/srv/copies:/c"], "/c/relative", "/hubfold/objects/ab/abc", False),
        (["/srv/copies:/a/b/c"], "/a/b/c/relative", "/a/b/hubfold/objects/ab/abc", False),
        (["/srv/copies:/c", "/srv/hubfold:/hubfold"], "/c/relative", "/hubfold/objects/ab/abc", True),
        (["/srv/copies:/c"], "/c/above", "/srv/copies/twice", False),
        (["/srv/copies:/srv/copies"], "/srv/copies/above", "/srv/hubfold/objects/ab/abc", False),
        (["/srv/copies:/c", "/srv/hub:/srv/hub"], "/c/folder/blobs/x", "/srv/hub/models--a/blobs/x", True),
        (["/srv:/data"], "/data/copies/relative/..", "/data/hubfold/objects/ab", False),
        (["/srv:/data"], "/data/copies/relative/", "/data/hubfold/objects/ab/abc", False),
        (["/srv:/data"], "/data/copies/folder/", "/srv/hub/models--a", False),
        (["/srv:/srv"], "/srv/copies/folder/../.", "/srv/hub", True),
        (["/srv:/data"], "/data/nothing/more", "/data/nothing/more", False),
        (["/srv:/data/x"], "/data", "/data", True),
        (["/srv:/"], "/copies/relative", "/hubfold/objects/ab/abc", True),
    ],
)
def test_a_link_is_followed_as_the_container_sees_it(made: list[str], path: str, at: str, here: bool) -> None:
    found = view(*made).reach(path)
    assert (found.at, found.there) == (at, here)
    assert not here or found.here is None or isinstance(look(found.here), bool)


def test_a_mount_in_a_mount_hides_what_is_below_it() -> None:
    nested = view("/srv:/data", "/srv/copies:/data/hub")
    assert nested.here("/data/hub/relative") == "/srv/copies/relative"
    assert nested.reach("/data/hub/models--a/blobs/x").there is False
    assert [*nested.shown("/srv/hub/models--a/blobs/x")] == []
    assert [*nested.shown("/srv/copies/relative")] == ["/data/copies/relative", "/data/hub/relative"]


def test_of_two_mounts_at_one_path_the_later_counts() -> None:
    assert view("/srv/hub:/h", "/srv/copies:/h").here("/h") == "/srv/copies"


def test_a_beginning_of_a_name_is_no_folder() -> None:
    assert view("/srv/hub:/h").here("/hub/x") is None
    assert below("/srv/hubfold", "/srv/hub") is None
    assert below("/srv", "/") == "srv"


def test_a_link_to_itself_ends() -> None:
    assert view("/srv:/srv").reach("/srv/copies/loop") == Reached(
        "/srv/copies/loop", "/srv/copies/loop", there=False, loop=True
    )


def test_a_volume_of_the_engine_shows_nothing_of_the_host() -> None:
    kept = View([Mount("/srv", "/data"), Mount("", "/data/hub")], look)
    assert kept.here("/data/hub/models--a") is None
    assert [*kept.shown("/srv/hub/models--a")] == []
    assert kept.reach("/data/hub").there


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/a:/b", ("/a", "/b", False)),
        ("~/a:/b:ro", ("~/a", "/b", True)),
        ("a:/b/../c/:rw,z", ("a", "/c", False)),
        ("/a:/b:z,ro", ("/a", "/b", True)),
    ],
)
def test_a_mount_is_typed_as_for_docker(text: str, mount: tuple[str, str, bool]) -> None:
    assert parse(text) == mount


@pytest.mark.parametrize("text", ["", "/a", "/a:", ":/b", "/a:b"])
def test_what_is_no_mount_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="no mount"):
        parse(text)


def test_a_path_is_plain_by_its_text() -> None:
    assert plain("//a/./b/../c/") == "/a/c"
    assert plain("/../..") == "/"


def unit(path: str) -> str:
    return VAULT if path.startswith(VAULT) else path.rpartition("/")[0]


@pytest.mark.parametrize(
    ("made", "path", "mends"),
    [
        (["/srv/copies:/c"], "/c/relative", [Mount(VAULT, "/hubfold")]),
        (["/srv/copies:/a/b/c"], "/a/b/c/relative", [Mount(VAULT, "/a/b/hubfold")]),
        (["/srv/copies:/c"], "/c/absolute", [Mount(VAULT, VAULT)]),
        (["/srv/copies:/c"], "/c/above", [Mount("/srv/copies", "/srv/copies"), Mount(VAULT, VAULT)]),
    ],
)
def test_the_mount_that_mends_a_link_is_said_after_it_was_tried(
    made: list[str], path: str, mends: list[Mount]
) -> None:
    here = view(*made)
    hops, at = [], here.here(path) or ""
    while text := HOST[at]:
        at = plain(text if text.startswith("/") else f"{at.rpartition('/')[0]}/{text}")
        hops.append(at)
    assert mending(here, path, hops, unit) == mends
    after = here
    for mount in mends:
        after = after.adding(mount)
    assert after.reach(path) == Reached(after.reach(path).at, hops[-1], there=True)


def test_where_no_mount_mends_a_link_none_is_said() -> None:
    # Two names for one thing: nothing below /elsewhere has the end of what is sought.
    lost = view("/srv/copies:/c")
    assert mending(lost, "/c/relative", ["/elsewhere/other"], unit) == []
    assert mending(lost, "/c/loop", ["/srv/copies/loop"], unit) == []
