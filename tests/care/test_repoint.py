"""A link gets another text in one step, and keeps what somebody put in its place; what a crash leaves is cleared."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.care import repoint
from hubfold.disk import exchange
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone
from hubfold.journal.records import Repointed
from hubfold.journal.run_log import RunLog


@pytest.fixture
def link(tmp_path: Path) -> Repointed:
    """A link that dangles, and the object that it is to lead to."""
    (tmp_path / "object").write_bytes(b"content")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to("../old/object")
    return Repointed(
        path=str(tmp_path / "root/link"),
        root=str(tmp_path / "root"),
        before="../old/object",
        text="../object",
        target=str(tmp_path / "object"),
        temporary=".hubfold-1",
        mount="/",
    )


def put(link: Repointed) -> None:
    with Directory.open(link.root) as directory:
        repoint.put(directory, link, link.before, link.text, through=link.target)


def log_of(link: Repointed) -> RunLog:
    return RunLog("", "run", "doctor", "", repointed=[link])


def test_it_reads_the_object_then_and_nothing_else_is_there(link: Repointed) -> None:
    put(link)
    assert Path(link.path).read_bytes() == b"content" and os.listdir(link.root) == ["link"]
    done = repoint.take_back(log_of(link))
    assert done.restored == [link.path] and os.readlink(link.path) == link.before
    assert repoint.take_back(log_of(link)).restored == [], "it is back already"


def test_what_is_no_such_link_any_more_stays(link: Repointed) -> None:
    os.unlink(link.path)
    Path(link.path).write_bytes(b"mine")
    with pytest.raises(LeftAlone, match="changed since"):
        put(link)
    assert Path(link.path).read_bytes() == b"mine" and os.listdir(link.root) == ["link"]
    assert [left.path for left in repoint.take_back(log_of(link)).left] == [link.path]


def test_a_text_that_would_not_read_the_object_is_not_given(link: Repointed, tmp_path: Path) -> None:
    (tmp_path / "object").rename(tmp_path / "kept")
    (tmp_path / "object").write_bytes(b"another")
    os.link(tmp_path / "kept", tmp_path / "target")
    with Directory.open(link.root) as directory, pytest.raises(LeftAlone, match="would not read"):
        repoint.put(directory, link, link.before, link.text, through=str(tmp_path / "target"))
    assert os.readlink(link.path) == link.before and os.listdir(link.root) == ["link"]


def test_a_file_that_comes_in_the_last_moment_goes_back(
    link: Repointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = exchange.swap_in

    def swap_in(directory: Directory, temporary: str, name: str) -> str:
        os.unlink(link.path)
        Path(link.path).write_bytes(b"mine")
        return real(directory, temporary, name)

    monkeypatch.setattr(exchange, "swap_in", swap_in)
    with pytest.raises(LeftAlone):
        put(link)
    assert Path(link.path).read_bytes() == b"mine" and os.listdir(link.root) == ["link"]


@pytest.mark.parametrize("temporary", ["../object", "../old/object"])
def test_a_link_that_a_crash_left_goes(link: Repointed, temporary: str) -> None:
    os.symlink(temporary, os.path.join(link.root, link.temporary))
    assert not repoint.settle_links(log_of(link)).left
    assert os.listdir(link.root) == ["link"]


def test_a_file_that_a_crash_caught_goes_back_unless_another_is_there(link: Repointed) -> None:
    caught = Path(link.root, link.temporary)
    caught.write_bytes(b"mine")
    assert not repoint.settle_links(log_of(link)).left
    assert Path(link.path).read_bytes() == b"mine"
    caught.write_bytes(b"older")
    assert "it stays" in repoint.settle_links(log_of(link)).left[0].reason and caught.exists()


def test_a_root_that_is_away_is_waited_for_or_given_up(link: Repointed) -> None:
    os.rename(link.root, link.root + "-away")
    assert repoint.settle_links(log_of(link)).waiting
    assert not repoint.settle_links(log_of(link), forget=True).waiting
    assert [left.path for left in repoint.take_back(log_of(link)).waiting] == [link.path]
