"""Questions about many hosts, and files that are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hubfold.errors import HubfoldError, RootError
from hubfold.fleet import ask, export, questions
from hubfold.reports.fleet import FleetReport
from tests.building.exports import HUB, SCANNED, file, host, needed, sha256

needed()

import pyarrow  # noqa: E402
import pyarrow.parquet as parquet  # noqa: E402

WEEK = 7 * 86_400.0


def asked(folder: Path, *names: str, **options: Any) -> FleetReport:
    return ask.ask(ask.exported_at([str(folder)]), names, stale_after=WEEK, **options)


def answer(folder: Path, name: str, **options: Any) -> list[dict[str, Any]]:
    (found,) = asked(folder, name, **options).answers
    return found.records


def blob(content: str, model: str = "a/b", revision: str = "r1", **told: Any) -> Any:
    root = told.pop("root", HUB)
    path = f"{root}/models--{model.replace('/', '--')}/blobs/{sha256(content)}"
    return file(path, content, root=root, repo_type="model", repo_id=model, revision=revision, **told)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Three hosts: all have x, two have y, each has something of its own."""
    host(tmp_path, "node1", blob("x"), blob("y"), blob("one", "c/d"))
    host(tmp_path, "node2", blob("x"), blob("y"), file("/m/copy", "x", root="/m"))
    host(tmp_path, "node3", blob("x", revision="r2"), blob("three", "e/f"))
    return tmp_path


def test_what_each_host_has(fleet: Path) -> None:
    assert answer(fleet, "hosts") == [
        {"host": "node1", "scanned": SCANNED, "files": 3, "bytes": 3 * 4096, "models": 2},
        {"host": "node2", "scanned": SCANNED, "files": 3, "bytes": 3 * 4096, "models": 1},
        {"host": "node3", "scanned": SCANNED, "files": 2, "bytes": 2 * 4096, "models": 2},
    ]


def test_what_a_shared_cache_would_save(fleet: Path) -> None:
    """Of x there are four and of y two; one of the four lies beside another one of its host."""
    assert answer(fleet, "saves") == [
        {"contents": 4, "copies": 8, "bytes": 8 * 4096, "saved": 4 * 4096, "saved_between_hosts": 4 * 4096}
    ]
    alone = fleet / "alone"
    alone.mkdir()
    host(alone, "node4", blob("z"), file("/m/z", "z", root="/m"))
    (only,) = answer(alone, "saves")
    assert (only["saved"], only["saved_between_hosts"]) == (4096, 0), "that one host can fold by itself"


def test_which_models_are_held_how_often(fleet: Path) -> None:
    held = answer(fleet, "held")
    assert [(one["model"], one["hosts"], one["revisions"]) for one in held] == [
        ("a/b", 3, 2),
        ("c/d", 1, 1),
        ("e/f", 1, 1),
    ]
    assert [one["model"] for one in answer(fleet, "held", limit=1)] == ["a/b"]


def test_what_only_one_host_has_whatever_it_is_called(fleet: Path) -> None:
    host(fleet, "node5", blob("three", "another/name"))
    assert [(one["host"], one["model"]) for one in answer(fleet, "only")] == [("node1", "c/d")]


def test_which_hosts_have_a_model(fleet: Path) -> None:
    found = asked(fleet, model="a/b").answers[0].records
    assert [(one["host"], one["revision"], one["files"]) for one in found] == [
        ("node1", "r1", 2),
        ("node2", "r1", 2),
        ("node3", "r2", 1),
    ]


def test_a_name_of_a_model_is_a_value_and_no_sql(fleet: Path) -> None:
    assert asked(fleet, model="a/b' OR '1'='1").answers[0].rows == ()
    assert asked(fleet, model="'; DROP VIEW files; --").answers[0].rows == ()


@pytest.mark.parametrize("size", [4096, 5000])
def test_what_differs_under_one_name(tmp_path: Path, size: int) -> None:
    told = {"root": "/m", "backend": "local-dir", "repo_type": "model", "repo_id": "a/b", "revision": "r1"}
    for number, (config, tune) in enumerate([("same", "v1"), ("same", "v2"), ("same", "v2")]):
        files = [file("/m/b/config.json", config, **told), file("/m/b/w/tuned.bin", tune, size=size, **told)]
        host(tmp_path, f"node{number}", *files)
    (found,) = answer(tmp_path, "differs")
    assert (found["model"], found["revision"], found["name"], found["contents"]) == (
        "a/b",
        "r1",
        "w/tuned.bin",
        2,
    )


def test_two_digests_of_one_file_do_not_differ_but_two_lengths_do(tmp_path: Path) -> None:
    told = {"root": "/m", "backend": "local-dir", "repo_type": "model", "repo_id": "a/b", "revision": "r1"}
    host(tmp_path, "node1", file("/m/a.bin", "x", **told), file("/m/b.bin", "x", **told))
    by_git = {"claims": {"git-sha1": "ab" * 20}}
    host(tmp_path, "node2", file("/m/a.bin", **by_git, **told), file("/m/b.bin", size=9, **by_git, **told))
    assert [one["name"] for one in answer(tmp_path, "differs")] == ["b.bin"]


def test_hosts_that_know_a_content_by_two_digests_are_brought_together(tmp_path: Path) -> None:
    xxh3 = {"xxh3_128": "ab" * 16}
    host(tmp_path, "node1", blob("x"))
    host(tmp_path, "node2", file("/m/x", root="/m", computed=xxh3))
    assert answer(tmp_path, "saves")[0]["copies"] == 2
    assert answer(tmp_path, "saves")[0]["saved"] == 0, "nobody knows that they are one"
    host(tmp_path, "node3", blob("x", computed=xxh3))
    assert answer(tmp_path, "saves")[0]["saved"] == 2 * 4096


def test_what_is_on_a_share_counts_once_whoever_has_it_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export._Told, "_share", lambda self, root: "nfs4:srv" if root == "/share" else None)
    for name in ("node1", "node2"):
        host(tmp_path, name, blob("x", root="/share", inode=9), blob("y"))
    saves = answer(tmp_path, "saves")[0]
    assert (saves["copies"], saves["saved"]) == (3, 4096)
    assert answer(tmp_path, "only") == []


def test_hosts_of_one_name_are_two(tmp_path: Path) -> None:
    host(tmp_path, "localhost", blob("x"), machine="a" * 32)
    host(tmp_path, "localhost", blob("x"), machine="b" * 32)
    assert [one["host"] for one in answer(tmp_path, "hosts")] == ["localhost-aaaaaaaa", "localhost-bbbbbbbb"]
    assert answer(tmp_path, "saves")[0]["saved_between_hosts"] == 4096


def test_stale_files_are_told_by_the_age_of_their_scan(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask.time, "time", lambda: SCANNED + WEEK + 1)
    assert {one.stale for one in asked(fleet, "hosts").files} == {True}
    monkeypatch.setattr(ask.time, "time", lambda: SCANNED - 60)
    assert {(one.stale, one.age) for one in asked(fleet, "hosts").files} == {(False, 0)}


def bad(folder: Path) -> dict[str, bytes | dict[str, str]]:
    good = next(folder.glob("node1*"))
    table = parquet.read_table(good)
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    parquet.write_table(table.replace_schema_metadata(None), folder / "foreign.parquet")
    parquet.write_table(
        table.replace_schema_metadata({**about, "hubfold.export": "2"}), folder / "newer.parquet"
    )
    parquet.write_table(
        table.drop_columns(["host"]).replace_schema_metadata(about), folder / "lacking.parquet"
    )
    texts = table.set_column(table.schema.get_field_index("size"), "size", pyarrow.array(["x"] * len(table)))
    parquet.write_table(texts.replace_schema_metadata(about), folder / "typed.parquet")
    (folder / "cut.parquet").write_bytes(good.read_bytes()[:-100])
    (folder / "empty.parquet").touch()
    os.link(good, folder / "pat[t]ern.parquet")
    return {}


def test_files_that_are_no_exports_of_today_are_left_out_and_told(fleet: Path) -> None:
    before = answer(fleet, "hosts")
    bad(fleet)
    (fleet / ".half.parquet.77").write_bytes(b"x")
    report = asked(fleet, "hosts")
    assert report.answers[0].records == before
    told = {Path(one.path).stem: one.message for one in report.warnings}
    assert told.keys() == {"foreign", "newer", "lacking", "typed", "cut", "empty", "pat[t]ern"}
    assert told["foreign"] == "it is no export of hubfold's"
    assert "format" in told["newer"]
    assert told["typed"] == told["lacking"] == "it has other columns than its format"


def test_where_none_can_be_read_it_says_why(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(HubfoldError, match=r"none of the files can be read: .*x\.parquet"):
        asked(tmp_path, "hosts")


def test_folders_files_and_patterns_name_exports(fleet: Path) -> None:
    names = [Path(path).name for path in ask.exported_at([str(fleet)])]
    assert [name.partition("-")[0] for name in names] == ["node1", "node2", "node3"]
    one = ask.exported_at([f"{fleet}/node2*", str(next(fleet.glob("node2*")))])
    assert [Path(path).name.partition("-")[0] for path in one] == ["node2"]
    for nothing in (f"{fleet}/nope*", str(fleet / "gone"), f"{fleet}/["):
        with pytest.raises(RootError, match="has no exported index"):
            ask.exported_at([nothing])


def test_the_sql_that_is_shown_is_what_is_asked(fleet: Path) -> None:
    import duckdb

    paths = ask.exported_at([str(fleet)])
    text = ask.explained(paths, ["hosts", "saves"])
    with duckdb.connect(":memory:") as database:
        for statement in text.split(";\n\n"):
            last = database.execute(statement).fetchall()
    assert last == list(asked(fleet, "saves").answers[0].rows)


def test_a_quote_in_a_path_is_no_end_of_a_text(tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    folder.mkdir()
    host(folder, "node1", blob("x"))
    assert len(answer(folder, "hosts")) == 1
    assert "it''s" in questions.view([f"{folder}/x"])
