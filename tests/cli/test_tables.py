"""Tables with room, without, and cut to a screen."""

from __future__ import annotations

import pytest

from hubfold.cli import tables
from hubfold.cli.tables import Column

MODELS = [
    Column("MODEL", name=True),
    Column("SIZE", right=True),
    Column("STATE"),
    Column("WHERE", below=True),
]
ROWS = [
    ["acme/base", "80.0M", "whole", "/data/base"],
    ["", "", "also there", "/copies/base"],
    ["acme/a-long-name-of-a-model-GGUF", "54.1G", "broken", "/data/long"],
    ["  only *Q4*", "", "", ""],
]
FOUND = [Column("SIZE", right=True), Column("MODEL", name=True), Column("FILE")]
LOADS = [["1.5G", "acme/base-with-a-name", "model-00001-of-00002.safetensors"], ["12B", "a/b", "x"]]


def table(width: int | None, columns: list[Column] = MODELS, rows: list[list[str]] = ROWS) -> list[str]:
    return [line.text for line in tables.lines(columns, rows, width)]


def cut(width: int, columns: list[Column] = FOUND, rows: list[list[str]] = LOADS) -> list[str]:
    return [line.text for line in tables.cut(columns, rows, width)]


def test_with_room_it_is_one_table() -> None:
    wide = [
        "MODEL                              SIZE  STATE       WHERE",
        "acme/base                         80.0M  whole       /data/base",
        "                                         also there  /copies/base",
        "acme/a-long-name-of-a-model-GGUF  54.1G  broken      /data/long",
        "  only *Q4*",
    ]
    assert table(None) == table(100) == table(65) == wide
    assert [line.title for line in tables.lines(MODELS, ROWS, None)] == [True, *[False] * 4]


def test_without_room_paths_stand_below_and_long_names_above() -> None:
    assert table(40) == [
        "MODEL                       SIZE  STATE",
        "acme/base                  80.0M  whole",
        "  /data/base",
        "  also there  /copies/base",
        "acme/a-long-name-of-a-model-GGUF",
        "                           54.1G  broken",
        "  /data/long",
        "  only *Q4*",
    ]


def test_paths_below_need_no_names_before_them() -> None:
    roots = [Column("SIZE", right=True), Column("BACKEND"), Column("ROOT", below=True)]
    rows = [["80.0M", "hub-cache", "/home/ana/.cache/huggingface/hub"], ["offline", "", "/mnt/usb"]]
    assert table(30, roots, rows) == [
        "   SIZE  BACKEND",
        "  80.0M  hub-cache",
        "  /home/ana/.cache/huggingface/hub",
        "offline",
        "  /mnt/usb",
    ]
    assert table(15, roots, rows)[:4] == [
        "/home/ana/.cache/huggingface/hub",
        "  size 80.0M,",
        "  backend",
        "  hub-cache",
    ]


def test_where_not_even_figures_fit_each_row_is_a_block() -> None:
    assert table(20)[:5] == [
        "acme/base",
        "  size 80.0M,",
        "  state whole,",
        "  where /data/base",
        "  state also there,",
    ]
    without_path = [["/data/base", "whole"], ["", "missing"]]
    found = tables.lines([Column("STATE"), Column("WHERE")], [row[::-1] for row in without_path], 14)
    assert [line.text for line in found] == ["/data/base", "  state whole", "state missing"]


def test_a_last_cell_that_is_too_long_goes_on_below_itself_and_a_path_below_its_row() -> None:
    columns = [Column("SIZE", right=True), Column("WHAT")]
    text = "a sentence that is too long for one line of this"
    assert [line.text for line in tables.lines(columns, [["1.2G", text], ["12B", "short"]], 37)] == [
        "SIZE  WHAT",
        "1.2G  a sentence that is too long for",
        "      one line of this",
        " 12B  short",
    ]
    path = "/data/with a space/" + "long/" * 5
    assert [line.text for line in tables.lines(columns, [["1.2G", path], ["12B", "/x"]], 37)] == [
        "SIZE  WHAT",
        "1.2G",
        f"  {path}",
        " 12B  /x",
    ]


@pytest.mark.parametrize("width", range(4, 80))
def test_a_view_is_as_wide_as_its_screen_and_its_figures_are_whole(width: int) -> None:
    lines = cut(width)
    assert all(tables.cells(line) <= width for line in lines)
    if width >= 20:
        assert [line.split()[0] for line in lines] == ["SIZE", "1.5G", "12B"]
    assert not any("…" in word for line in lines for word in line.split() if word[0].isdigit())


def test_a_view_shortens_names_before_it_leaves_them_out() -> None:
    assert cut(200)[1] == "1.5G  acme/base-with-a-name  model-00001-of-00002.safetensors"
    assert cut(48)[1] == "1.5G  acme/base-with-a-na…  model-00001-of-0000…"
    assert cut(31)[:2] == ["SIZE  MODEL", "1.5G  acme/base-with-a-name"]
    assert cut(4) == ["MOD…", "acm…", "a/b"]


def test_wide_characters_take_two_cells() -> None:
    assert cut(16, [Column("N", right=True), Column("M", name=True)], [["1", "模型" * 4]]) == [
        "N  M",
        "1  模型模型模型…",
    ]
