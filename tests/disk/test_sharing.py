"""What is made in a folder that several people use is open to whom the folder is, whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.disk.directory import Directory
from hubfold.disk.locks import take_lock

OTHERS = 60_123


@pytest.fixture(params=[0o077, 0o022], ids=["umask 077", "umask 022"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made(top: Path) -> tuple[int, int, int, int]:
    """The modes of a folder, a file with content, one that is noted in, and a lock."""
    with Directory.make_below(str(top), str(top / "a" / "b")) as folder:
        for name, noted in (("content", False), ("notes", True)):
            fd = folder.create_file(name, 0o644)
            folder.own_file(fd, noted=noted)
            os.close(fd)
    take_lock(str(top / "a" / "b" / "lock"), str(top)).release()
    here = top / "a" / "b"
    return mode(here), mode(here / "content"), mode(here / "notes"), mode(here / "lock")


@pytest.mark.parametrize(
    ("folder", "narrow"),
    [
        (0o2775, (0o2775, 0o644, 0o664, 0o664)),
        (0o775, (0o775, 0o644, 0o664, 0o664)),
        (0o2770, (0o2770, 0o640, 0o660, 0o660)),
        (0o755, (0o755, 0o644, 0o644, 0o644)),
        (0o750, (0o750, 0o640, 0o640, 0o640)),
        (0o700, (0o700, 0o600, 0o600, 0o600)),
        (0o1777, (0o775, 0o644, 0o664, 0o664)),
    ],
)
def test_what_is_new_has_the_bits_of_its_folder(
    tmp_path: Path, umask: int, folder: int, narrow: tuple[int, ...]
) -> None:
    top = tmp_path / "cache"
    top.mkdir()
    top.chmod(folder)
    now = made(top)
    # A wide umask gives more than the folder lets through; nobody gets by.
    assert (
        now == narrow
        if umask == 0o077
        else all(have & ~0o055 >= want & ~0o055 for have, want in zip(now, narrow, strict=True))
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders for another group")
def test_the_group_is_that_of_the_folder(tmp_path: Path, umask: int) -> None:
    top = tmp_path / "cache"
    top.mkdir()
    os.chown(top, -1, OTHERS)
    top.chmod(0o2775)
    made(top)
    assert {path.stat().st_gid for path in top.rglob("*")} == {OTHERS}


def test_a_group_that_cannot_be_had_gets_nothing_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o077)
    try:
        top = tmp_path / "cache"
        top.mkdir()
        real = os.fstat

        def elsewhere(fd: int) -> os.stat_result:
            st = real(fd)
            return os.stat_result((*st[:5], st.st_gid + 1, *st[6:10]))

        def refused(*arguments: object) -> None:
            raise PermissionError

        top.chmod(0o775)
        with Directory.open(str(top)) as folder:
            fd = folder.create_file("notes", 0o644)
            monkeypatch.setattr("hubfold.disk.directory.privileged", lambda: False)
            monkeypatch.setattr(os, "fstat", elsewhere)
            monkeypatch.setattr(os, "fchown", refused)
            folder.own_file(fd, noted=True)
            os.close(fd)
        monkeypatch.undo()
        assert mode(top / "notes") == 0o604
    finally:
        os.umask(before)
