"""Sentences on a terminal, and what no terminal may break."""

from __future__ import annotations

import pytest

from hubfold.cli import prose

WIDTHS = (20, 33, 47, 80, 120, 200)
SENTENCE = (
    "left alone, 3 files: /data/a/very/long/path/to/model.safetensors is held by a program; "
    "`hubfold clean --older-than 0` frees it (see `x y`), and ’twas well-known"
)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_breaks_between_words_and_loses_none(width: int) -> None:
    lines = prose.lines(SENTENCE, width)
    assert " ".join(lines) == SENTENCE
    for line in lines:
        # A word that is longer stands alone.
        assert prose.cells(line) <= width or line.startswith(("/data", "`hubfold"))
    assert any("`hubfold clean --older-than 0`" in line for line in lines)
    assert any("`x y`)," in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("before", ["next: ", "acme/none is not there: ", ""])
def test_a_command_that_ends_it_is_whole(width: int, before: str) -> None:
    command = "hubfold consolidate --dry-run --min-size 5MB '/data/my models/模型'"
    *first, last = prose.lines(before + command, width)
    assert last.endswith(command) and (not first or last == command)


def test_hubfold_as_a_name_begins_no_command() -> None:
    text = "it was made by another tool, and hubfold leaves alone what it did not make itself"
    assert all(len(line) <= 30 for line in prose.lines(text, 30))


@pytest.mark.parametrize(
    "path",
    [
        "/data/my models/base/model.bin",
        "~/a folder with spaces/and/more",
        "'/data/with space'",
        "/data/two words here/models/base",
        "(/data/my models/base)",
    ],
)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_path_is_whole_whatever_spaces_it_has(path: str, width: int) -> None:
    lines = prose.lines(
        f"what lies there and is needed elsewhere: {path}: stays as it is, whatever comes", width
    )
    assert any(path in line for line in lines)
    assert all(path in line or len(line) <= width for line in lines)


def test_what_follows_a_path_is_not_taken_for_it() -> None:
    text = "/data/models does not exist, and neither does acme/base in any of them or anywhere else"
    assert prose.lines(text, 40) == [
        "/data/models does not exist, and neither",
        "does acme/base in any of them or",
        "anywhere else",
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_path_at_the_end_has_any_spaces(width: int) -> None:
    path = "/data/a  file of  mine.bin"
    lines = prose.lines("  removing, the last copy of it: ", width, path)
    assert lines[-1].endswith(path)
    assert "".join(lines).replace(" ", "") == f"removing, the last copy of it: {path}".replace(" ", "")
    assert all(line.startswith("  ") for line in lines)


def test_lines_begin_where_the_first_does() -> None:
    assert prose.lines("    a bit of text that goes on", 16) == [
        "    a bit of",
        "    text that",
        "    goes on",
    ]
    # Below what it is the figure of.
    assert prose.lines("12.3G  interrupted downloads, 3 files", 24) == [
        "12.3G  interrupted",
        "       downloads, 3",
        "       files",
    ]


@pytest.mark.parametrize("text", ["", "   ", "a  b", "in `backticks that nobody closed", "中" * 20, "/" * 40])
def test_what_fits_stays_as_it_is(text: str) -> None:
    assert prose.lines(text, 40) == [text]


def test_wide_characters_take_two_cells() -> None:
    assert prose.lines("中中 文", 5) == ["中中", "文"]


def test_what_is_glued_for_help_comes_back() -> None:
    text = "see `hubfold roots add` and the well-known --older-than 7d"
    glued = prose.glued(text)
    assert prose.unglued(glued) == text and len(glued) == len(text)
    assert [prose.unglued(word) for word in glued.split(" ")][1] == "`hubfold roots add`"
    assert "-" not in glued
