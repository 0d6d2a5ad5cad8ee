"""`hubfold verify`."""

from __future__ import annotations

import os

from tests.building.program import Program, Scene


def test_verify_finds_everything_good(hubfold: Program, scene: Scene) -> None:
    hubfold("scan", "hf", "models")
    done = hubfold("verify", "hf", "models")
    assert done.code == 0
    assert "all good" in done.out


def test_verify_finds_a_flipped_bit_under_an_honest_name(hubfold: Program, scene: Scene) -> None:
    hubfold("scan", "hf", "models")
    st = scene.blob.stat()
    with scene.blob.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(scene.blob, ns=(st.st_atime_ns, st.st_mtime_ns))
    done = hubfold("verify", "hf", "models", "--json")
    assert done.code == 3
    assert set(done.json) == {"checked", "bytes_read", "problems"}
    (problem,) = done.json["problems"]
    assert problem["path"] == str(scene.blob)
    assert problem["kind"] in ("corrupt", "edited")
    text = hubfold("verify", "hf", "models")
    assert f"{problem['kind']}: {scene.blob}" in text.out
    assert "1 problem" in text.out
