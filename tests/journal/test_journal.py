"""The journal as a file: what is announced is on the disk, whole lines only, and runs have names in their order."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubfold.errors import JournalDamaged, RunNotFound
from hubfold.journal import journal
from hubfold.journal.journal import Journal
from tests.building.journals import (
    ASIDE,
    FARM,
    INTENT,
    KEEPER,
    LINK,
    MEND,
    REMOVED,
    RUN,
    written,
)
from tests.building.tiers import tries

RECORDS: list[dict[str, Any]] = [
    RUN,
    {"record": "object", "path": "/v/objects/ab/abcd", "keeper": "/hub/b"},
    {"record": "keeper", **KEEPER.as_record()},
    {"record": "intent", **INTENT.as_record()},
    {"record": "restore", "number": 1, "temporary": ".hubfold-run-1-undo"},
    {"record": "kept", "number": 1, "reason": "it was changed"},
    {"record": "farm", **FARM.as_record()},
    {"record": "remove", "path": "/hub/f", "bytes": 3},
    {"record": "aside", **ASIDE},
    {"record": "make", "path": "/made", "root": "/", "temporary": "/.hubfold-made"},
    {"record": "end", "state": "finished", "freed": 4},
    {"record": "mend", **MEND.as_record()},
    {"record": "fresh", "inode": 22, "numbers": [1]},
    {"record": "mended", "numbers": [1]},
    {"record": "remove", **REMOVED.as_record()},
    {"record": "remove", **LINK.as_record()},
]


def test_a_new_journal_says_who_began_it_and_where(tmp_path: Path) -> None:
    with Journal.create(str(tmp_path / "runs"), "undo", "1.2.3") as book:
        pass
    (line,) = Path(book.path).read_text("ascii").splitlines()
    record = json.loads(line)
    assert record == {
        "record": "run",
        "version": 1,
        "run": book.run,
        "command": "undo",
        "started": record["started"],
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "hubfold": "1.2.3",
    }
    started = time.strptime(record["started"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(started) - time.mktime(time.gmtime())) < 100
    assert book.run.startswith(time.strftime("%Y%m%d-", time.gmtime())) and len(book.run) == 22
    assert os.stat(book.path).st_mode & 0o077 == 0
    log = journal.read(str(tmp_path / "runs"), book.run)
    assert (log.command, log.state) == ("undo", "unfinished")


def test_nothing_is_announced_before_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    real = os.fsync

    def sync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").resolve().name.encode())
        real(fd)

    with Journal.create(str(tmp_path), "test", "0") as book:
        monkeypatch.setattr(os, "fsync", sync)
        book.append("object", path="/x", keeper="/k")
        assert b"/x" not in Path(book.path).read_bytes()
        book.sync()
        assert Path(book.path).read_bytes().endswith(b'{"record": "object", "path": "/x", "keeper": "/k"}\n')
        assert synced == [os.path.basename(book.path).encode()]
    assert Path(book.path).read_bytes().count(b"\n") == 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(book._fd)


def test_a_new_journal_and_its_name_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def sync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    with Journal.create(str(tmp_path), "test", "0") as book:
        assert synced == [book.path, str(tmp_path)]


def test_a_short_write_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Journal.create(str(tmp_path), "test", "0")
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
        book.append("object", path="/x", keeper="/k")
        book.sync()
    book.close()
    assert journal.read(str(tmp_path), book.run).objects == ["/x"]


@pytest.mark.parametrize("reopened", [False, True])
def test_after_a_failed_write_the_next_record_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reopened: bool
) -> None:
    book = Journal.create(str(tmp_path), "test", "0")
    if reopened:
        book.close()
        book = Journal.reopen(journal.read(str(tmp_path), book.run))
    before = Path(book.path).read_bytes()
    real = os.write

    def full(fd: int, data: memoryview) -> int:
        if len(data) > 20:
            return real(fd, bytes(data)[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    book.append("object", path="/lost", keeper="/k")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            book.sync()
    assert Path(book.path).read_bytes() == before
    book.append("object", path="/x", keeper="/k")
    book.close()
    assert journal.read(str(tmp_path), book.run).objects == ["/x"]


def test_an_fsync_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    book = Journal.create(str(tmp_path), "test", "0")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            book.sync()
        with pytest.raises(OSError, match="Input/output"):
            book.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(book._fd)


def test_a_reopened_journal_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    with Journal.create(str(tmp_path), "test", "0") as book:
        book.append("object", path="/first", keeper="/k")
    whole = Path(book.path).read_bytes()
    Path(book.path).write_bytes(whole + b'{"record": "obj')
    log = journal.read(str(tmp_path), book.run)
    assert log.objects == ["/first"]
    with Journal.reopen(log) as again:
        assert (again.run, again.path) == (book.run, book.path)
        assert Path(book.path).read_bytes() == whole
        again.append("object", path="/second", keeper="/k")
    with Journal.reopen(log):
        pass
    assert journal.read(str(tmp_path), book.run).objects == ["/first", "/second"]


def test_two_who_write_one_journal_write_over_no_line_of_each_other(tmp_path: Path) -> None:
    """No two should; if two ever do (a command gone on with in two places), no record is lost and none has a hole."""
    with Journal.create(str(tmp_path), "test", "0") as first:
        with Journal.reopen(journal.read(str(tmp_path), first.run)) as second:
            for book, path in ((second, "/a"), (first, "/b"), (second, "/c"), (first, "/d")):
                book.append("object", path=path, keeper="/k")
                book.sync()
        Path(first.path).write_bytes(Path(first.path).read_bytes() + b'{"record": "obj')
        with Journal.reopen(journal.read(str(tmp_path), first.run)):
            pass
        first.append("object", path="/e", keeper="/k")
    assert b"\0" not in Path(first.path).read_bytes()
    assert journal.read(str(tmp_path), first.run).objects == ["/a", "/b", "/c", "/d", "/e"]


def test_what_could_not_be_made_durable_is_not_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the kernel may take lines for written that are not: what comes next would stand alone."""
    book = Journal.create(str(tmp_path), "test", "0")
    before = Path(book.path).read_bytes()

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    book.append("object", path="/lost", keeper="/k")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            book.sync()
    assert Path(book.path).read_bytes() == before
    book.append("object", path="/x", keeper="/k")
    book.close()
    assert journal.read(str(tmp_path), book.run).objects == ["/x"]


# -- names of runs -----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert (
        journal.run_names(str(tmp_path / "none")) == [] and list(journal.logs(str(tmp_path / "none"))) == []
    )
    with pytest.raises(RunNotFound, match=r"there is no run 'x'") as caught:
        journal.read(str(tmp_path / "none"), "x")
    assert caught.value.hint == "see `hubfold runs`"


def test_runs_are_listed_oldest_first_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).write_text(json.dumps(RUN) + "\n")
    assert journal.run_names(str(tmp_path)) == ["a", "b"]
    assert [log.run for log in journal.logs(str(tmp_path))] == ["a", "b"]
    with pytest.raises(RunNotFound):
        journal.read(str(tmp_path), "../" + tmp_path.name + "/a")


def test_two_runs_of_one_moment_and_one_number_have_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.gmtime(1_700_000_000)
    monkeypatch.setattr("time.gmtime", lambda: now)
    monkeypatch.setattr("secrets.randbelow", lambda below: 10)
    names = []
    for _ in range(2):
        with Journal.create(str(tmp_path), "test", "0") as book:
            names.append(book.run)
    assert names == ["20231114-221320-00000a", "20231114-221320-00000b"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("29991231-235959-000000", "29991231-235959-000001"),
        ("29991231-235959-00000f", "29991231-235959-000010"),
        ("29991231-235959-fffffe", "29991231-235959-ffffff"),
        ("29991231-235959-ffffff", "29991231-235959-ffffff0"),
        ("29991231-235959-ffffff0", "29991231-235959-ffffff00"),
    ],
)
def test_a_run_is_named_after_the_last_even_if_that_is_in_the_future(
    tmp_path: Path, last: str, expected: str
) -> None:
    (tmp_path / f"{last}.jsonl").touch()
    with Journal.create(str(tmp_path), "test", "0") as book:
        assert book.run == expected > last


def test_what_is_made_or_put_aside_says_where_its_file_system_is_mounted(tmp_path: Path) -> None:
    missing = str(tmp_path / "not" / "made" / "yet")
    with Journal.create(str(tmp_path / "runs"), "rm", "test") as book:
        for record in ("aside", "make"):
            book.announce(record, path=f"{missing}/x", root=missing, temporary=f"{missing}/.hubfold-x")
    for item in journal.read(str(tmp_path / "runs"), book.run).temporaries:
        assert os.path.ismount(item.mount) and missing.startswith(item.mount)


@settings(max_examples=tries(25, 100), deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=st.integers(0, 5000), junk=st.binary(max_size=20))
def test_whatever_bytes_a_journal_ends_in_it_is_read_or_refused(
    tmp_path: Path, cut: int, junk: bytes
) -> None:
    whole = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
    try:
        log = written(tmp_path, whole[: cut % len(whole)] + junk)
    except JournalDamaged:
        return
    assert set(log.states) <= set(log.intents) <= {1}


def test_what_is_announced_names_the_mount_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    """A later recovery is to know whether the drive is away, also where the folder is yet to be made."""
    root = tmp_path / "hub" / "not" / "yet"
    with Journal.create(str(tmp_path / "runs"), "restore", "test") as log:
        log.announce("make", path=f"{root}/model", root=str(root), temporary=f"{root}/.hubfold-1", size=1)
        log.sync()
    text = Path(log.path).read_text()
    told = json.loads(text.splitlines()[-1])
    above = [str(tmp_path), *map(str, tmp_path.parents)]
    assert told["mount"] == next(folder for folder in above if os.path.ismount(folder))
    assert (told["record"], told["root"], told["size"]) == ("make", str(root), 1)


def test_the_mounts_are_read_once_whatever_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    really = open

    def counted(path: Any, *arguments: Any, **words: Any) -> Any:
        read.extend([path] if path == "/proc/self/mountinfo" else [])
        return really(path, *arguments, **words)

    monkeypatch.setattr("builtins.open", counted)
    root = tmp_path / "root"
    with Journal.create(str(tmp_path / "runs"), "rm", "1") as book:
        for number in range(20):
            (root / str(number)).mkdir(parents=True)
            place = str(root / str(number) / "not" / "there")
            book.announce("make", path=place, root=place, temporary=str(root / f".hubfold-{number}"))
        book.append("end", state="finished")
    mounts = {item.mount for item in journal.read(str(tmp_path / "runs"), book.run).temporaries}
    assert len(mounts) == 1 and all(map(os.path.ismount, mounts))
    assert len(read) == 2, "once for what they are, once for what they allow"
