"""What the programs noted of files, whoever wrote it: believed while the mtime is that of the note."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from hubfold.backend import Folder
from hubfold.content import Root
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins.webui.hashes import Hashes, read, unpickled

SHA, OTHER = "a" * 64, "b" * 64


def claims(hashes: Hashes, folder: Path, name: str) -> dict[str, str]:
    walk = TreeWalk(Root(str(folder), "x"), {})
    return hashes.of(Folder(str(folder), os.listdir(folder), [], [], []), name, os.stat(folder / name), walk)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.safetensors").write_bytes(b"x")
    return tmp_path


def test_a_note_counts_while_the_file_has_the_mtime_of_it(folder: Path) -> None:
    mtime = os.path.getmtime(folder / "x.safetensors")
    hashes = Hashes()
    hashes.add("checkpoint/sub\\x.safetensors", json.loads(json.dumps({"mtime": mtime, "sha256": SHA})))
    assert claims(hashes, folder, "x.safetensors") == {"sha256": SHA}
    assert hashes.latest_mtime_ns("x.safetensors", os.stat(folder / "x.safetensors")) == (
        os.stat(folder / "x.safetensors").st_mtime_ns
    )
    os.utime(folder / "x.safetensors", (0, mtime - 5))
    assert claims(hashes, folder, "x.safetensors") == {}, "another file, of before"
    latest = hashes.latest_mtime_ns("x.safetensors", os.stat(folder / "x.safetensors"))
    assert latest is not None and latest / 1e9 <= mtime, "it would not be hashed again up to then"
    os.utime(folder / "x.safetensors", (0, mtime + 5))
    assert claims(hashes, folder, "x.safetensors") == {}
    assert hashes.latest_mtime_ns("x.safetensors", os.stat(folder / "x.safetensors")) is None


def test_of_two_notes_that_fit_neither_counts(folder: Path) -> None:
    mtime = os.path.getmtime(folder / "x.safetensors")
    hashes = Hashes()
    hashes.add("checkpoint/a/x.safetensors", {"mtime": mtime, "sha256": SHA})
    hashes.add("lora/x", {"mtime": mtime, "sha256": OTHER})
    assert claims(hashes, folder, "x.safetensors") == {}


@pytest.mark.parametrize(
    ("title", "told"),
    [
        (None, {}),
        ("x.safetensors", None),
        ("x.safetensors", {"mtime": "0", "sha256": SHA}),
        ("x.safetensors", {"mtime": 0.0, "sha256": SHA[:-1]}),
        ("x.safetensors", {"mtime": 0.0, "sha256": ["x"]}),
        ("x.safetensors", {"mtime": float("nan"), "sha256": SHA}),
    ],
)
def test_what_is_no_note_says_nothing(folder: Path, title: object, told: object) -> None:
    os.utime(folder / "x.safetensors", (0, 0))
    hashes = Hashes()
    hashes.add(title, told)
    assert claims(hashes, folder, "x.safetensors") == {}
    assert hashes.latest_mtime_ns("x.safetensors", os.stat(folder / "x.safetensors")) is None


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("/dev/null/never",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_taken_apart_and_never_loaded(protocol: int) -> None:
    told = {"mtime": 1700000000.125, "sha256": SHA}
    assert unpickled(pickle.dumps(told, protocol)) == told
    assert unpickled(pickle.dumps({**told, "x": Bomb()}, protocol)).items() >= told.items()
    assert unpickled(pickle.dumps({"mtime": Bomb(), "sha256": Bomb()}, protocol)).get("sha256") != SHA


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x80\xff", b"(" * 10_000, b"no pickle", pickle.dumps([1] * 100_000)]
)
def test_what_is_no_pickle_says_nothing(data: bytes) -> None:
    assert unpickled(data) == {}


def test_what_civitai_says_is_believed_of_the_one_file_of_that_name(folder: Path) -> None:
    (folder / "x.cm-info.json").write_text(json.dumps({"Hashes": {"SHA256": SHA.upper()}}))
    assert claims(Hashes(), folder, "x.safetensors") == {"sha256": SHA}
    (folder / "x.ckpt").write_bytes(b"x")
    assert claims(Hashes(), folder, "x.safetensors") == {}
    (folder / "x.ckpt").unlink()
    for text in ("[]", '{"Hashes": []}', '{"Hashes": {"SHA256": 3}}', "{", "[" * 100_000):
        (folder / "x.cm-info.json").write_text(text)
        assert claims(Hashes(), folder, "x.safetensors") == {}


def test_caches_that_are_none_are_no_stop(folder: Path) -> None:
    (folder / "cache/hashes").mkdir(parents=True)
    for data in (b"", b"[]", b'{"hashes": []}', b'{"hashes": {"a": 1}}', b"\xff", b"[" * 100_000):
        (folder / "cache.json").write_bytes(data)
        (folder / "cache/hashes/cache.db").write_bytes(data)
        hashes = read(str(folder), TreeWalk(Root(str(folder), "x"), {}))
        assert claims(hashes, folder, "x.safetensors") == {}
