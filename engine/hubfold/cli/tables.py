"""Tables as lines of text: with room for all of it, on a narrow terminal, and cut to the size of a view.

A figure is never cut, and neither is a name where a table is printed: on a narrow terminal it gets a line of its own.
Only a live view, which has nothing but its screen, shortens names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from hubfold.cli import prose
from hubfold.cli.prose import cells

_GAP = "  "
#: Room that a last column of any length needs; below it, a terminal gets one block of lines per row.
_LAST_COLUMN = 30
#: How a cell begins that is a path.
_OF_PATHS = ("/", "~")
#: Room that a column of names needs.
_NAME = 12

Row = Sequence[str]


class Column(NamedTuple):
    """A column of a table. What may be long, a path, stands in the last one, or in one that says so."""

    title: str
    right: bool = False
    #: Names: one that is longer than its room stands above the rest of its row.
    name: bool = False
    #: Paths that stand below their row where there is no room beside it.
    below: bool = False
    #: On a terminal, the colour of a cell by its text.
    styles: Mapping[str, str] = MappingProxyType({})


class Line(NamedTuple):
    """A line of a table; its titles are shown as such."""

    text: str
    title: bool = False
    #: What of it has a colour: from, to, which.
    marks: tuple[tuple[int, int, str], ...] = ()


def lines(columns: Sequence[Column], rows: Sequence[Row], width: int | None) -> Iterator[Line]:
    """A table for a terminal of `width` cells, None for what is none: a line is as long as it has to be then."""
    widths = _widths(columns, rows)
    if width is None or _sum(widths) <= width:
        yield from _aligned(columns, rows, widths)
    elif columns[0].name or columns[-1].below:
        yield from _beside_names(columns, rows, width)
    elif _sum(widths[:-1]) + len(_GAP) + _LAST_COLUMN <= width:
        yield from _aligned(columns, rows, widths, width)
    else:
        yield from _blocks(columns, rows, -1, width)


def cut(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Iterator[Line]:
    """The table with names and last cells shortened to the room that figures leave.

    Columns without room are left out: second names first, then from the right.
    """
    widths = _widths(columns, rows)
    kept = list(range(len(columns)))
    names = [n for n in kept if columns[n].name or n == kept[-1]]
    while len(kept) > 1 and _sum([min(_NAME, widths[n]) if n in names else widths[n] for n in kept]) > width:
        kept.remove(names.pop() if len(names) > 1 else max(n for n in kept if n not in names))
    spare = width - _sum([0 if n in names else widths[n] for n in kept])
    for n, room in zip(names, _shared([widths[n] for n in names], spare), strict=True):
        widths[n] = room
    short = [[_shortened(row[n], widths[n]) for n in kept] for row in rows]
    titles = [columns[n]._replace(title=_shortened(columns[n].title, widths[n])) for n in kept]
    yield from _aligned(titles, short, [widths[n] for n in kept])


def _shared(wanted: Sequence[int], spare: int) -> list[int]:
    """The room in parts: what one does not need is the others'."""
    rooms: dict[int, int] = {}
    for n in sorted(range(len(wanted)), key=lambda n: wanted[n]):
        rooms[n] = min(wanted[n], spare // (len(wanted) - len(rooms)))
        spare -= rooms[n]
    return [rooms[n] for n in range(len(wanted))]


def _shortened(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…" if width else ""


def _widths(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    titles = [column.title for column in columns]
    return [max(map(cells, column)) for column in zip(titles, *rows, strict=True)]


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _aligned(
    columns: Sequence[Column], rows: Iterable[Row], widths: Sequence[int], width: int | None = None
) -> Iterator[Line]:
    """A last cell that is too long for `width` goes on below itself, or stands below its row."""
    yield Line(_line(columns, [column.title for column in columns], widths), title=True)
    coloured = any(column.styles for column in columns)
    start = _sum([*widths[:-1], 0])
    for row in rows:
        first, *more = _parts(row[-1], None if width is None else width - start)
        indent = " " * start
        if width is not None and any(cells(part) > width - start for part in (first, *more)):
            first, more, indent = "", _parts(row[-1], width - len(_GAP)), _GAP
        shown = [*row[:-1], first]
        yield Line(
            _line(columns, shown, widths), marks=tuple(_marks(columns, shown, widths)) if coloured else ()
        )
        yield from (Line(indent + part) for part in more)


def _parts(cell: str, room: int | None) -> list[str]:
    """A cell that is a path is one part, whatever spaces it has."""
    return [cell] if room is None or cell.startswith(_OF_PATHS) else prose.lines(cell, room)


def _line(columns: Sequence[Column], row: Row, widths: Sequence[int]) -> str:
    padded = []
    for column, cell, width in zip(columns, row, widths, strict=True):
        space = " " * (width - cells(cell))
        padded.append(space + cell if column.right else cell + space)
    return _GAP.join(padded).rstrip()


def _marks(columns: Sequence[Column], row: Row, widths: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    start = 0
    for column, cell, width in zip(columns, row, widths, strict=True):
        space = width - cells(cell)
        if cell in column.styles:
            first = start + (space if column.right else 0)
            yield first, first + len(cell), column.styles[cell]
        start += space + len(cell) + len(_GAP)


def _beside_names(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Iterator[Line]:
    """Names that are too long above their row, and what may stand below it there; blocks where figures find no room."""
    kept = [n for n, column in enumerate(columns) if not column.below]
    of_kept = [columns[n] for n in kept]
    widths = _widths(of_kept, [[row[n] for n in kept] for row in rows if row[0]])
    room = width - _sum([0, *widths[1:]])
    if room < min(_NAME, widths[0]):
        yield from _blocks(columns, rows, 0 if columns[0].name else -1, width)
        return
    widths[0] = min(widths[0], room)
    yield Line(_line(of_kept, [column.title for column in of_kept], widths), title=True)
    for row in rows:
        name, *rest = (row[n] for n in kept)
        below = [row[n] for n, column in enumerate(columns) if column.below and row[n]]
        if not name and below:
            yield Line(_GAP + _GAP.join([*filter(None, rest), *below]))
            continue
        if cells(name) > widths[0]:
            yield Line(name)
            name = ""
        if name or any(rest):
            shown = [name, *rest]
            yield Line(_line(of_kept, shown, widths), marks=tuple(_marks(of_kept, shown, widths)))
        yield from (Line(_GAP + cell) for cell in below)


def _blocks(columns: Sequence[Column], rows: Sequence[Row], head: int, width: int) -> Iterator[Line]:
    """Each row as a block: the cell that may be long, and below it the others with their titles.

    One without a name goes on with the row before it.
    """
    others = [n for n in range(len(columns)) if n != head % len(columns)]
    for row in rows:
        if row[head]:
            yield Line(row[head])
        facts = [f"{columns[n].title.strip().lower()} {row[n]}" for n in others if row[n]]
        indent = _GAP if row[head] or head == 0 else ""
        told = [*(f"{fact}," for fact in facts[:-1]), *facts[-1:]]
        parts = [
            part
            for fact in told
            for part in ([(" ", fact)] if cells(indent + fact) <= width else prose.words(f" {fact}"))
        ]
        yield from map(Line, prose.filled(indent, parts, width) if parts else ())
