"""Labels beside their points: never over one another, never over a mark, never off the canvas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REACH = (4.0, 16.0, 32.0, 52.0, 76.0, 104.0)
DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
GRID = 6.0
CROSSING = 40.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height

    def overlaps(self, other: Box) -> bool:
        """Whether the two share area."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def within(self, other: Box) -> bool:
        """Whether it lies wholly inside the other."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the box that is closest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def distance(self, x: float, y: float) -> float:
        """Pixels from (x, y) to the box."""
        near = self.nearest(x, y)
        return math.hypot(near[0] - x, near[1] - y)


def around(x: float, y: float, half: float) -> Box:
    """The square with this centre."""
    return Box(x - half, y - half, 2 * half, 2 * half)


def _candidates(x: float, y: float, width: float, height: float, radius: float) -> Iterator[Box]:
    for reach in REACH:
        gap = radius + reach
        for across, down in DIRECTIONS:
            diagonal = 0.71 if across and down else 1.0
            left = x + (gap * diagonal if across > 0 else -gap * diagonal - width if across < 0 else -width / 2)
            top = y + (gap * diagonal if down > 0 else -gap * diagonal - height if down < 0 else -height / 2)
            yield Box(left, top, width, height)


def _scan(canvas: Box, width: float, height: float) -> Iterator[Box]:
    for row in range(int((canvas.height - height) // GRID) + 1):
        for column in range(int((canvas.width - width) // GRID) + 1):
            yield Box(canvas.left + column * GRID, canvas.top + row * GRID, width, height)


def leader(box: Box, x: float, y: float) -> list[Box]:
    """Small squares along the way from a point to its label."""
    near_x, near_y = box.nearest(x, y)
    steps = max(2, int(box.distance(x, y) // 6))
    return [around(x + (near_x - x) * k / steps, y + (near_y - y) * k / steps, 1.0) for k in range(1, steps)]


def place(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    canvas: Box,
    *,
    radius: float = 8.0,
    avoid: Sequence[Box] = (),
) -> list[Box | None]:
    """Give each label a place near its point.

    Args:
        anchors: (N, 2) pixels. The points; each keeps ``radius`` around it free of labels.
        sizes: (N, 2) pixels. Width and height of each label.
        canvas: where labels may be.
        radius: () pixels. Size of a mark.
        avoid: what a label should not cover if it can be helped.

    Returns:
        One box a label, in the order given; None where the canvas has no room left.
    """
    marks = [around(x, y, radius) for x, y in anchors]
    taken: list[Box] = []
    soft = list(avoid)
    placed: list[Box | None] = []

    def free(box: Box) -> bool:
        return box.within(canvas) and not any(box.overlaps(other) for other in (*marks, *taken))

    def cost(box: Box, x: float, y: float) -> float:
        crossed = sum(box.overlaps(other) for other in soft)
        others = [mark for mark in marks if mark != around(x, y, radius)]
        way = sum(step.overlaps(other) for step in leader(box, x, y) for other in (*taken, *others))
        return box.distance(x, y) + CROSSING * (crossed > 0) + 6 * crossed + CROSSING * (way > 0) + 6 * way

    for (x, y), (width, height) in zip(anchors, sizes, strict=True):
        options = [box for box in _candidates(x, y, width, height, radius) if free(box)]
        options = options or [box for box in _scan(canvas, width, height) if free(box)]
        best = min(options, key=lambda box, x=x, y=y: cost(box, x, y)) if options else None
        if best is not None:
            taken.append(best)
            soft += leader(best, x, y)
        placed.append(best)
    return placed
