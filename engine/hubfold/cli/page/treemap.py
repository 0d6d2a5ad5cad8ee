"""Rectangles for sizes: squarified treemaps (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).

Thirty lines of arithmetic, which no kept library has without drawing as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle, in whatever unit its page has; y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    def inside(self, edge: float, top: float = 0) -> Box:
        """This without an `edge` all around and `top` more above; nothing at all where no room is left."""
        width, height = self.width - 2 * edge, self.height - 2 * edge - top
        return Box(self.x + edge, self.y + edge + top, max(width, 0), max(height, 0))


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """A rectangle for each of `sizes` (largest first, none 0), as near to a square as rows allow: all of `box`."""
    found: list[Box] = []
    left = sum(sizes)
    row: list[float] = []
    for size in sizes:
        if row and _worst([*row, size], left, box) > _worst(row, left, box):
            placed, box = _laid(row, left, box)
            found += placed
            left -= sum(row)
            row = []
        row.append(size)
    return found + _laid(row, left, box)[0] if row else found


def _worst(row: Sequence[float], left: float, box: Box) -> float:
    """How far the rectangle of a row is from a square that is farthest; `left` is what `box` is for."""
    side = min(box.width, box.height)
    if not side:
        return 1.0
    scale = box.area / left
    area = sum(row) * scale
    return max(max(side**2 * one * scale / area**2, area**2 / (side**2 * one * scale)) for one in row)


def _laid(row: Sequence[float], left: float, box: Box) -> tuple[list[Box], Box]:
    """A row along the shorter side of a box, and what is left of the box."""
    share = sum(row) / left
    upright = box.width >= box.height
    thick = (box.width if upright else box.height) * share
    placed, at = [], 0.0
    for size in row:
        long = (box.height if upright else box.width) * size / sum(row)
        if upright:
            placed.append(Box(box.x, box.y + at, thick, long))
        else:
            placed.append(Box(box.x + at, box.y, long, thick))
        at += long
    if upright:
        return placed, Box(box.x + thick, box.y, box.width - thick, box.height)
    return placed, Box(box.x, box.y + thick, box.width, box.height - thick)
