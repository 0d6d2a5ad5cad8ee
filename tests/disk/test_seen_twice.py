"""Two open files that are one: found out by what moves when the other is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.disk import filesystem, fresh, seen_twice
from hubfold.disk.held import HeldFile
from tests.building.folding import Scene


def held(path: Path) -> HeldFile:
    return HeldFile(str(path.parent), str(path), lease=False)


def test_another_name_of_the_file_is_told_from_a_copy(tmp_path: Path) -> None:
    for name in ("file", "copy"):
        (tmp_path / name).write_bytes(b"bytes")
    os.link(tmp_path / "file", tmp_path / "name")
    files = {name: held(tmp_path / name) for name in ("file", "copy", "name")}
    try:
        found = seen_twice.views(files["file"], [files["copy"], files["name"]])
        assert found == [files["name"]]
        # A second time in the same tick of the clock.
        assert seen_twice.views(files["file"], [files["copy"], files["name"]]) == [files["name"]]
    finally:
        for one in files.values():
            one.close()


def test_nothing_but_the_ctime_moves(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    path.chmod(0o640)
    before = os.stat(path)
    one = held(path)
    try:
        seen_twice.views(one, [one])
    finally:
        one.close()
    after = os.stat(path)
    assert after.st_ctime_ns > before.st_ctime_ns
    assert (after.st_mode, after.st_mtime_ns, after.st_size) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_size,
    )


def test_what_may_not_be_touched_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"bytes")

    def refused(fd: int, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(seen_twice, "set_mode", refused)
    one = held(tmp_path / "file")
    try:
        assert seen_twice.views(one, [one]) is None
    finally:
        one.close()


def test_the_ctime_is_what_the_kernel_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    with open(path, "rb") as file:
        assert fresh.ctime_ns(file.fileno()) == os.stat(path).st_ctime_ns


# what becomes of it in a run


@pytest.fixture
def stacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """All file systems may show the files of others."""
    monkeypatch.setattr(filesystem, "_ITS_OWN", frozenset())
    monkeypatch.setattr(filesystem, "_STACKED", frozenset(kind for kind, _ in filesystem._mounts().values()))
    return Scene(tmp_path)


def three(scene: Scene) -> list[Path]:
    root = scene.root("models")
    return [scene.file(root, name, b"weights" * 1000) for name in ("a", "b", "c")]


def test_a_victim_that_is_its_keeper_is_left_and_a_copy_beside_it_is_folded(
    stacked: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = three(stacked)
    monkeypatch.setattr(seen_twice, "views", lambda keeper, victims: victims[:1])
    outcomes = stacked.apply(stacked.plan(*files))
    assert sorted((one.one_file, bool(one.error)) for one in outcomes) == [(False, False), (True, True)]
    left = next(one for one in outcomes if one.error)
    assert "is the same file as" in left.error
    assert stacked.log().states[1] == "dropped" and len({path.stat().st_ino for path in files}) == 2


def test_where_that_cannot_be_told_the_victim_is_left(
    stacked: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = three(stacked)
    monkeypatch.setattr(seen_twice, "views", lambda keeper, victims: None)
    outcomes = stacked.apply(stacked.plan(*files))
    assert len(outcomes) == 2 and all("cannot be told" in one.error for one in outcomes)
    assert len({path.stat().st_ino for path in files}) == 3
