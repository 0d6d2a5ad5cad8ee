"""What counts as a model file, by its name and by its first bytes."""

from __future__ import annotations

import io
import json
import pickle
import sqlite3
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hubfold.reading import headers
from hubfold.scanning.kinds import Kind, against, beginning, by_name

_HEADER = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
SAFETENSORS = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(range(1, 9))


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    return buffer.getvalue()


def _database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "made.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    return (folder / "made.db").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *("model-00001-of-00002.safetensors", "Q4_K_M.GGUF", "ggml-base.en.bin", "model.onnx", "weights.h5"),
        *("flax_model.msgpack", "a.npz", "a.npy", "net.tflite", "tokenizer.model", "tokenizer.json"),
        *("model.onnx_data", "model.onnx.data", "model.ckpt-1000.data-00000-of-00002", "x.gguf.part1of2"),
        *("pytorch_model.bin", "pytorch_model-00001-of-00003.bin", "model.bin", "openvino_model.bin"),
    ],
)
def test_names_of_model_files(name: str) -> None:
    assert by_name(name) in (Kind.MODEL, Kind.SHARED)


@pytest.mark.parametrize(
    "name",
    [
        *("app.db", "places.sqlite", "libtorch.so", "libcudart.so.12", "notes.txt", "video.mp4", "iso.img"),
        *("backup.tar", "table.parquet", ".safetensors", ".bin", "model.safetensors.part", "a.gguf.part"),
        *("model.safetensors.aria2", "train.py", "a.exe", "log.jsonl"),
    ],
)
def test_names_of_other_files(name: str) -> None:
    assert by_name(name) is Kind.OTHER


def test_a_name_without_a_suffix_says_nothing() -> None:
    assert by_name("e" * 64) is Kind.NAMELESS


def test_what_begins_as_a_model_does(tmp_path: Path) -> None:
    for content in (SAFETENSORS, b"GGUF\3\0\0\0", b"tjgg\1\0\0\0", b"\x1c\0\0\0TFL3"):
        assert headers.is_a_model(content)
        assert headers.may_be_a_model(content)
    for content in (_zip(), pickle.dumps([]), b"\x89HDF\r\n\x1a\n", _tar()):
        assert headers.may_be_a_model(content)
        assert not headers.is_a_model(content), "others begin so too"
    for content in (Path(sys.executable).read_bytes()[:4096], _database(tmp_path), b"text", b"", b"\0" * 64):
        assert not headers.may_be_a_model(content)


def test_what_speaks_against_a_file(tmp_path: Path) -> None:
    def reason(name: str, content: bytes, *, all_files: bool = False) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return against(str(path), beginning(str(path)), all_files=all_files) or ""

    assert "does not begin as a model" in reason("state.pkl", b"\1\2\3\4" * 2000)
    assert reason("state.pkl", b"\1\2\3\4" * 2000, all_files=True) == ""
    assert reason("model.bin", b"\1\2\3\4" * 2000) == "", "raw weights begin with anything"
    assert "a disc image" in reason("game.bin", b"\0" + b"\xff" * 10 + b"\0" * 2000)
    assert reason("voice.pkl", _zip()) == ""
    assert "a program" in reason("tool.model", Path(sys.executable).read_bytes())
    assert "a database" in reason("cache.model", _database(tmp_path))
    for everything in (False, True):
        assert "nothing is written" in reason("a.safetensors", b"\0" * 9000, all_files=everything)
        assert reason("b.safetensors", SAFETENSORS, all_files=everything) == ""


def test_a_file_with_a_hole_for_a_header_is_not_written_yet(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with open(path, "wb") as file:
        file.seek(1 << 20)
        file.write(b"its end came first")
    assert "nothing is written" in (against(str(path), beginning(str(path)), all_files=False) or "")


def test_what_cannot_be_read_is_left_to_whoever_compares_it(tmp_path: Path) -> None:
    missing = str(tmp_path / "model.gguf")
    assert beginning(missing) is None
    assert against(missing, None, all_files=False) is None
