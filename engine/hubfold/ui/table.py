"""A list of any length, of which only what is seen is drawn: rows in columns, or lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from hubfold import display
from hubfold.ui.lent import Line
from hubfold.ui.rows import Order, Row

_GAP = 1
#: Cells before a row: its mark, and one to spare.
_MARGIN = 2
#: A name that has less room is none.
_LEAST_NAME = 24
_PLAIN, _BOLD, _CURSOR = Style(), Style(bold=True), Style(reverse=True)
_TITLES = Style(bold=True, underline=True)
_MARKED = Style(bold=True, color="yellow")
_STYLES = {
    "": _PLAIN,
    "bold": _BOLD,
    "yellow": Style(color="yellow"),
    "red": Style(color="red", bold=True),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, by what it sorts, and the text of a cell. Without a `width` it gets the room that is left.

    Where there is not enough room, the column with the highest `drops` goes first; 0 stays.
    """

    title: str
    sort: str
    text: Callable[[Row], str]
    width: int = 0
    right: bool = False
    drops: int = 0
    #: Of a text that is too long the beginning goes: the end of a path says more.
    keeps_end: bool = False


def fitted(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """The columns that fit into so many cells, each with its width."""
    kept = list(columns)
    while True:
        fixed = sum(one.width for one in kept) + _GAP * (len(kept) - 1)
        flexible = [one for one in kept if not one.width]
        spare = width - _MARGIN - fixed
        droppable = [one for one in kept if one.drops]
        if spare >= _LEAST_NAME * len(flexible) or not droppable:
            break
        kept.remove(max(droppable, key=lambda one: one.drops))
    shares = [max(1, spare // max(1, len(flexible)))] * len(flexible)
    if shares:
        shares[0] = max(1, spare - sum(shares[1:]))
    rooms = iter(shares)
    return [(one, one.width or next(rooms)) for one in kept]


def cell(text: str, width: int, column: Column) -> str:
    """A text of exactly `width` cells; one that is cut says so."""
    text = display.shown(text)
    long = cell_len(text)
    if long > width:
        if column.keeps_end:
            while text and cell_len(text) > width - 1:
                text = text[max(1, (cell_len(text) - width + 1) // 2) :]
            return set_cell_size(f"…{text}", width)
        return set_cell_size(f"{set_cell_size(text, max(0, width - 1)).rstrip()}…", width)
    return " " * (width - long) + text if column.right else set_cell_size(text, width)


class _List(ScrollView, can_focus=True):
    """What can be scrolled by keys and by the mouse."""

    DEFAULT_CSS = """
    _List { height: 1fr; overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1; }
    """

    @property
    def cells(self) -> int:
        """How wide it is beside its scroll bar."""
        return max(1, self.scrollable_content_region.width)


class Table(_List):
    """Rows in columns, under titles that stay. What happens to a row is told, and done by who hears it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "move_to(0)", show=False),
        Binding("end,G", "move_to(-1)", show=False),
    ]

    class Opened(Message):
        """Somebody wants to see what is in a row."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Toggled(Message):
        """Somebody marks a row, or takes its mark away."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class SortAsked(Message):
        """Somebody clicked on the title of a column."""

        def __init__(self, by: str) -> None:
            super().__init__()
            self.by = by

    def __init__(self, mark: Callable[[Row], str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._mark = mark
        self._columns: Sequence[Column] = ()
        self.rows: Sequence[Row] = ()
        self.cursor = 0
        self._order = Order()
        self._empty = ""

    def show(
        self, columns: Sequence[Column], rows: Sequence[Row], order: Order, *, key: str = "", empty: str = ""
    ) -> None:
        """Other rows; the cursor goes to the row with this key, or stays where it is. `empty` stands for no rows."""
        self._columns, self.rows, self._order, self._empty = columns, rows, order, empty
        if key:
            self.cursor = next((number for number, row in enumerate(rows) if row.key == key), self.cursor)
        self.cursor = max(0, min(self.cursor, len(rows) - 1))
        self.virtual_size = Size(self.cells, len(rows) + 1)
        self._keep_in_sight()
        self.refresh()

    @property
    def row(self) -> Row | None:
        """The row that the cursor is on."""
        return self.rows[self.cursor] if self.rows else None

    def action_move(self, by: int) -> None:
        """The cursor up or down."""
        self._go(self.cursor + by)

    def action_move_page(self, pages: int) -> None:
        """The cursor by as many rows as are seen."""
        self._go(self.cursor + pages * max(1, self.size.height - 2))

    def action_move_to(self, number: int) -> None:
        """The cursor to a row, from the end where it is negative."""
        self._go(number if number >= 0 else len(self.rows) + number)

    def _go(self, number: int) -> None:
        self.cursor = max(0, min(number, len(self.rows) - 1))
        self._keep_in_sight()
        self.refresh()

    def _keep_in_sight(self) -> None:
        height = max(1, self.size.height - 1)
        top = round(self.scroll_y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def on_resize(self) -> None:
        """As wide as there is room, and the cursor in sight."""
        self.virtual_size = Size(self.cells, len(self.rows) + 1)
        self.call_after_refresh(self._keep_in_sight)

    def on_click(self, event: events.Click) -> None:
        """A title sorts, the margin marks, a row is gone to, and opened by a second click."""
        x, y = event.x, event.y
        if y == 0:
            by = self._column_at(x)
            if by:
                self.post_message(self.SortAsked(by))
            return
        number = round(self.scroll_y) + y - 1
        if number >= len(self.rows):
            return
        self._go(number)
        if x < _MARGIN:
            self.post_message(self.Toggled(self.rows[number]))
        elif event.chain == 2:
            self.post_message(self.Opened(self.rows[number]))

    def _column_at(self, x: int) -> str:
        left = _MARGIN
        for column, width in fitted(self._columns, self.cells):
            if left <= x < left + width:
                return column.sort
            left += width + _GAP
        return ""

    def render_line(self, y: int) -> Strip:
        """One line of what is seen."""
        width = self.cells
        if y == 0:
            return self._titles(width)
        number = round(self.scroll_y) + y - 1
        if number >= len(self.rows):
            text = f"  {self._empty}" if not self.rows and y == 2 else ""
            return Strip([Segment(set_cell_size(text, width), _PLAIN)], width)
        row = self.rows[number]
        mark = self._mark(row)
        style = _CURSOR if number == self.cursor and self.has_focus else _PLAIN
        if number == self.cursor and not self.has_focus:
            style = _BOLD
        marked = _MARKED + style if mark.strip() else style
        cells = " ".join(cell(one.text(row), room, one) for one, room in fitted(self._columns, width))
        segments = [
            Segment(set_cell_size(mark, _MARGIN), marked),
            Segment(set_cell_size(cells, width - _MARGIN), marked),
        ]
        return Strip(segments, width)

    def _titles(self, width: int) -> Strip:
        parts = []
        for column, room in fitted(self._columns, width):
            sign = ""
            if column.sort == self._order.by:
                sign = "▲" if self._order.backwards else "▼"
            parts.append(cell(f"{column.title}{sign}", room, column))
        text = " " * _MARGIN + " ".join(parts)
        return Strip([Segment(set_cell_size(text, width), _TITLES)], width)

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor looks otherwise where keys go elsewhere."""
        super().watch_has_focus(has_focus)
        self.refresh()


class Lines(_List):
    """Text that was written for a terminal of any width; long lines are broken."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown,space", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()
        self._drawn: list[Line] = []

    def show(self, lines: Sequence[Line], *, end: bool = False) -> None:
        """Other lines, seen from the first one, or the last."""
        self._lines = lines
        self._draw()
        self.scroll_to(y=len(self._drawn) if end else 0, animate=False)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(line.text for line in self._lines)

    def _draw(self) -> None:
        width = max(10, self.cells)
        self._drawn = [Line(part, line.style) for line in self._lines for part in broken(line.text, width)]
        self.virtual_size = Size(width, len(self._drawn))
        self.refresh()

    def on_resize(self) -> None:
        """Broken anew."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of what is seen."""
        width = self.cells
        number = round(self.scroll_y) + y
        line = self._drawn[number] if number < len(self._drawn) else Line("")
        return Strip([Segment(set_cell_size(line.text, width), _STYLES[line.style])], width)


def broken(text: str, width: int) -> list[str]:
    """A line as lines of at most `width` cells, broken at spaces where there are some; what goes on is indented."""
    text = display.shown(text)
    indent = " " * min(len(text) - len(text.lstrip()) + 2, width // 2)
    found = []
    while cell_len(text) > width:
        room = set_cell_size(text, width)
        at = room.rstrip().rfind(" ")
        if at <= len(indent):
            # Half of a wide character is none: it goes to the next line.
            at = len(room) - (room[-1] != text[len(room) - 1])
        found.append(text[:at].rstrip())
        text = indent + text[at:].lstrip()
    return [*found, text]
