"""The journal as text: what is written is read back, and what hubfold would not have written is refused by its line."""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubfold.content import LinkKind
from hubfold.disk.held import Attributes
from hubfold.disk.seen import Seen
from hubfold.errors import JournalDamaged, RunNotFound
from hubfold.journal import journal, records
from hubfold.journal.journal import Journal
from hubfold.journal.records import FarmLink, Intent, KeeperChange, Mend, Removed, Temporary
from hubfold.journal.run_log import RunLog

INTENT = Intent(
    number=1,
    path="/models/m\udcff\n",
    root="/models",
    backend="plain",
    link=LinkKind.SYMLINK,
    target="/v/objects/ab/abcd",
    text="../v/objects/ab/abcd",
    temporary=".hubfold-run-1",
    keeper="/hub/b",
    keeper_root="/hub",
    keeper_inode=5,
    keeper_mtime_ns=6,
    size=7,
    xxh3_128="ef" * 16,
    digests={"sha256": "ab" * 32},
    payload="1:8",
    inode=8,
    mode=0o644,
    uid=9,
    gid=10,
    atime_ns=11,
    mtime_ns=12,
    xattrs={"user.a": b"\x00\xff"},
    allocated=13,
    bytes=14,
    reason="local copy",
    mount="/",
    locks=("/hub/.locks/l",),
    keeper_mode=15,
)
KEEPER = KeeperChange("/hub/b", "/hub", 5, (0o644, 0o444), (1, 2))
FARM = FarmLink("/farm/m", "/farm", "../hub/b", "/hub/b", ".hubfold-run-farm", "before")
MEND = Mend(1, "/models/m", "/models", ".hubfold-mend", 21, "", 0, "/v/objects/ab/kept", "/hub/b")
ASIDE = {"path": "/hub/snap", "root": "/hub", "temporary": "/hub/.hubfold-aside", "mount": "/mnt"}
REMOVED = Removed("/models/m/f", 3, 23, 24, "", "/models/m", "/models", "local")
LINK = Removed("/hub/l", 0, text="../blobs/b")
RUN = {"record": "run", "version": 1, "command": "consolidate", "started": "2026-01-01T00:00:00Z"}

#: A record of each kind, after those which it needs.
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
RUN_NAME = "20260101-000000-000001"


def written(folder: Path, *records: dict[str, Any] | bytes) -> RunLog:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records]
    (folder / f"{RUN_NAME}.jsonl").write_bytes(b"".join(lines))
    return journal.read(str(folder), RUN_NAME)


def states(folder: Path, *records: str, before: tuple[dict[str, Any], ...] = ()) -> RunLog:
    """The log of an intent (if there are records about it) and these records about it."""
    about = [{"record": record, "number": 1, "temporary": ".hubfold-u"} for record in records]
    return written(
        folder, RUN, *([{"record": "intent", **INTENT.as_record()}] if about else []), *about, *before
    )


# -- what is written is read back --------------------------------------------------------------------------------------


def test_every_kind_of_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = written(tmp_path, *RECORDS)
    assert (log.path, log.run) == (str(tmp_path / f"{RUN_NAME}.jsonl"), RUN_NAME)
    assert (log.command, log.started) == ("consolidate", "2026-01-01T00:00:00Z")
    assert log.intents == {1: INTENT} and log.states == {1: "kept"} and log.reasons == {1: "it was changed"}
    assert log.restores == {1: ".hubfold-run-1-undo"} and log.objects == ["/v/objects/ab/abcd"]
    assert (
        log.keepers == [KEEPER]
        and log.farm_links == [FARM]
        and log.removals == [Removed("/hub/f", 3), REMOVED, LINK]
    )
    assert log.temporaries == [
        Temporary("/hub", "/hub/snap", "/hub/.hubfold-aside", True, mount="/mnt"),
        Temporary("/", "/made", "/.hubfold-made", False),
    ]
    assert log.made == ["/made"] and (log.ended, log.freed) == ("finished", 4)
    assert log.mends == {1: replace(MEND, new=22)} and log.mended == {1}
    assert INTENT.attributes == Attributes(0o644, 9, 10, 11, 12, {"user.a": b"\x00\xff"})


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


# -- what a log says of its run ----------------------------------------------------------------------------------------

END = {"record": "end", "state": "finished"}
STOPPED = {"record": "end", "state": "interrupted"}
UNDO, UNDONE, RECOVERED = {"record": "undo"}, {"record": "undone"}, {"record": "recovered"}


@pytest.mark.parametrize(
    ("records", "others", "state", "needs_recovery", "open_"),
    [
        ((), (), "unfinished", True, []),
        ((), (END,), "finished", False, []),
        ((), (STOPPED,), "interrupted", False, []),
        (("done",), (), "unfinished", True, []),
        (("done",), (END,), "finished", False, []),
        (("dropped",), (END,), "finished", False, []),
        ((), (RECOVERED,), "recovered", False, []),
        ((), (END, RECOVERED), "finished", False, []),
        (("restore",), (END, UNDO), "partly undone", True, [1]),
        (("done",), (END, UNDO), "partly undone", False, []),
        (("restore", "restored"), (END, UNDO), "partly undone", True, []),
        (("kept",), (END, UNDO), "partly undone", True, []),
        (("restored",), (END, UNDO, UNDONE), "undone", False, []),
        (("restored",), (END, UNDO, UNDONE, UNDO), "partly undone", True, []),
        ((), (END, UNDO), "partly undone", False, []),
    ],
)
def test_the_state_of_a_run(
    tmp_path: Path,
    records: tuple[str, ...],
    others: tuple[dict[str, Any], ...],
    state: str,
    needs_recovery: bool,
    open_: list[int],
) -> None:
    log = states(tmp_path, *records, before=others)
    assert (log.state, log.needs_recovery, log.open_numbers) == (state, needs_recovery, open_)


def test_a_run_that_has_just_begun_has_done_nothing(tmp_path: Path) -> None:
    log = written(tmp_path, RUN)
    assert log == RunLog(str(tmp_path / f"{RUN_NAME}.jsonl"), RUN_NAME, "consolidate", RUN["started"])
    assert (log.freed, log.ended, log.undo_begun, log.undone) == (0, None, False, False)


def test_an_announced_replacement_needs_recovery_whatever_the_end_says(tmp_path: Path) -> None:
    log = written(tmp_path, RUN, {"record": "intent", **INTENT.as_record()}, END)
    assert log.open_numbers == [1] and log.needs_recovery


def test_the_symlinks_that_a_run_made_are_those_not_taken_back(tmp_path: Path) -> None:
    intents = [
        INTENT,
        replace(INTENT, number=2, path="/models/hard", link=LinkKind.HARDLINK),
        replace(INTENT, number=3, path="/models/dropped"),
    ]
    records = [{"record": "intent", **intent.as_record()} for intent in intents]
    told = [
        {"record": "done", "number": 1},
        {"record": "done", "number": 2},
        {"record": "dropped", "number": 3},
    ]
    farm = {"record": "farm", **FARM.as_record()}
    log = written(tmp_path, RUN, *records, *told, farm, END)
    assert log.links_made() == [INTENT.path, "/farm/m"]
    assert written(tmp_path, RUN, farm, END, UNDO, UNDONE).links_made() == []


# -- what hubfold would not have written -------------------------------------------------------------------------------


def refused(folder: Path, *records: dict[str, Any] | bytes) -> str:
    with pytest.raises(JournalDamaged) as caught:
        written(folder, *records)
    assert str(caught.value).startswith(
        f"line {len(records)} of {folder}/{RUN_NAME}.jsonl is not what hubfold writes ("
    )
    assert "nothing was touched because of it" in caught.value.hint
    return str(caught.value)


#: What a field is replaced by: a wrong type for a text, a number, a list, an object.
WRONG = {str: 5, int: "5", list: "x", tuple: "x", dict: "x"}


@pytest.mark.parametrize(
    ("number", "field"),
    [
        (number, field)
        for number, record in enumerate(RECORDS)
        for field in record
        if (record["record"], field) not in (("object", "keeper"), ("intent", "link"))
    ],
)
def test_no_field_may_be_missing_or_of_another_type(tmp_path: Path, number: int, field: str) -> None:
    """But for what nobody reads, and what an older journal has not."""
    before, record = RECORDS[:number], RECORDS[number]
    wrong = {**record, field: WRONG[type(record[field])]}
    assert "5" in refused(tmp_path, *before, wrong) or isinstance(record[field], dict | tuple | list)
    if field in ("freed", "reason", "record", "keeper_mode", "mount") or (record["record"], field) == (
        "object",
        "keeper",
    ):
        return
    if record["record"] == "remove" and field not in ("path", "bytes", "root"):
        return
    refused(tmp_path, *before, {name: value for name, value in record.items() if name != field})


@pytest.mark.parametrize(
    ("number", "field"),
    [
        *((1, "path"), (2, "path"), (2, "root"), (6, "path"), (6, "root"), (7, "path")),
        *((14, name) for name in ("path", "root")),
        *((3, name) for name in ("path", "root", "target", "keeper", "keeper_root", "locks")),
        *((8, name) for name in ("path", "root", "temporary")),
        *((9, name) for name in ("path", "root", "temporary")),
        *((11, name) for name in ("path", "root", "kept")),
    ],
)
@pytest.mark.parametrize("path", ["hub/b", "/hub/../b", "/..", "/hub/\0b", ""])
def test_a_path_is_absolute_and_leads_nowhere_else(
    tmp_path: Path, number: int, field: str, path: str
) -> None:
    record = {**RECORDS[number], field: [path] if field == "locks" else path}
    assert f"{path!r} is no absolute path" in refused(tmp_path, *RECORDS[:number], record)


def test_two_dots_in_a_name_are_a_name(tmp_path: Path) -> None:
    intent = replace(INTENT, path="/models/a..b", temporary=".hubfold-a..b")
    assert written(tmp_path, RUN, {"record": "intent", **intent.as_record()}).intents == {1: intent}


@pytest.mark.parametrize("number", [3, 4, 6, 8, 9, 11])
@pytest.mark.parametrize(
    "name", ["precious", ".hubfold", ".hubfold-a\0", ".hubfold-" + "a" * 91, "-.hubfold-x"]
)
def test_a_temporary_has_a_name_that_hubfold_gives(tmp_path: Path, number: int, name: str) -> None:
    folder = "/hub/" if number in (8, 9) else ""
    refused(tmp_path, *RECORDS[:number], {**RECORDS[number], "temporary": folder + name})


@pytest.mark.parametrize("number", [3, 4, 6, 11])
def test_a_temporary_lies_beside_its_path(tmp_path: Path, number: int) -> None:
    for name in ("../.hubfold-x", ".hubfold-x/y", "/.hubfold-x"):
        refused(tmp_path, *RECORDS[:number], {**RECORDS[number], "temporary": name})


def test_the_longest_name_that_hubfold_gives() -> None:
    assert records.is_temporary(".hubfold-" + "a" * 90) and not records.is_temporary(".hubfold-" + "a" * 91)


@pytest.mark.parametrize("record", ["done", "dropped", "restore", "restored", "kept"])
def test_a_number_that_was_never_announced(tmp_path: Path, record: str) -> None:
    told = {"record": record, "number": 2, "temporary": ".hubfold-x"}
    assert "number 2 was never announced" in refused(tmp_path, *RECORDS[:4], told)


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": [1]},
        {"mode": [1, 2, 3]},
        {"mtime_ns": []},
        {"mtime_ns": [1, "2"]},
        {"mode": [True, 1]},
    ],
)
def test_a_change_has_a_before_and_an_after(tmp_path: Path, changes: dict[str, object]) -> None:
    refused(tmp_path, RUN, {**RECORDS[2], **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"link": "portal"},
        {"digests": {"sha256": 5}},
        {"digests": []},
        {"xattrs": {"user.a": 5}},
        {"xattrs": {"user.a": "!"}},
        {"locks": [5]},
        {"locks": None},
        {"size": True},
        {"size": 1.0},
    ],
)
def test_an_intent_has_the_form_of_an_intent(tmp_path: Path, changes: dict[str, object]) -> None:
    refused(tmp_path, RUN, {**RECORDS[3], **changes})


def test_a_journal_of_a_newer_version_is_told_as_such(tmp_path: Path) -> None:
    assert "version 2 is newer than this hubfold" in refused(tmp_path, {**RUN, "version": 2})


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"5\n",
        b'{"record": []}\n',
        b'{"record": "x"}\n',
        b"{}\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"9" * 5000 + b"\n",
    ],
)
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, line: bytes) -> None:
    refused(tmp_path, RUN, line)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["/a", "a/../b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("removed", "seen", "still"),
    [
        (REMOVED, Seen(None, 1, 23, 3, 24), True),
        (REMOVED, Seen(None, 1, 22, 3, 24), False),
        (REMOVED, Seen(None, 1, 23, 4, 24), False),
        (REMOVED, Seen(None, 1, 23, 3, 25), False),
        (REMOVED, Seen("../blobs/b", 1, 23, 3, 24), False),
        (LINK, Seen("../blobs/b", 1, 99, 9, 0), True),
        (LINK, Seen("elsewhere", 1, 99, 9, 0), False),
        (LINK, Seen(None, 1, 0, 0, 0), False),
        # An older journal knows no more than the path; it has no local copies.
        (Removed("/hub/f", 3), Seen(None, 1, 23, 3, 24), True),
        (Removed("/models/m/f", 3, copy="/models/m"), Seen(None, 1, 0, 3, 0), False),
    ],
)
def test_what_was_to_be_removed_is_known_again(removed: Removed, seen: Seen, still: bool) -> None:
    assert removed.is_still(seen) is still


def test_what_is_made_or_put_aside_says_where_its_file_system_is_mounted(tmp_path: Path) -> None:
    missing = str(tmp_path / "not" / "made" / "yet")
    with Journal.create(str(tmp_path / "runs"), "rm", "test") as book:
        for record in ("aside", "make"):
            book.announce(record, path=f"{missing}/x", root=missing, temporary=f"{missing}/.hubfold-x")
    for item in journal.read(str(tmp_path / "runs"), book.run).temporaries:
        assert os.path.ismount(item.mount) and missing.startswith(item.mount)


def test_a_removal_of_what_lies_outside_its_copy_is_refused(tmp_path: Path) -> None:
    record = {"record": "remove", **REMOVED.as_record()}
    assert "no part of" in refused(tmp_path, RUN, {**record, "path": "/models/mine"})
    assert "no absolute path" in refused(tmp_path, RUN, {**record, "copy": "models/m"})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_field_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(RECORDS) - 1))
    field = data.draw(st.sampled_from(sorted(RECORDS[number])))
    record = {**RECORDS[number], field: data.draw(JSON)}
    try:
        log = written(tmp_path, *RECORDS[:number], record, *RECORDS[number + 1 :])
    except JournalDamaged:
        return
    paths = [*log.objects, *log.made, *(removed.path for removed in log.removals)]
    paths += [path for removed in log.removals if removed.copy for path in (removed.copy, removed.root)]
    paths += [p for i in log.intents.values() for p in (i.path, i.root, i.keeper, i.keeper_root, i.target)]
    paths += [p for change in log.keepers for p in (change.path, change.root)]
    assert all(os.path.isabs(path) and "\0" not in path and ".." not in path.split("/") for path in paths)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_what_was_to_be_removed_is_known_again_by_what_it_was() -> None:
    file, link = Seen(None, 1, 3, 7, 9), Seen("there", 1, 4, 1, 9)
    assert Removed("/f", 7, inode=3, mtime_ns=9).is_still(file)
    assert not Removed("/f", 8, inode=3, mtime_ns=9).is_still(file)
    assert not Removed("/f", 7, inode=3, mtime_ns=9).is_still(link)
    assert Removed("/l", 1, text="there").is_still(link) and not Removed("/l", 1, text="else").is_still(link)
    assert Removed("/f", 7).is_still(file) and not Removed("/f", 7, copy="/copy").is_still(file)
