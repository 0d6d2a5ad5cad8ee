"""What a line of a table holds at each width; lines of text, broken."""

from __future__ import annotations

import pytest

pytest.importorskip("textual", reason="the extra `ui` is not installed")

from hubfold.ui.rows import Row
from hubfold.ui.table import Column, broken, cell, fitted


def nothing(row: Row) -> str:
    return ""


COLUMNS = (
    Column("name", "name", nothing),
    Column("size", "size", nothing, 7, right=True, drops=1),
    Column("frees", "frees", nothing, 7, right=True),
    Column("used", "last use", nothing, 9, drops=2),
    Column("place", "place", nothing, drops=3, keeps_end=True),
)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (200, ["name", "size", "frees", "used", "place"]),
        (80, ["name", "size", "frees", "used", "place"]),
        (60, ["name", "size", "frees", "used"]),
        (45, ["name", "size", "frees"]),
        (20, ["name", "frees"]),
    ],
)
def test_what_matters_least_goes_first_and_all_cells_are_used(width: int, titles: list[str]) -> None:
    found = fitted(COLUMNS, width)
    assert [column.title for column, _ in found] == titles
    assert 2 + sum(room for _, room in found) + len(found) - 1 == width


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("short", "short   "),
        ("org/a-long-name", "org/a-l…"),
        ("\x1b[2J", "\\x1b[2J "),
        ("日本語の名前", "日本語… "),
    ],
)
def test_a_cell_is_as_wide_as_its_column(text: str, told: str) -> None:
    assert cell(text, 8, COLUMNS[0]) == told


def test_of_a_path_the_end_is_seen_and_figures_stand_right() -> None:
    assert cell("/mnt/drive/hub/models--org--name", 12, COLUMNS[4]).startswith("…")
    assert cell("/mnt/drive/hub/models--org--name", 12, COLUMNS[4]).rstrip().endswith("--name")
    assert cell("1.5G", 7, COLUMNS[1]) == "   1.5G"


@pytest.mark.parametrize("width", [10, 20, 33, 80])
@pytest.mark.parametrize(
    "text", ["", "short", "  /a/path/that/has/no/spaces/" + "x" * 90, "words that are " * 9, "日本語" * 30]
)
def test_a_broken_line_loses_nothing(text: str, width: int) -> None:
    from rich.cells import cell_len

    parts = broken(text, width)
    assert all(cell_len(part) <= width for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
