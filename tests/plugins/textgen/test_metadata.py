"""What ``huggingface-metadata.txt`` says, whoever wrote it."""

from __future__ import annotations

import pytest

from hubfold_plugins.textgen.metadata import Metadata, parse

ONE, TWO = "1" * 64, "2" * 64


def test_what_the_program_writes_is_read() -> None:
    text = (
        "url: https://huggingface.co/org/base\nbranch: 4bit-32g\ndownload date: 2026-05-03 10:00:00\n"
        f"sha256sum:\n    {ONE} model.safetensors\n    {TWO} onnx/weights with spaces.onnx\n"
    )
    sums = {"model.safetensors": ONE, "weights with spaces.onnx": TWO}
    assert parse(text) == Metadata("org/base", "4bit-32g", sums)
    assert parse(text).claims("model.safetensors") == {"sha256": ONE}
    assert parse(text).claims("config.json") == {}


def test_of_two_files_that_come_to_one_name_nothing_is_believed() -> None:
    lines = f"{ONE} a/model.bin|{TWO} b/model.bin|{ONE} c/model.bin|{ONE} x.bin|{ONE} d/x.bin"
    text = "\n    ".join(["sha256sum:", *lines.split("|")])
    assert parse(text).claims("model.bin") == {}
    assert parse(text).claims("x.bin") == {"sha256": ONE}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "url: https://huggingface.co/../..\nbranch: ../x",
        "url: https://huggingface.co/one\nbranch: a b",
        "url: file:///etc/passwd",
        f"sha256sum:\n    {ONE[:-1]} short\n    {ONE}\n    {'G' * 64} no-hex\n    {'A' * 64} upper",
        "url" * 10_000,
        "\0\x1b[31m: \udcff",
    ],
)
def test_what_is_none_says_nothing(text: str) -> None:
    assert parse(text) == Metadata()
