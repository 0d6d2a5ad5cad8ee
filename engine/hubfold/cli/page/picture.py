"""The picture of a report: places, in them models, in them files, each as large as what it takes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hubfold import display
from hubfold.cli.page.elements import element
from hubfold.cli.page.treemap import Box, squarified

if TYPE_CHECKING:
    from hubfold.reports.overview import MappedFile, MappedModel, MappedPlace

WIDTH, HEIGHT = 1200, 640
#: What is drawn smaller than this (square pixels) is not drawn on its own: nobody could point at it, and a page of
#: 500 models stays small.
LEAST = 200
_LINE = 16
#: Pixels that a character takes, about.
_CHARACTER = 7.0


def picture(places: Sequence[MappedPlace]) -> ET.Element:
    """An image that can be read by its texts, too: each model says what it takes and where."""
    svg = element(
        "svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="group",
        aria_label="Where the space goes: one rectangle for each model, as large as what it takes",
    )
    ordered = sorted((place for place in places if place.bytes), key=lambda place: -place.bytes)
    boxes = squarified([place.bytes for place in ordered], Box(0, 0, WIDTH, HEIGHT))
    for number, (place, box) in enumerate(zip(ordered, boxes, strict=True)):
        svg.append(_place(place, box, number))
    return svg


def _place(place: MappedPlace, box: Box, number: int) -> ET.Element:
    group = element("g", _rect(box.inside(1), "place"), class_=f"p{number % 6}")
    label = _text(f"{place.path}  {display.size(place.bytes)}", box.inside(1), "name")
    if label is not None:
        group.append(label)
    inner = box.inside(3, _LINE if label is not None else 0)
    for model, its in zip(place.models, squarified([one.bytes for one in place.models], inner), strict=True):
        if its.area >= LEAST:
            group.append(_model(model, its, place))
    return group


def _model(model: MappedModel, box: Box, place: MappedPlace) -> ET.Element:
    name = model.id or "files of no model"
    double = sum(file.bytes for file in model.files if file.duplicate)
    told = f"{name}: {display.size(model.bytes)} in {place.path}"
    if double:
        told += f", {display.size(double)} of it are in other files too"
    group = element("g", element("title", told), class_="model", role="img", aria_label=told, tabindex="-1")
    group.append(_rect(box.inside(0.5), "whole"))
    label = _text(name, box, "label")
    inner = box.inside(1, _LINE if label is not None and box.height > 3 * _LINE else 0)
    group.extend(_files(model.files, inner))
    if label is not None:
        group.append(label)
    return group


def _files(files: Sequence[MappedFile], box: Box) -> Iterator[ET.Element]:
    for file, its in zip(files, squarified([one.bytes for one in files], box), strict=True):
        if its.area >= LEAST:
            rect = _rect(its.inside(0.5), "twice" if file.duplicate else "file")
            rect.append(element("title", f"{file.name}: {display.size(file.bytes)}"))
            yield rect


def _rect(box: Box, class_: str) -> ET.Element:
    x, y, width, height = (f"{value:.1f}".removesuffix(".0") for value in box)
    return element("rect", x=x, y=y, width=width, height=height, class_=class_)


def _text(text: str, box: Box, class_: str) -> ET.Element | None:
    """A line at the top of a box, cut to its width; None where there is no room for a word."""
    room = int((box.width - 6) / _CHARACTER)
    if box.height < _LINE or room < 4:
        return None
    text = display.shown(text)
    cut = text if len(text) <= room else text[: room - 1] + "…"
    return element(
        "text", cut, x=f"{box.x + 4:.1f}", y=f"{box.y + 12:.1f}", class_=class_, aria_hidden="true"
    )
