"""Backups as folders and as tar files: whole or none, gone on with, and read by what a member is, not by its name."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from hubfold.backend.changes import PartPlace
from hubfold.backend.contract import StorageBackend
from hubfold.disk.directory import Directory
from hubfold.errors import BackupError
from hubfold.transfer.archive import LIST, BackedUp, Part, dump, object_name
from hubfold.transfer.containers import MARKER, FolderWriter, TarWriter, Writer, reader

FORMS = pytest.mark.parametrize("form", ["backup", "backup.tar", "backup.tar.zst"])
ONE, OTHER = b"one content", b"another content"


class Shelf(StorageBackend):
    name = "shelf"

    def place(self, name: str) -> PartPlace | None:
        return PartPlace(0)


BACKENDS: Mapping[str, StorageBackend] = {"shelf": Shelf()}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def model(repo_id: str, *contents: bytes) -> BackedUp:
    parts = tuple(Part(f"m/{sha(one)[:8]}", sha(one), len(one), 5) for one in contents)
    return BackedUp("shelf", "model", repo_id, "1", parts)


def writer(path: Path) -> Writer:
    temporary = ".hubfold-test-backup"
    if path.suffix:
        return TarWriter(str(path), temporary)
    return FolderWriter(str(path), temporary, BACKENDS)


def add(into: Writer, content: bytes, told: str | None = None) -> bool:
    return into.add(told or sha(content), len(content), io.BytesIO(content), lambda _: None)


def contents(path: Path, wanted: Mapping[str, int]) -> dict[str, bytes]:
    return {name: file.read() for name, file in reader(str(path)).objects(wanted)}


@FORMS
def test_what_was_written_is_read_back_and_nothing_else_lies_there(tmp_path: Path, form: str) -> None:
    path, told = tmp_path / form, []
    made = writer(path)
    assert not made.has(sha(ONE), len(ONE))
    assert made.add(sha(ONE), len(ONE), io.BytesIO(ONE), told.append)
    assert made.has(sha(ONE), len(ONE))
    assert add(made, OTHER)
    made.finish([model("org/a", ONE, OTHER)])
    assert sum(told) == len(ONE)
    assert reader(str(path)).read_list(BACKENDS).models == (model("org/a", ONE, OTHER),)
    wanted = {sha(ONE): len(ONE), sha(OTHER): len(OTHER), sha(b"not there"): 9}
    assert contents(path, wanted) == {sha(ONE): ONE, sha(OTHER): OTHER}
    assert os.listdir(tmp_path) == [form]
    if path.is_dir():
        assert {one.name for one in path.iterdir()} == {"objects", LIST}


@FORMS
def test_a_content_whose_bytes_are_others_does_not_count(tmp_path: Path, form: str) -> None:
    made = writer(tmp_path / form)
    assert not add(made, ONE, told=sha(OTHER))
    assert not made.has(sha(OTHER), len(ONE))
    made.finish([])
    if form == "backup":
        assert not (tmp_path / form / object_name(sha(OTHER))).exists()


@FORMS
def test_a_backup_that_was_given_up_is_none(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    made = writer(path)
    add(made, ONE)
    made.abandon()
    if form != "backup":
        assert os.listdir(tmp_path) == []
        return
    assert {one.name for one in path.iterdir()} == {"objects", MARKER}
    with pytest.raises(BackupError, match="interrupted"):
        reader(str(path)).read_list(BACKENDS)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["backup.tar", "backup.tar.zst"])
@pytest.mark.parametrize("full", [False, True])
def test_a_file_that_was_given_up_has_nothing_more_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, full: bool
) -> None:
    """Neither when its parts are collected, nor because the disk is full: what is on stderr is for the user."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(unraisable.exc_value))
    if full:
        monkeypatch.setattr(Directory, "create_file", lambda *_: os.open("/dev/full", os.O_WRONLY))
    made = writer(tmp_path / form)
    with pytest.raises(OSError) if full else nullcontext():
        for _ in range(3):
            add(made, os.urandom(300_000))
    made.abandon()
    del made
    gc.collect()
    assert said == []
    assert os.listdir(tmp_path) == []


def test_a_folder_is_gone_on_with_and_keeps_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    add(writer(path), ONE)
    again = writer(path)
    assert again.has(sha(ONE), len(ONE)), "an interrupted one is gone on with"
    again.finish([model("org/a", ONE)])
    third = writer(path)
    assert third.has(sha(ONE), len(ONE))
    add(third, OTHER)
    third.finish(
        [model("org/b", OTHER), BackedUp("shelf", "model", "org/a", "1", model("org/a", OTHER).parts)]
    )
    assert {one.repo_id: one for one in reader(str(path)).read_list(BACKENDS).models} == {
        "org/a": model("org/a", OTHER),
        "org/b": model("org/b", OTHER),
    }, "the newer of two of one name"


def test_an_object_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    made = writer(path)
    add(made, ONE)
    (path / object_name(sha(ONE))).write_bytes(ONE[:3])
    assert not made.has(sha(ONE), len(ONE))
    assert add(made, ONE)
    assert (path / object_name(sha(ONE))).read_bytes() == ONE


@pytest.mark.parametrize("name", ["somebody's file", "objects"])
def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "backup"
    path.mkdir()
    (path / name).write_bytes(b"mine")
    with pytest.raises(BackupError, match="something else"):
        writer(path)
    assert {one.name: one.read_bytes() for one in path.iterdir()} == {name: b"mine"}


def test_a_damaged_list_stops_a_backup_from_going_on_over_it(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    writer(path).finish([])
    (path / LIST).write_bytes(b"{")
    with pytest.raises(BackupError, match="no backup that hubfold has written"):
        writer(path)


def test_a_finished_file_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    writer(path).finish([])
    before = path.read_bytes()
    with pytest.raises(BackupError, match="there already"):
        writer(path)
    assert path.read_bytes() == before


def test_a_symlink_in_the_place_of_an_object_leads_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    made = writer(path)
    add(made, ONE)
    made.finish([model("org/a", ONE)])
    (tmp_path / "secret").write_bytes(b"secret")
    object_ = path / object_name(sha(ONE))
    object_.unlink()
    object_.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        contents(path, {sha(ONE): 6})


def tar(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """A tar file of (name, type, bytes)."""
    with tarfile.open(path, "w") as file:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
            file.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/passwd", tarfile.REGTYPE, b""),
        ("../x", tarfile.REGTYPE, b""),
        (object_name(sha(ONE)), tarfile.SYMTYPE, b""),
        (object_name(sha(ONE)), tarfile.LNKTYPE, b""),
        (object_name(sha(ONE)), tarfile.FIFOTYPE, b""),
        ("objects", tarfile.DIRTYPE, b""),
        # Not where an object of this name lies.
        (f"objects/00/{'f' * 64}", tarfile.REGTYPE, b""),
        ("extra", tarfile.REGTYPE, b""),
    ],
)
def test_a_member_that_hubfold_would_not_have_written_spoils_the_file(
    tmp_path: Path, member: tuple[str, bytes, bytes]
) -> None:
    path = tar(tmp_path / "x.tar", member, (LIST, tarfile.REGTYPE, dump([])))
    with pytest.raises(BackupError, match="would not have written"):
        reader(str(path)).read_list(BACKENDS)
    with pytest.raises(BackupError):
        contents(path, {sha(ONE): 0})


def test_a_member_of_another_length_or_one_more_of_a_name_is_not_given(tmp_path: Path) -> None:
    name = object_name(sha(ONE))
    path = tar(
        tmp_path / "x.tar",
        (name, tarfile.REGTYPE, ONE + b"more"),
        (name, tarfile.REGTYPE, ONE),
        (name, tarfile.REGTYPE, b"x" * len(ONE)),
    )
    assert contents(path, {sha(ONE): len(ONE)}) == {sha(ONE): ONE}


@pytest.mark.parametrize("form", ["backup.tar", "backup.tar.zst"])
@pytest.mark.parametrize("length", [0, 1, 700, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, form: str, length: int) -> None:
    path = tmp_path / form
    made = writer(path)
    add(made, os.urandom(5000))
    made.finish([model("org/a", ONE)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 10_240 if form.endswith("tar") and length == -1 else length])
    with pytest.raises(BackupError):
        reader(str(path)).read_list(BACKENDS)


def test_what_is_no_backup_is_told(tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"")
    with pytest.raises(BackupError, match="is no backup"):
        reader(str(tmp_path / "file.zip"))
    with pytest.raises(BackupError, match="does not exist") as caught:
        reader(str(tmp_path / "file.zap"))
    assert "file.zip" in caught.value.hint
    with pytest.raises(BackupError, match=LIST):
        reader(str(tmp_path)).read_list(BACKENDS)
