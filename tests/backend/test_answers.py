"""What a backend answers is what the contract says, down to the fields, or it is no answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from hubfold.backend import Leftover, LeftoverKind, ModelPart, PartPlace, Removal, ShownFile, answers
from hubfold.backend.answers import Unfit
from hubfold.backend.changes import Kept, SharedContent, SharedPayload
from hubfold.backend.contract import Capabilities
from hubfold.content import LinkKind, Partial, Replica, Snapshot, SnapshotFile

STAT = os.stat("/")

#: What no path is, wherever one is asked for.
NO_PATHS = [
    "relative",
    "",
    ".",
    "~/x",
    "/a/../b",
    "/a/./b",
    "/a//b",
    "//a",
    "/a/",
    "/a/..",
    "/nul\0nul",
    "/\ud800",
    b"/bytes",
    Path("/path"),
    3,
    None,
]

FILE = SnapshotFile("config.json", "/root/config.json", 3)
SNAPSHOT = Snapshot(
    "org/name",
    "model",
    "a" * 40,
    ("main",),
    "/root",
    (FILE, replace(FILE, size=None)),
    "/root/home",
    {"config.json": 3},
    (Partial("/root/x.part", 3, "x"), Partial("/root/y.part", 0)),
)
REMOVAL = Removal(
    "/root",
    "box",
    "org/name",
    "model",
    path="/root/model",
    revisions=("a" * 40,),
    whole=True,
    links=("/elsewhere/link",),
    refs=("/root/ref",),
    folders=("/root/folder",),
    inside=("/root/folder/file",),
    aside="/root",
    records=("/root/note",),
    content=("/root/content",),
    shared=(SharedContent("/root/shared", ("/root/model", "/root/other")),),
    payloads=(SharedPayload("/root/payload", "/root/payload.refs"),),
    empty=("/root/model",),
    kept=(Kept("/root/odd", "somebody put it there"),),
)
LEFTOVER = Leftover(LeftoverKind.LOCK, "/root/lock", REMOVAL, 3)
PART = ModelPart("models/x", "/root/models/x")
PLACE = PartPlace(2, "models/x")
SHOWN = ShownFile("models/x", "config.json")
CAPABILITIES = Capabilities(True, frozenset(LinkKind), frozenset(), False, True, frozenset({"sha256"}))


def test_no_field_of_an_answer_is_forgotten() -> None:
    """A field that the contract gets one day has to be looked at from then on."""
    looked_at = {
        Capabilities: answers._CAPABILITIES,
        Replica: answers._REPLICA,
        Snapshot: answers._SNAPSHOT,
        Removal: answers._of_removal(),
    }
    for cls, checks in looked_at.items():
        assert {one.name for one in fields(cls)} == checks.keys(), cls


def replica(**given: Any) -> Replica:
    return Replica(**{"path": "/root/file", "stat": STAT, **given})


CHECKS: Mapping[type, Callable[[Any], Any]] = {
    Replica: lambda value: answers.replica(value, "it"),
    Snapshot: lambda value: answers.snapshot(value, "it"),
    Removal: lambda value: answers.removal(value, "it"),
    Leftover: lambda value: answers.leftover(value, "it"),
    ModelPart: lambda value: answers.part(value, "it"),
    PartPlace: lambda value: answers.part_place(value, "it"),
    ShownFile: lambda value: answers.shown(value, "it"),
    Capabilities: answers.capabilities,
}

GOOD = [
    *(replica(), replica(claims={"sha256": "0" * 64}), replica(path="/root/ä\udcff\n", repo_id="ä/b")),
    replica(
        repo_id="a/b",
        repo_type="model",
        revision="c",
        links=frozenset({LinkKind.REFLINK}),
        pinned=True,
        latest_mtime_ns=-5,
    ),
    *(SNAPSHOT, Snapshot("", "model", "", (), "/", ()), REMOVAL, Removal("/root", "box", "", "")),
    *(LEFTOVER, replace(LEFTOVER, mtime_ns=None), PART, ModelPart("x", text="../y"), PLACE, PartPlace(0)),
    *(SHOWN, ShownFile("x", content="")),
    *(CAPABILITIES, Capabilities()),
]


@pytest.mark.parametrize("value", GOOD, ids=lambda value: type(value).__name__)
def test_what_is_as_the_contract_says_comes_back(value: Any) -> None:
    for _ in range(3):
        assert CHECKS[type(value)](value) == value


def bad() -> Iterator[tuple[type, str, Any]]:
    """(class, field, what it must not be)."""
    texts = [3, None, b"bytes", ["x"], "\ud800"]
    for cls, names in {
        Replica: ["path"],
        Snapshot: ["path"],
        SnapshotFile: ["path"],
        Partial: ["path"],
        Leftover: ["path"],
        SharedContent: ["path"],
        SharedPayload: ["path", "record"],
        Kept: ["path"],
    }.items():
        yield from ((cls, name, value) for name in names for value in NO_PATHS)
    for name in ("path", "aside"):
        yield from ((Removal, name, value) for value in NO_PATHS if value != "")
    yield from ((Snapshot, "home", value) for value in NO_PATHS if value != "")
    yield from ((ModelPart, "source", value) for value in NO_PATHS if value != "")
    for name in ("links", "refs", "folders", "inside", "records", "content", "empty"):
        yield from ((Removal, name, (value,)) for value in NO_PATHS)
        yield from ((Removal, name, value) for value in ("/a", None, {"/a"}, {"/a": 1}, 3))
    for cls, text in (
        *((Snapshot, name) for name in ("repo_id", "repo_type", "revision")),
        *((Removal, name) for name in ("root", "backend", "repo_id", "repo_type", "kind")),
        *((SnapshotFile, "name"), (Kept, "reason")),
    ):
        yield from ((cls, text, value) for value in texts)
    for name in ("repo_id", "repo_type", "revision"):
        yield from ((Replica, name, value) for value in texts if value is not None)
    yield from ((Replica, "stat", value) for value in (None, (1,) * 10, 3))
    yield from (
        (Replica, "claims", value) for value in (None, [("sha256", "0")], {"sha256": 3}, {3: "0"}, "x")
    )
    yield from ((Replica, "links", value) for value in ((), ["reflink"], frozenset({"reflink"}), "reflink"))
    yield from ((Replica, "pinned", value) for value in (1, None, "yes"))
    yield from ((Replica, "latest_mtime_ns", value) for value in ("1", 1.5, True))
    yield from ((Snapshot, "refs", value) for value in ("main", (3,), None, {"main"}))
    yield from ((Snapshot, "files", value) for value in (None, "x", ("config.json",), (None,), {FILE: 1}))
    yield from ((Snapshot, "expected", value) for value in ({"x": "3"}, {"x": -1}, {3: 3}, [("x", 3)], 3))
    yield from ((Snapshot, "incomplete", value) for value in (None, ("/root/x",), 3))
    yield from ((SnapshotFile, "size", value) for value in (-1, "3", 1.5, True, 1 << 63))
    yield from ((Partial, "size", value) for value in (-1, None, "3"))
    yield from ((Removal, "revisions", value) for value in ("a", (3,), None))
    yield from ((Removal, field, value) for field in ("whole", "notes_stay") for value in (1, None))
    yield from ((Removal, "payloads", value) for value in (("/root/x",), None, (None,)))
    yield from ((Removal, "kept", value) for value in (("/root/x",), None))
    yield from ((Leftover, "kind", value) for value in ("stale lock", None))
    yield from ((Leftover, "removal", value) for value in (None, "x"))
    yield from ((Leftover, "mtime_ns", value) for value in ("3", 1.5))
    yield from (
        (ModelPart, "name", value) for value in ("/x", "", ".", "..", "../x", "a/../b", "a//b", "a/", 3, None)
    )
    yield from ((ModelPart, "text", value) for value in (3, b"x"))
    yield from (
        (ShownFile, "name", value) for value in ("/x", "", "..", "../x", "a//b", ".hubfold-1/x", 3, None)
    )
    yield from ((ShownFile, "file", value) for value in (3, None, b"x", ""))
    yield from ((ShownFile, "content", value) for value in (3, b"x", "both"))
    yield from ((PartPlace, "stage", value) for value in (None, "1", 1.5, True))
    yield from ((PartPlace, "unit", value) for value in ("/x", "..", "../x", None, 3))


WITHIN: Mapping[type, Callable[[Any], Any]] = {
    SnapshotFile: lambda one: replace(SNAPSHOT, files=(FILE, one)),
    Partial: lambda one: replace(SNAPSHOT, incomplete=(one,)),
    SharedContent: lambda one: replace(REMOVAL, shared=(one,)),
    SharedPayload: lambda one: replace(REMOVAL, payloads=(one,)),
    Kept: lambda one: replace(REMOVAL, kept=(one,)),
}
EXAMPLES: Mapping[type, Any] = {
    **{type(value): value for value in (FILE, SNAPSHOT, REMOVAL, LEFTOVER, PART, PLACE, SHOWN)},
    Partial: Partial("/root/x", 1),
    SharedContent: REMOVAL.shared[0],
    SharedPayload: REMOVAL.payloads[0],
    Kept: REMOVAL.kept[0],
    Replica: replica(),
}


def by_field() -> list[tuple[type, str, list[Any]]]:
    found: dict[tuple[type, str], list[Any]] = {}
    for cls, field, value in bad():
        found.setdefault((cls, field), []).append(value)
    return [(cls, field, values) for (cls, field), values in found.items()]


@pytest.mark.parametrize(
    ("cls", "field", "values"), by_field(), ids=lambda one: getattr(one, "__name__", None) or str(one)[:20]
)
def test_what_is_not_is_no_answer(cls: type, field: str, values: list[Any]) -> None:
    for value in values:
        made = replace(EXAMPLES[cls], **{field: value})
        if cls in WITHIN:
            made = WITHIN[cls](made)
        with pytest.raises(Unfit) as raised:
            CHECKS[type(made)](made)
        assert field in str(raised.value), value
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cls", CHECKS, ids=lambda cls: cls.__name__)
def test_something_else_is_no_answer(cls: type) -> None:
    for value in (None, 3, "text", {}, [], object(), cls):
        with pytest.raises(Unfit):
            CHECKS[cls](value)


def test_types_that_were_met_once_do_not_hide_what_is_in_them() -> None:
    """Of a million files the types are looked at by one look-up."""
    answers.replica(replica(claims={"sha256": "0" * 64}, repo_id="a/b"), "it")
    answers.replica(replica(links=frozenset({LinkKind.REFLINK})), "it")
    for wrong in (
        replica(path="relative"),
        replica(path="/a/../b"),
        replica(claims={"sha256": 3}),
        replica(claims={3: "0" * 64}),
        replica(repo_id="\ud800"),
        replica(path="/\ud800"),
        replica(links=frozenset({"reflink"})),
    ):
        with pytest.raises(Unfit):
            answers.replica(wrong, "it")


def test_what_could_change_later_is_taken_over_as_it_is_now() -> None:
    expected = {"config.json": 3}
    given = replace(
        SNAPSHOT,
        files=[FILE],
        refs=["main"],
        expected=MappingProxyType(expected),  # type: ignore[arg-type]
    )
    taken = answers.snapshot(given, "it")
    given.files.clear()  # type: ignore[attr-defined]
    expected["config.json"] = 4
    assert (taken.files, taken.refs, taken.expected) == ((FILE,), ("main",), {"config.json": 3})
    claims = {"sha256": "0" * 64}
    assert type(answers.replica(replica(claims=MappingProxyType(claims)), "it").claims) is dict


@pytest.mark.parametrize(
    ("given", "root"),
    [("/a/b", "/a/b"), ("/a/b/", "/a/b"), ("//a///b", "/a/b"), ("/", "/")],
)
def test_slashes_too_many_are_forgiven_where_a_user_wrote_them(given: str, root: str) -> None:
    assert answers.default_root(given, "it") == root


@pytest.mark.parametrize("given", ["a", "", "./a", "~", "/a/../b", "/a/.", None, 3, "/\0"])
def test_a_default_root_is_an_absolute_path(given: Any) -> None:
    with pytest.raises(Unfit):
        answers.default_root(given, "it")


@pytest.mark.parametrize("value", ["/a/path", b"/a/path", None, 3])
def test_one_value_is_no_several(value: Any) -> None:
    with pytest.raises(Unfit):
        answers.every(value, answers.path, "it")
