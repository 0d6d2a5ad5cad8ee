"""What little of a file tells of it where no listing says how long it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hubfold.content import SnapshotFile
from hubfold.library import sound
from hubfold.testing.trees import safetensors

WEIGHTS = safetensors("a", 9000)


def file(path: Path, content: bytes, **claims: str) -> SnapshotFile:
    path.write_bytes(content)
    return SnapshotFile(path.name, str(path), len(content), claims)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WEIGHTS, None),
        (WEIGHTS[:-1], "has 8999 bytes instead of the 9000"),
        (WEIGHTS + b"x", "has 9001 bytes instead of the 9000"),
        (WEIGHTS[:100], "its header alone takes 4104"),
        (WEIGHTS[:5], "too few"),
        (b"", "is empty"),
        (b"what is no safetensors file is not judged as one", None),
    ],
)
def test_a_safetensors_file_is_as_long_as_its_header_says(
    tmp_path: Path, content: bytes, said: str | None
) -> None:
    found = sound.fault(file(tmp_path / "model.safetensors", content))
    assert found is None if said is None else said in str(found)


@pytest.mark.parametrize("ending", ["bin", "gguf", "pt", "onnx", "h5"])
def test_weights_that_were_emptied_are_none(tmp_path: Path, ending: str) -> None:
    assert sound.fault(file(tmp_path / f"a.{ending}", b"")) == "is empty"
    assert sound.fault(file(tmp_path / f"a.{ending}", b"x")) is None
    assert sound.fault(file(tmp_path / "__init__.py", b"")) is None


def test_a_small_file_is_held_against_its_digest(tmp_path: Path) -> None:
    git = hashlib.sha1(b"blob 2\0{}").hexdigest()
    assert sound.fault(file(tmp_path / "config.json", b"{}", **{"git-sha1": git})) is None
    assert "git-sha1" in str(sound.fault(file(tmp_path / "config.json", b"[]", **{"git-sha1": git})))
    assert sound.fault(file(tmp_path / "a.bin", b"{}", sha256=hashlib.sha256(b"{}").hexdigest())) is None
    assert "sha256" in str(sound.fault(file(tmp_path / "a.bin", b"[]", sha256="0" * 64)))
    assert sound.fault(file(tmp_path / "a.bin", b"[]", xet="0" * 64)) is None, "nobody here computes that"
    assert sound.fault(file(tmp_path / "large.bin", bytes(sound.SMALL + 1), sha256="0" * 64)) is None


def test_what_is_no_file_does_not_hang_and_is_told_by_others(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    assert sound.fault(SnapshotFile("a.safetensors", str(tmp_path / "a.safetensors"), 9000)) is None
    assert sound.fault(SnapshotFile("b.safetensors", str(tmp_path / "b.safetensors"), 9000)) is None
    assert sound.fault(SnapshotFile("c.safetensors", "/nowhere", None)) is None
