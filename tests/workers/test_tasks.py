"""What a worker does: it reads the very file that was meant, or says what it sees instead."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from hubfold.disk.identity import FileSystemNames
from hubfold.reading import digests
from hubfold.workers import tasks
from hubfold.workers.tasks import FileAnswer, FileTask
from tests.building.reading import job, noise


def asked(path: Path, *algorithms: str) -> FileTask:
    found = job(path, *algorithms)
    return tasks.travelling(found, FileSystemNames.now().of(found.path, found.signature.device))


def answered(task: FileTask) -> FileAnswer:
    (found,) = tasks.read_files("nonce", pickle.loads(pickle.dumps([task]))).files
    again: FileAnswer = pickle.loads(pickle.dumps(found))
    return again


def test_a_file_is_read_as_here(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(noise(100_000))
    task = asked(tmp_path / "a", "sha256", "xxh3_128")
    found = answered(task)
    assert found.digests == digests.read(job(tmp_path / "a", "sha256", "xxh3_128")).digests
    assert (found.filesystem, found.seen, found.problem) == (task.filesystem, task.seen, "")


def test_the_device_number_does_not_travel(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    st = os.lstat(tmp_path / "a")
    assert asked(tmp_path / "a").seen == (st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


def test_another_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    task = asked(tmp_path / "a", "sha256")
    os.replace(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").write_bytes(b"b")
    found = answered(task)
    assert found.seen != task.seen
    assert (found.digests, found.bytes_read) == ({}, 0)


def test_a_file_of_another_file_system_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    found = answered(asked(tmp_path / "a", "sha256")._replace(filesystem="ext4:0"))
    assert (found.digests, found.bytes_read) == ({}, 0)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    task = asked(tmp_path / "a", "sha256")
    os.unlink(tmp_path / "a")
    assert answered(task).problem == "No such file or directory"


def test_a_name_that_is_no_text_travels(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.bin")
    path.write_bytes(b"a")
    assert answered(asked(path, "sha256")).digests


def test_what_cannot_be_computed_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    assert answered(asked(tmp_path / "a", "none-such")).problem == "nothing computes none-such there"
