"""What requests of the Hub's clients mean, and what is answered: words in, words out."""

from __future__ import annotations

import pytest

from hubfold.models.names import Name
from hubfold.serving import protocol
from hubfold.serving.protocol import Asked
from hubfold.serving.shelf import Shelved, ShelvedModel, ShelvedRevision

MODEL, SHORT, DATA = Name("model", "org/base"), Name("model", "gpt"), Name("dataset", "org/data")
SHA = "a" * 64
LARGE = Shelved("weights/model.bin", 7, "sha256", SHA, ("/one",))
SMALL = Shelved("config.json", 2, "git-sha1", "b" * 40, ("/two",))
REVISION = ShelvedRevision(
    "c" * 40, {one.name: one for one in (LARGE, SMALL)}, frozenset([LARGE.name, SMALL.name])
)


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("/api/models/org/base", Asked("info", MODEL)),
        ("/api/models/gpt", Asked("info", SHORT)),
        ("/api/models/gpt/revision/v1", Asked("info", SHORT, "v1")),
        ("/api/models/org/base/revision/refs%2Fpr%2F1", Asked("info", MODEL, "refs/pr/1")),
        ("/api/datasets/org/data/tree/main", Asked("tree", DATA)),
        ("/api/models/org/base/tree/main/sub/dir", Asked("tree", MODEL, "main", "sub/dir")),
        ("/api/models/org/base/paths-info/main", Asked("paths-info", MODEL)),
        ("/api/models/org/base/refs", Asked("refs", MODEL)),
        ("/org/base/resolve/main/a/b%20c.txt", Asked("file", MODEL, "main", "a/b c.txt")),
        ("/gpt/resolve/main/x", Asked("file", SHORT, "main", "x")),
        ("/datasets/org/data/resolve/refs%2Fpr%2F1/x", Asked("file", DATA, "refs/pr/1", "x")),
        ("/spaces/org/app/resolve/main/app.py", Asked("file", Name("space", "org/app"), "main", "app.py")),
        (f"/.hubfold/sha256/{SHA}", Asked("content", path=SHA)),
    ],
)
def test_what_clients_ask(target: str, meant: Asked) -> None:
    assert protocol.asked(target.encode()) == meant


@pytest.mark.parametrize(
    "target",
    [
        *(
            "",
            "/",
            "//",
            "/api",
            "/api/",
            "/api/models",
            "/api/models/",
            "/api/models/a/b/c",
            "/api/whoami-v2",
        ),
        *(
            "http://elsewhere/org/base/resolve/main/x",
            "/.hubfold/sha256/../../etc/passwd",
            "/.hubfold/sha256/AA",
        ),
        *("/org/base/resolve/main", "/resolve/main/x", "/org/base/raw/main/x", "/" + "a" * 9000),
    ],
)
def test_what_is_nothing_of_it(target: str) -> None:
    assert not protocol.asked(target.encode()).what


def test_a_path_upwards_is_a_name_as_any_other() -> None:
    assert protocol.asked(b"/org/base/resolve/main/../../../etc/passwd").path == "../../../etc/passwd"


def test_a_tree_as_the_hub_tells_it() -> None:
    folder, *files = protocol.tree(REVISION, "", recursive=True) or []
    assert (folder["type"], folder["path"]) == ("directory", "weights")
    small, large = files
    assert small == {"type": "file", "oid": "b" * 40, "size": 2, "path": "config.json"}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA}\nsize 7\n"
    assert large["lfs"] == {"oid": SHA, "size": 7, "pointerSize": len(pointer)}
    assert [one["path"] for one in protocol.tree(REVISION, "", recursive=False) or []] == [
        "weights",
        "config.json",
    ]
    assert [one["path"] for one in protocol.tree(REVISION, "weights", recursive=False) or []] == [LARGE.name]
    assert protocol.tree(REVISION, "nowhere", recursive=True) is None
    assert [one["path"] for one in protocol.paths_info(REVISION, ["weights", "x", LARGE.name])] == [
        "weights",
        LARGE.name,
    ]


def test_refs_that_are_branches_and_those_with_a_path() -> None:
    told = protocol.refs(ShelvedModel({}, {"main": "c" * 40, "refs/pr/1": "d" * 40}))
    assert [one["ref"] for one in told["branches"]] == ["refs/heads/main", "refs/pr/1"]


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        *(
            (None, None),
            ("bytes=0-", (0, 10)),
            ("bytes=4-", (4, 10)),
            ("bytes=4-4", (4, 5)),
            ("bytes=4-99", (4, 10)),
        ),
        *(("bytes=-3", (7, 10)), ("bytes=-99", (0, 10)), ("bytes=0-1,4-5", None), ("lines=1-2", None)),
        *(("bytes=5-4", None), ("bytes=-", None), ("bytes=" + "9" * 30 + "-", None)),
    ],
)
def test_ranges(asked: str | None, span: tuple[int, int] | None) -> None:
    assert protocol.span({"range": asked} if asked else {}, 10, '"x"') == span


def test_a_range_behind_the_end_and_one_of_another_file() -> None:
    for beyond in ("bytes=10-", "bytes=10-12"):
        with pytest.raises(protocol.NotSatisfiable):
            protocol.span({"range": beyond}, 10, '"x"')
    assert protocol.span({"range": "bytes=4-", "if-range": '"y"'}, 10, '"x"') is None
    assert protocol.span({"range": "bytes=4-", "if-range": '"x"'}, 10, '"x"') == (4, 10)
