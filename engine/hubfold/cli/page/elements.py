"""Elements of a page. Whatever text comes in is shown as text: it is escaped when the page is written."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hubfold import display


def element(tag: str, /, *children: ET.Element | str | None, **attributes: str) -> ET.Element:
    """``element("td", "text", class_="name")``: a child that is None is left out, and ``_`` stands for ``-``."""
    named = {key.rstrip("_").replace("_", "-"): display.shown(value) for key, value in attributes.items()}
    made = ET.Element(tag, named)
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, str):
            text = display.shown(child)
            if last is None:
                made.text = (made.text or "") + text
            else:
                last.tail = (last.tail or "") + text
        elif child is not None:
            made.append(child)
            last = child
    return made


def as_it_is(tag: str, text: str) -> ET.Element:
    """A script or a style, which HTML does not escape: for texts of ours alone."""
    made = ET.Element(tag)
    made.text = text
    return made
