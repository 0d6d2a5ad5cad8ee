"""Records of the journal: read back as they were, refused by their line where hubfold would not have written them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubfold.disk.held import Attributes
from hubfold.disk.seen import Seen
from hubfold.errors import JournalDamaged
from hubfold.journal import records
from hubfold.journal.records import Before, Moved, Put, Removed, Repointed, Shared, Temporary
from tests.building.journals import (
    ASIDE,
    FARM,
    INTENT,
    KEEPER,
    LINK,
    MEND,
    REMOVED,
    RUN,
    RUN_NAME,
    written,
)
from tests.building.tiers import tries

PUT = Put("/hub/f", "/hub", "box", text="", inode=5, size=6, source="/models/f", mount="/")
RENEWED = replace(
    PUT,
    source="",
    before=Before("1a2b", 0o644, 9, 10, atime_ns=11, mtime_ns=12, xattrs={"user.a": b"\x00\xff"}),
)
MOVED = Moved("/hub", "/slow", "box", "model", "org/m", "/hub/m", ("1a2b",))
REPOINTED = Repointed(
    "/models/f", "/models", "/old/ab", "/v/ab", "/v/ab", temporary=".hubfold-run-1", mount="/"
)

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
    {"record": "put", **PUT.as_record()},
    {"record": "take", "path": "/hub/f", "source": "/models/f"},
    {"record": "move", **MOVED.as_record()},
    {"record": "repoint", **REPOINTED.as_record()},
    {"record": "unlinked", "path": "/hub/f"},
    {"record": "place", "path": "/hub", "fs": "uuid:1", "inside": "/models/hub", "inode": 7, "vault": "v1"},
    {"record": "share", "path": "/hub/f", "root": "/hub", "mode": [0o600, 0o660], "gid": [10, 11]},
    {
        "record": "release",
        "path": "/v/o",
        "root": "/hub",
        "name": "/hub/b",
        "xxh3_128": "a" * 32,
        "mtime_ns": 5,
    },
    {"record": "put", **RENEWED.as_record()},
]


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
    assert (log.puts, log.moved, log.repointed) == (
        [PUT, RENEWED],
        [MOVED],
        [REPOINTED],
    ) and log.unlinked == ["/hub/f"]
    assert log.mends == {1: replace(MEND, new=22)} and log.mended == {1}
    assert log.shared == [Shared("/hub/f", "/hub", (0o600, 0o660), (10, 11))]
    [released] = log.released
    assert (released.path, released.root, released.name) == ("/v/o", "/hub", "/hub/b")
    assert (released.xxh3_128, released.mtime_ns) == ("a" * 32, 5)
    assert INTENT.attributes == Attributes(0o644, 9, 10, 11, 12, {"user.a": b"\x00\xff"})


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
        if (record["record"], field) not in (("object", "keeper"), ("intent", "link"), ("take", "source"))
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
    if record["record"] == "put" and field in ("of", "digest", "before"):
        return
    if record["record"] == "remove" and field not in ("path", "bytes", "root"):
        return
    refused(tmp_path, *before, {name: value for name, value in record.items() if name != field})


def test_what_was_put_came_from_an_absolute_path_or_from_none(tmp_path: Path) -> None:
    assert written(tmp_path, RUN, {"record": "put", **replace(PUT, source="").as_record()}).puts
    wrong = {"record": "put", **replace(PUT, source="models/m").as_record()}
    assert "no absolute path" in refused(tmp_path, RUN, wrong)


@pytest.mark.parametrize(
    ("number", "field"),
    [
        *((1, "path"), (2, "path"), (2, "root"), (6, "path"), (6, "root"), (7, "path")),
        *((14, name) for name in ("path", "root")),
        *((3, name) for name in ("path", "root", "target", "keeper", "keeper_root", "locks")),
        *((8, name) for name in ("path", "root", "temporary")),
        *((9, name) for name in ("path", "root", "temporary")),
        *((11, name) for name in ("path", "root", "kept")),
        *((16, name) for name in ("path", "root")),
        (17, "path"),
        *((18, name) for name in ("source", "target", "home")),
        *((19, name) for name in ("path", "root", "target")),
        (20, "path"),
        *((21, name) for name in ("path", "inside")),
        *((22, name) for name in ("path", "root")),
        *((23, name) for name in ("path", "root")),
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


def test_a_removal_of_what_lies_outside_its_copy_is_refused(tmp_path: Path) -> None:
    record = {"record": "remove", **REMOVED.as_record()}
    assert "no part of" in refused(tmp_path, RUN, {**record, "path": "/models/mine"})
    assert "no absolute path" in refused(tmp_path, RUN, {**record, "copy": "models/m"})


@settings(max_examples=tries(25, 100), deadline=None, suppress_health_check=list(HealthCheck))
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


def test_what_was_to_be_removed_is_known_again_by_what_it_was() -> None:
    file, link = Seen(None, 1, 3, 7, 9), Seen("there", 1, 4, 1, 9)
    assert Removed("/f", 7, inode=3, mtime_ns=9).is_still(file)
    assert not Removed("/f", 8, inode=3, mtime_ns=9).is_still(file)
    assert not Removed("/f", 7, inode=3, mtime_ns=9).is_still(link)
    assert Removed("/l", 1, text="there").is_still(link) and not Removed("/l", 1, text="else").is_still(link)
    assert Removed("/f", 7).is_still(file) and not Removed("/f", 7, copy="/copy").is_still(file)
