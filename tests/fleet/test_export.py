"""The file that a host writes of its index: whole or not at all, its user's own, and of the format."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hubfold.errors import HubfoldError
from hubfold.fleet import export, layout
from tests.building.exports import HUB, SCANNED, file, host, needed, sha256

needed()

import pyarrow.parquet as parquet  # noqa: E402


def rows(path: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = parquet.read_table(path).to_pylist()
    return found


def test_a_row_says_what_the_index_knows(tmp_path: Path) -> None:
    blob = file(
        f"{HUB}/models--a--b/blobs/{sha256('x')}", "x", repo_type="model", repo_id="a/b", revision="r1"
    )
    report = host(tmp_path, "node7", blob)
    (row,) = rows(report.path)
    assert row == {
        "host": "node7",
        "machine": row["machine"],
        "scanned": SCANNED,
        "share": None,
        "root": HUB,
        "backend": "hub-cache",
        "path": blob.path,
        "name": None,
        "repo_type": "model",
        "repo_id": "a/b",
        "revision": "r1",
        "size": 4096,
        "bytes": 4096,
        "first": True,
        "inode": blob.signature.inode,
        "uid": 1000,
        "algorithm": "sha256",
        "digest": bytes.fromhex(sha256("x")),
        "content": layout.key_of(sha256("x")),
        "xxh3": None,
    }
    kept = parquet.read_metadata(report.path).metadata
    assert kept[b"hubfold.export"] == b"1"
    assert kept[b"hubfold.export.host"] == b"node7"
    assert kept[b"hubfold.export.rows"] == b"1"


def test_a_payload_takes_its_space_once(tmp_path: Path) -> None:
    names = [file(f"{HUB}/{name}", "x", inode=5) for name in "abc"]
    report = host(tmp_path, "node7", *names)
    assert [(row["bytes"], row["first"]) for row in rows(report.path)] == [
        (4096, True),
        (0, False),
        (0, False),
    ]
    assert (report.files, report.bytes) == (3, 4096)


def test_paths_of_other_users_stay_out_unless_they_are_wanted(tmp_path: Path) -> None:
    files = [file("/m/mine", "x", uid=1000), file("/m/theirs", "y", uid=1001)]
    report = host(tmp_path, "node7", *files, owner=1000)
    assert [row["path"] for row in rows(report.path)] == ["/m/mine"]
    assert report.others == 1
    assert b"theirs" not in Path(report.path).read_bytes()
    assert host(tmp_path, "node7", *files).files == 2


def test_the_file_is_its_users_own_and_keeps_the_mode_that_he_gave_it(tmp_path: Path) -> None:
    path = host(tmp_path, "node7", file("/m/a", "x")).path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    os.chmod(path, 0o640)
    assert host(tmp_path, "node7", file("/m/a", "x")).path == path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_who_reads_it_while_it_is_written_anew_reads_the_old_one(tmp_path: Path) -> None:
    path = host(tmp_path, "node7", file("/m/a", "x")).path
    with open(path, "rb") as old:
        host(tmp_path, "node7", *(file(f"/m/{number}", str(number)) for number in range(9)))
        assert parquet.read_table(old).num_rows == 1
    assert len(rows(path)) == 9


def test_where_it_cannot_be_written_the_one_of_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = host(tmp_path, "node7", file("/m/a", "x")).path

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.os, "fsync", full)
    with pytest.raises(HubfoldError, match="cannot be written: no space left on the file system"):
        host(tmp_path, "node7")
    assert os.listdir(tmp_path) == [os.path.basename(path)], "no temporary file is left"
    assert len(rows(path)) == 1


def test_a_host_without_a_file_says_so_too(tmp_path: Path) -> None:
    assert rows(host(tmp_path, "node7").path) == []


def test_names_that_are_no_names_of_files_make_one(tmp_path: Path) -> None:
    for name in ("../../etc/x", "a b\n*?", "", ".", "é" * 200):
        path = Path(host(tmp_path, name, machine="0" * 32).path)
        assert path.parent == tmp_path
        assert path.name.isascii() and path.suffix == ".parquet"


def test_what_is_not_utf8_is_written_as_it_can_be_shown(tmp_path: Path) -> None:
    (row,) = rows(host(tmp_path, "node7", file(os.fsdecode(b"/m/\xff\n"), "x")).path)
    assert row["path"] == "/m/\\xff\n"


def test_a_file_of_a_model_has_its_name_below_the_models_folder(tmp_path: Path) -> None:
    told = {"root": "/m", "backend": "local-dir", "repo_type": "model", "repo_id": "a/b", "revision": "r"}
    files = [file(f"/m/b/{name}", name, **told) for name in ("config.json", "unet/config.json")]
    report = host(tmp_path, "node7", *files, file("/m/other.bin", "o", root="/m"))
    assert [row["name"] for row in rows(report.path)] == ["config.json", "unet/config.json", None]


def test_the_best_digest_names_a_content_and_xxh3_joins_it_to_those_who_know_no_other(tmp_path: Path) -> None:
    xxh3 = "ab" * 16
    (row,) = rows(host(tmp_path, "node7", file("/m/a", "x", computed={"xxh3_128": xxh3})).path)
    assert (row["algorithm"], row["xxh3"]) == ("sha256", layout.key_of(xxh3))
    (row,) = rows(host(tmp_path, "node7", file("/m/a", computed={"xxh3_128": xxh3})).path)
    assert (row["algorithm"], row["content"], row["xxh3"]) == ("xxh3_128", layout.key_of(xxh3), None)
    (row,) = rows(host(tmp_path, "node7", file("/m/a")).path)
    assert (row["algorithm"], row["digest"], row["content"]) == (None, None, None)


def test_inodes_of_64_bits_are_told(tmp_path: Path) -> None:
    (row,) = rows(host(tmp_path, "node7", file("/m/a", "x", inode=(1 << 64) - 1)).path)
    assert row["inode"] == -1
