"""The page of a report: self-contained, with nothing fetched and nothing sent.

Built as a tree of elements, so that no name from a disk can become markup.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import hubfold
from hubfold import display
from hubfold.cli.page.elements import as_it_is, element
from hubfold.cli.page.picture import picture

if TYPE_CHECKING:
    from hubfold.content import DuplicateSet
    from hubfold.reports.models import Model
    from hubfold.reports.overview import Overview

#: What a page of ours begins with: such a file may be written anew.
MARK = '<meta name="generator" content="hubfold'
#: No network, no plugin, no frame: only what the page itself has.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "script-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
#: Paths of a set that are told; the others are counted.
_PATHS = 8


class Cell(NamedTuple):
    """What a cell shows, and what it is sorted by."""

    shown: ET.Element | str
    value: float | str | None = None


def page(overview: Overview) -> str:
    """The whole page as HTML."""
    when = time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(overview.made_at))
    title = f"hubfold report: {overview.host}"
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="generator", content=f"hubfold {hubfold.__version__}"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        as_it_is("style", _resource("page.css")),
    ]
    body = element(
        "body",
        element(
            "header",
            element("h1", "Where the space goes"),
            element("p", f"{overview.host}, {when}"),
            element("button", "Dark or light", type="button", id="theme"),
        ),
        element("main", _figures(overview), _map(overview), *_sections(overview)),
        as_it_is("script", _resource("page.js")),
    )
    html = element("html", element("head", *head), body, lang="en")
    return f"<!DOCTYPE html>\n{ET.tostring(html, encoding='unicode', method='html')}\n"


def _resource(name: str) -> str:
    return files("hubfold.cli.page").joinpath(name).read_text(encoding="utf-8")


def _figures(overview: Overview) -> ET.Element:
    space = overview.space
    rows = [
        ("in caches", space.cache_bytes),
        ("in local copies", space.copy_bytes),
        ("kept by vaults alone", space.vault_bytes),
        ("total", space.total_bytes),
        ("duplicate", overview.reclaimable_bytes),
        ("after folding", space.total_bytes - overview.reclaimable_bytes),
        ("saved so far", space.saved_bytes or 0),
    ]
    always = ("in caches", "in local copies", "total", "duplicate", "after folding")
    return element(
        "dl",
        *(
            element("div", element("dt", what), element("dd", display.size(bytes_)))
            for what, bytes_ in rows
            if bytes_ or what in always
        ),
        class_="figures",
    )


def _map(overview: Overview) -> ET.Element | None:
    if not any(place.bytes for place in overview.map):
        return element("p", "Nothing was found: no known root holds a file.")
    legend = element(
        "figcaption",
        "Each rectangle is a model, in it its files; ",
        element("span", "files whose bytes others have too", class_="key"),
        " are in one colour. What is too small to point at is not drawn. With the arrow keys from model to model.",
    )
    return element(
        "section", element("h2", "By place, model and file"), element("figure", picture(overview.map), legend)
    )


def _sections(overview: Overview) -> Iterable[ET.Element]:
    yield _models(overview.models)
    yield _duplicates(overview)
    yield _roots(overview)
    if overview.unreferenced:
        rows = [
            [
                Cell(display.size(one.bytes), one.bytes),
                Cell(one.what),
                Cell(f"{one.files:,}", one.files),
                Cell(element("code", one.command) if one.command else one.path or ""),
            ]
            for one in overview.unreferenced
        ]
        yield _section(
            "What no model refers to", _table("Unreferenced", ["Size", "What", "Files", "Freed by"], rows)
        )
    wrong = [(notice.path or "", notice.message) for notice in overview.warnings]
    if wrong:
        rows = [[Cell(path), Cell(message)] for path, message in wrong]
        yield _section("What could not be read, or is odd", _table("Odd", ["Where", "What"], rows))


def _models(models: Sequence[Model]) -> ET.Element:
    rows = [
        [
            Cell(model.id),
            Cell(display.size(model.bytes), model.bytes),
            Cell(display.size(model.physical_bytes), model.physical_bytes),
            Cell(display.size(model.freed_bytes or 0), model.freed_bytes or 0),
            Cell(element("span", str(model.state), class_=f"state {model.state}"), str(model.state)),
            _used(model),
            Cell(_lines([place.path for place in model.places]), len(model.places)),
        ]
        for model in sorted(models, key=lambda model: -model.physical_bytes)
    ]
    broken = sum(str(model.state) != "whole" for model in models)
    said = display.count(len(models), "model") + (f", {broken} of them not whole" if broken else "")
    titles = ["Model", "Size", "On disk", "Frees", "State", "Last used", "Places"]
    note = "On disk is its share where several use a file; Frees is what removing it would free now."
    return _section("Models", element("p", f"{said}. {note}"), _table("Models", titles, rows, filtered=True))


def _used(model: Model) -> Cell:
    when = model.last_accessed
    return Cell(time.strftime("%Y-%m-%d", time.localtime(when)) if when else "", when or 0)


def _duplicates(overview: Overview) -> ET.Element:
    sets = overview.duplicates.sets
    if not sets:
        return _section("Duplicates", element("p", "None: each content is there once."))
    rows = [_set(duplicates, freed) for duplicates, freed in sets]
    rest = overview.set_count - len(sets)
    said = f"A fold would free {display.size(overview.reclaimable_bytes)}: "
    return _section(
        "Duplicates",
        element(
            "p", said, element("code", "hubfold consolidate --dry-run"), " shows how, and changes nothing."
        ),
        _table("Duplicates", ["Frees", "Size", "Copies", "Model", "Where"], rows, filtered=True),
        element("p", f"And {display.count(rest, 'smaller set')}: `hubfold dupes` lists them.")
        if rest
        else None,
    )


def _set(duplicates: DuplicateSet, freed: int) -> list[Cell]:
    models = dict.fromkeys(replica.repo_id for replica in duplicates.replicas if replica.repo_id)
    copies = len(duplicates.payloads)
    return [
        Cell(display.size(freed), freed),
        Cell(display.size(duplicates.size), duplicates.size),
        Cell(f"{copies:,}", copies),
        Cell(_lines(list(models))),
        Cell(_lines([replica.path for replica in duplicates.replicas])),
    ]


def _roots(overview: Overview) -> ET.Element:
    rows = []
    for root in overview.roots:
        state = "away" if root.away else root.error or ("" if root.online else "not there")
        rows.append(
            [
                Cell(root.path),
                Cell(root.name or str(root.role)),
                Cell(root.backend),
                Cell(f"{root.files:,}", root.files),
                Cell(display.size(root.bytes), root.bytes),
                Cell(display.size(root.limit) if root.limit is not None else "", root.limit or 0),
                Cell(element("span", state, class_="state broken") if state else "there", state),
            ]
        )
    away = len(overview.away)
    said = element("p", f"{display.count(away, 'root')} cannot be looked into now.") if away else None
    titles = ["Root", "Place", "Backend", "Files", "Size", "Limit", "State"]
    return _section("Roots", said, _table("Roots", titles, rows))


def _section(title: str, *children: ET.Element | None) -> ET.Element:
    return element("section", element("h2", title), *children)


def _lines(texts: Sequence[str]) -> ET.Element:
    more = len(texts) - _PATHS
    return element(
        "ul",
        *(element("li", text) for text in texts[:_PATHS]),
        element("li", f"and {more:,} more") if more > 0 else None,
    )


def _table(
    about: str, titles: Sequence[str], rows: Sequence[Sequence[Cell]], *, filtered: bool = False
) -> ET.Element:
    """Rows under titles that sort them; `filtered` with a field that leaves those with a word in them."""
    numbers = {
        at
        for at in range(len(titles))
        if rows and all(isinstance(row[at].value, int | float) for row in rows)
    }
    head = element(
        "tr",
        *(
            element(
                "th",
                element("button", title, type="button"),
                scope="col",
                class_="number" if at in numbers else "text",
            )
            for at, title in enumerate(titles)
        ),
    )
    body = [
        element("tr", *(_cell(cell, number=at in numbers) for at, cell in enumerate(row))) for row in rows
    ]
    table = element("table", element("thead", head), element("tbody", *body))
    field = element(
        "input", type="search", aria_label=f"{about}: show rows with", placeholder="Show rows with …"
    )
    scrolled = element("div", table, class_="wide", tabindex="0", role="region", aria_label=about)
    return element("div", field if filtered else None, scrolled, class_="table")


def _cell(cell: Cell, *, number: bool) -> ET.Element:
    made = element("td", cell.shown)
    if cell.value is not None and cell.value != cell.shown:
        made.set(
            "data-v", display.shown(f"{cell.value:.0f}" if isinstance(cell.value, float) else str(cell.value))
        )
    if number and not isinstance(cell.shown, ET.Element):
        made.set("class", "number")
    return made
