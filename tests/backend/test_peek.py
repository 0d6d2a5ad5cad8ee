"""What a backend may ask of the disk without a walk: it gets an answer, never an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.backend import peek

#: Names that no file system has, and one that cannot be asked for.
ODD = ["/no such place", "/dev/null/below", "with\0zero", "x" * 5000]


@pytest.mark.parametrize("path", ODD)
def test_what_cannot_be_asked_is_not_there(path: str) -> None:
    assert not peek.names_in(path)
    assert not peek.is_folder(path)
    assert not peek.exists(path)
    assert peek.link_text(path) is None
    assert peek.text(path) is None


def test_a_note_is_read_and_nothing_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("gitdir: ü\n")
    assert peek.text(str(tmp_path / "note")) == "gitdir: ü\n"
    assert peek.text(str(tmp_path / "note"), limit=5) is None, "too long"
    (tmp_path / "link").symlink_to("note")
    (tmp_path / "bytes").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "bytes", "pipe", "."):
        assert peek.text(str(tmp_path / name)) is None, name
    assert peek.text(str(tmp_path / "link"), behind_links=True) == "gitdir: ü\n"
    for name in ("bytes", "pipe", ".", "nothing"):
        assert peek.text(str(tmp_path / name), behind_links=True) is None, name


def test_what_is_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "dangling").symlink_to("nothing")
    assert set(peek.names_in(str(tmp_path))) == {"folder", "file", "link", "dangling"}
    assert [peek.is_folder(str(tmp_path / name)) for name in ("folder", "link", "file", "dangling")] == [
        True,
        True,
        False,
        False,
    ]
    assert peek.exists(str(tmp_path / "dangling")), "a link that leads nowhere is there"
    assert peek.link_text(str(tmp_path / "dangling")) == "nothing"
    assert peek.link_text(str(tmp_path / "file")) is None


def test_a_path_is_normalised_by_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/")
    assert peek.absolute("a/../b") == os.path.join(os.getcwd(), "b")
    assert peek.absolute("link/..") == os.getcwd(), "not by what a link leads to"
