"""The views to choose from: places, models and duplicates, each as far down as its files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, Static

from hubfold import display
from hubfold.ui import chosen, rows
from hubfold.ui.lent import Job
from hubfold.ui.review import Help, Review, Where
from hubfold.ui.rows import Kind, Order, Row
from hubfold.ui.table import Column, Table

if TYPE_CHECKING:
    from hubfold.ui.known import Known

TABS = ("Places", "Models", "Duplicates")
_EMPTY = {
    "Places": "no place is known yet: ctrl+r scans, `hubfold roots add PATH` adds one",
    "Models": "no models",
    "Duplicates": "no duplicates are known: ctrl+r scans",
}
#: How often what runs is told, in seconds.
_TICK = 0.2


@dataclass(frozen=True, slots=True)
class Level:
    """What is seen of a tab: all of it, or what is in one row."""

    inside: Row | None = None
    #: The row that the cursor was on.
    at: str = ""
    wanted: str = ""


class Browse(Screen[None]):
    """A table, what is marked of it, and the keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "tab(1)", show=False, priority=True),
        Binding("shift+tab", "tab(-1)", show=False, priority=True),
        *(Binding(str(number + 1), f"to_tab({number})", show=False) for number in range(len(TABS))),
        Binding("enter,right,l", "open", show=False),
        Binding("left,h,backspace", "back", show=False),
        Binding("escape", "escape", show=False),
        Binding("space", "mark", show=False),
        Binding("a", "mark_all", show=False),
        Binding("c", "clear", show=False),
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("r", "reverse", show=False),
        Binding("x", "stays", show=False),
        Binding("f", "fold", show=False),
        Binding("d,delete", "remove", show=False),
        Binding("m", "move", show=False),
        Binding("p", "pin", show=False),
        Binding("u", "undo", show=False),
        Binding("ctrl+r,f5", "scan", show=False),
        Binding("question_mark,f1", "help", show=False),
        Binding("q", "quit", show=False),
    ]

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.known = known
        self.tab = 0
        self.order = [Order("size"), Order("size"), Order("frees")]
        self.levels: list[list[Level]] = [[Level()] for _ in TABS]
        self._last: tuple[tuple[Sequence[Row], *tuple[object, ...]], list[Row]] | None = None

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def compose(self) -> ComposeResult:
        yield Static(id="tabs", markup=False)
        yield Table(lambda row: chosen.state(self.known.marks, row), id="rows")
        yield Input(placeholder="words that all have to fit", id="filter")
        yield Static(id="joint", markup=False)
        yield Static(id="status", markup=False)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        self.table.focus()
        self.set_interval(_TICK, self._tick)
        self.redraw()

    # what is seen

    @property
    def level(self) -> Level:
        return self.levels[self.tab][-1]

    def redraw(self, *, key: str = "") -> None:
        """All of it, as it is known now; the cursor stays on its row."""
        row = self.table.row
        at = key or (row.key if row is not None else "")
        order = self.order[self.tab]
        found = self._arranged(order)
        empty = "nothing fits: escape shows all" if self.level.wanted else self._nothing()
        self.table.show(self._columns(), found, order, key=at, empty=empty)
        self.known.add_up_rows(found)
        self.query_one("#tabs", Static).update(self._title(len(found)))
        self.redraw_foot()

    def _arranged(self, order: Order) -> Sequence[Row]:
        """The rows as they are seen; sorted anew only where something of them changed: there may be ten thousands."""
        found, known = self._rows(), self.known
        of = (found, order, self.level.wanted, len(known.frees), known.marks.stays)
        if self._last is None or self._last[0][0] is not found or self._last[0][1:] != of[1:]:
            self._last = of, rows.arranged(map(self._with_frees, found), order, self.level.wanted)
        return self._last[1]

    def redraw_foot(self) -> None:
        """What is marked, and what runs."""
        self.query_one("#joint", Static).update(self._joint())
        self._tick()

    def _rows(self) -> Sequence[Row]:
        known, inside = self.known, self.level.inside
        if self.tab == TABS.index("Duplicates"):
            return known.sets if inside is None else rows.copies(known.dupes, inside.key)
        shown = known.shown
        if shown is None:
            return ()
        if inside is None:
            return shown.roots if self.tab == 0 else shown.models
        if inside.kind is Kind.ROOT:
            return shown.in_root(inside.key)
        return shown.of_model(inside.key) if inside.kind is Kind.MODEL else shown.files(inside.key)

    def _with_frees(self, row: Row) -> Row:
        row = replace(row, frees=self.known.frees[row.key]) if row.key in self.known.frees else row
        if row.root and row.root in self.known.marks.stays:
            row = replace(row, note=", ".join(filter(None, ("stays", row.note))))
        return row

    def _nothing(self) -> str:
        if self.known.shown is None and self.tab < 2:
            return "looking …"
        return _EMPTY[TABS[self.tab]] if self.level.inside is None else "nothing is in it"

    def _columns(self) -> list[Column]:
        now, inside = time.time(), self.level.inside
        name, place = self._names()
        home = self.known.lent.home
        columns = [
            Column(name, "name", lambda row: display.from_home(row.name, home), keeps_end=inside is not None),
            Column("size", "size", lambda row: rows.size(row.size), 7, right=True, drops=1),
            Column("on disk", "on disk", lambda row: rows.size(row.on_disk), 8, right=True),
            Column("frees", "frees", lambda row: rows.size(row.frees), 7, right=True),
            Column("last use", "last use", lambda row: display.ago(row.used, now), 9, drops=2),
            Column("", "", lambda row: row.note, 14, drops=3),
            Column(place, "place", lambda row: display.from_home(row.place, home), drops=4, keeps_end=True),
        ]
        if self.tab == TABS.index("Duplicates"):
            del columns[4]
        return columns

    def _names(self) -> tuple[str, str]:
        inside = self.level.inside
        if inside is None:
            return (("place", "layout"), ("model", "place"), ("duplicate set", "copies"))[self.tab]
        if inside.kind is Kind.ROOT:
            return "model", "place"
        return ("place", "folder") if inside.kind is Kind.MODEL else ("file", "place")

    def _title(self, count: int) -> str:
        tabs = "  ".join(
            f"[{number + 1} {name}]" if number == self.tab else f" {number + 1} {name} "
            for number, name in enumerate(TABS)
        )
        way = [level.inside for level in self.levels[self.tab] if level.inside is not None]
        home = self.known.lent.home
        inside = " › ".join(display.shown(display.from_home(row.name, home)) for row in way)
        wanted = f"  /{self.level.wanted}" if self.level.wanted else ""
        return f"{tabs}  {inside}{wanted}  ({count:,})"

    def _joint(self) -> str:
        known = self.known
        if not known.marks:
            return "nothing is marked (space marks)" + self._stays_told()
        told = [f"marked: {chosen.count(known.marks)}"]
        if known.removal is None or known.folded is None:
            told.append("adding up …")
        if known.removal is not None and (known.marks.places or known.marks.files):
            told.append(f"removing frees {display.size(known.removal.bytes)}")
            if known.removal.stays:
                told.append(f"{sum(known.removal.stays.values()):,} of it would stay (d says why)")
        if known.folded is not None:
            told.append(f"folding frees {display.size(known.folded.bytes)}")
        return " · ".join(told) + self._stays_told()

    def _stays_told(self) -> str:
        stays = len(self.known.marks.stays)
        return f" · what lies in {display.count(stays, 'place')} stays" if stays else ""

    def _tick(self) -> None:
        known = self.known
        told = known.told
        doing = ""
        if known.disks.doing:
            doing = f"{told.task or known.disks.doing}: {_far(told.done, told.total, told.unit)}"
            if not known.looked:
                doing = f"as the last scan saw it; {doing}"
        elif known.sums.doing == "frees":
            doing = "adding up what each one frees"
        self.query_one("#status", Static).update(" · ".join(filter(None, (known.notice, doing))))
        keys = _KEYS if self.size.width >= len(_KEYS) else _SHORT_KEYS
        self.query_one("#keys", Static).update(keys)

    # moving about

    def action_tab(self, by: int) -> None:
        """The next tab, or the one before."""
        self.action_to_tab((self.tab + by) % len(TABS))

    def action_to_tab(self, number: int) -> None:
        """A tab, as it was left."""
        if self.query_one("#filter").has_focus:
            return
        self._remember_place()
        self.tab = number
        self.redraw(key=self.level.at)

    def _remember_place(self) -> None:
        row = self.table.row
        self.levels[self.tab][-1] = replace(self.level, at=row.key if row is not None else "")

    def action_open(self) -> None:
        """What is in a row."""
        row = self.table.row
        if row is None or row.kind in (Kind.FILE, Kind.COPY):
            return
        if row.kind is Kind.PLACE and not self.known.looked:
            self.known.notice = "the disks are still being looked at"
            return
        self._remember_place()
        [only] = row.places if row.kind is Kind.MODEL and len(row.places) == 1 else [""]
        # A model that lies in one place has nothing to choose from but its files.
        inside = row if not only or self.known.shown is None else self.known.shown.places[only]
        self.levels[self.tab].append(Level(inside))
        self.table.cursor = 0
        self.redraw()

    def action_back(self) -> None:
        """One level up."""
        if len(self.levels[self.tab]) > 1:
            self.levels[self.tab].pop()
            self.redraw(key=self.level.at)

    def action_escape(self) -> None:
        """Away with the filter; without one, one level up."""
        if self.level.wanted:
            self._want("")
        else:
            self.action_back()

    def on_table_opened(self, message: Table.Opened) -> None:
        self.action_open()

    def on_table_toggled(self, message: Table.Toggled) -> None:
        self.action_mark()

    def on_table_sort_asked(self, message: Table.SortAsked) -> None:
        self._sort(self.order[self.tab].by_column(message.by))

    def on_click(self, event: events.Click) -> None:
        """A click on the name of a tab."""
        if event.widget is self.query_one("#tabs"):
            left = 0
            for number, name in enumerate(TABS):
                width = len(name) + 4
                if left <= event.x < left + width:
                    self.action_to_tab(number)
                left += width + 2

    # filter and order

    def action_filter(self) -> None:
        """Ask for words."""
        field = self.query_one("#filter", Input)
        field.add_class("on")
        field.value = self.level.wanted
        field.focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        self.levels[self.tab][-1] = replace(self.level, wanted=message.value)
        self.redraw()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self._leave_filter()

    def on_key(self, event: events.Key) -> None:
        """What was told of the key before is over. In the filter, escape takes it away; arrows go back to the rows."""
        self.known.notice = ""
        if self.query_one("#filter").has_focus and event.key in ("escape", "down", "up"):
            event.stop()
            if event.key == "escape":
                self._want("")
            self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter").remove_class("on")
        self.table.focus()

    def _want(self, wanted: str) -> None:
        self.levels[self.tab][-1] = replace(self.level, wanted=wanted)
        self.query_one("#filter", Input).value = wanted
        self.redraw()

    def action_sort(self) -> None:
        """By the next column."""
        self._sort(self.order[self.tab].next())

    def action_reverse(self) -> None:
        """The other way round."""
        order = self.order[self.tab]
        self._sort(replace(order, backwards=not order.backwards))

    def _sort(self, order: Order) -> None:
        self.order[self.tab] = order
        self.redraw()

    # marks

    def action_mark(self) -> None:
        """A mark on the row, or none; then the next row."""
        row = self.table.row
        if row is None:
            return
        if not row.can_be_marked:
            self.known.notice = self._why_not(row)
        elif row.root and row.root in self.known.marks.stays:
            self.known.notice = "what lies here stays: x on its place lets it go"
        else:
            self.known.change(chosen.toggled(self.known.marks, row))
            self.table.action_move(1)
        self._tick()

    def _why_not(self, row: Row) -> str:
        if row.kind is Kind.COPY:
            return "a duplicate set is marked as a whole: go back and mark it"
        if not self.known.looked:
            return "the disks are still being looked at"
        return "it is away, or empty: there is nothing to mark"

    def action_mark_all(self) -> None:
        """All rows that are seen."""
        self.known.change(chosen.added(self.known.marks, self.table.rows))

    def action_clear(self) -> None:
        """No marks, in any view."""
        self.known.change(replace(self.known.marks, places=frozenset(), files=frozenset(), sets=frozenset()))

    def action_stays(self) -> None:
        """What lies in this place stays, or no longer."""
        row = self.table.row
        if row is None or row.kind is not Kind.ROOT:
            self.known.notice = "x is for places: tab 1 has them"
            self._tick()
            return
        self.known.change(chosen.staying(self.known.marks, row))

    # what is done

    def _review(self, job: Job) -> None:
        self.app.push_screen(Review(self.known, job), self._reviewed)

    def _reviewed(self, changed: bool | None) -> None:
        if changed:
            self.known.look()
        self.redraw()

    def _marked(self, what: str) -> bool:
        if not self.known.marks:
            self.known.notice = f"nothing is marked: space marks what you want to {what}"
            self._tick()
        return bool(self.known.marks)

    def action_fold(self) -> None:
        """Fold what is marked."""
        if self._marked("fold"):
            self._review(self.known.lent.jobs.fold(self.known.marks, self.known.lent.min_size))

    def action_remove(self) -> None:
        """Remove what is marked."""
        if self._marked("remove"):
            self._review(self.known.lent.jobs.remove(self.known.marks))

    def action_move(self) -> None:
        """Ask where to, then move what is marked."""
        if self._marked("move"):
            self.app.push_screen(Where(self.known), self._move)

    def _move(self, to: str | None) -> None:
        if to:
            self._review(self.known.lent.jobs.move_to(self.known.marks, to))

    def action_pin(self) -> None:
        """Pin the marked models; where all of them are, unpin them."""
        shown = self.known.shown
        if not self._marked("pin") or shown is None:
            return
        models = sorted({shown.places[path].name for path in self.known.marks.places if path in shown.places})
        pinned = {row.name for row in shown.models if "pinned" in row.note}
        self._review(self.known.lent.jobs.pin(models, not models or not pinned.issuperset(models)))

    def action_undo(self) -> None:
        """Take the last run back."""
        self._review(self.known.lent.jobs.undo(None))

    def action_scan(self) -> None:
        """Scan the roots again."""
        self.known.scan()

    def action_help(self) -> None:
        """The keys."""
        self.app.push_screen(Help())

    def action_quit(self) -> None:
        """The end."""
        self.known.end()
        self.app.exit(0)


_KEYS = "space mark  enter open  / filter  s sort  x stays  f fold  d remove  m move  p pin  u undo  ? help  q quit"
_SHORT_KEYS = "space mark  enter open  / filter  s sort  f fold  d remove  ? help  q quit"


def _far(done: int, total: int | None, unit: str) -> str:
    told = display.size(done) if unit == "bytes" else f"{done:,} {unit}".rstrip()
    if not total:
        return told
    whole = display.size(total) if unit == "bytes" else f"{total:,}"
    return f"{told} of {whole}"
