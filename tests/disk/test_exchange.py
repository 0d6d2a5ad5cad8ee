"""A name in the place of another: at once, or by a second name for a moment."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hubfold.disk import directory as fsops
from hubfold.disk import exchange
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone


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
