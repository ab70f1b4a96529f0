"""Curves as a drawing: told apart by colour, by dashes and by marks, so that print in grey loses nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from varangian.audit.page.levels import levels
from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.numbers import height, is_share, told
from varangian.audit.page.scales import Scale

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 460, 30, 246
STYLES = 6
"""So many lines can be told apart; of more, those that reach furthest are, and the others are grey."""
APART = 3
MARKS = 12
"""About so many marks on a line."""
CLOSE = 12
"""So many points between two measured ones are kept free of words."""

SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.6 -3.6h7.2v7.2h-7.2z",
    "M0 -4.6L4.4 3.4H-4.4z",
    "M0 -5L5 0L0 5L-5 0z",
    "M0 4.6L4.4 -3.4H-4.4z",
    "M-4 -1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
)

Points = list[tuple[float, float]]


def drawing(series: Mapping[str, Any], name: str) -> Markup:
    """Return the curves of a report's series, with a title and a description for who cannot see them."""
    lines = series["lines"]
    across = [float(x) for line in lines for x in line["x"]] + _levels(series, "x")
    up = [h for line in lines for y in line["y"] if (h := height(y)) is not None] + _levels(series, "y")
    x = Scale.over(across, LEFT, RIGHT, counts=True)
    unit = series["y"]["unit"]
    y = Scale.over([0.0, 1.0] if is_share(unit) else up, BOTTOM, TOP, decades=1.0 if unit == "kappa" else 2.0)
    parts = [_grid(x, y, series), levels(series["marks"], x, y, _inked(series, x, y)), _lines(series, x, y)]
    return tag(
        "svg",
        tag("title", series["title"], id=f"{name}-title"),
        tag("desc", series["meaning"], id=f"{name}-desc"),
        parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="curves",
    )


def legend(series: Mapping[str, Any]) -> Markup | None:
    """Return what each line and sign is; None where there is nothing to tell apart."""
    lines, styles = series["lines"], _styles(series)
    entries = [tag("li", _sample(style), lines[place]["name"]) for place, style in sorted(styles.items())]
    if len(styles) < len(lines):
        entries.append(tag("li", _sample(None), f"the other {len(lines) - len(styles)}"))
    if any(height(y) == math.inf for line in lines for y in line["y"]):
        arrow = tag("svg", _arrow(16, 8), viewBox="0 0 32 16", aria_hidden="true")
        entries.append(tag("li", arrow, "without bound"))
    return tag("ul", entries, class_="legend") if len(entries) > 1 else None


def _arrow(x: float, y: float) -> Markup:
    return tag("path", d="M-5 4L0 -5L5 4z", transform=f"translate({x} {y})", class_="unbounded")


def _styles(series: Mapping[str, Any]) -> dict[int, int]:
    """Return which lines stand out, and the style of each."""
    lines = series["lines"]
    if len(lines) <= STYLES:
        return {place: place for place in range(len(lines))}
    order = sorted(range(len(lines)), key=lambda place: -_reach(lines[place]))
    return {place: style for style, place in enumerate(order[:APART])}


def _reach(line: Mapping[str, Any]) -> float:
    heights = [h for y in line["y"] if (h := height(y)) is not None]
    return sum(heights) / len(heights) if heights else -math.inf


def _sample(style: int | None) -> Markup:
    dash = tag("path", d="M0 8H32", class_=f"line {_style(style)}")
    mark = _mark(style, 16, 8) if style is not None else None
    return tag("svg", dash, mark, viewBox="0 0 32 16", aria_hidden="true")


def _mark(style: int, x: float, y: float, tip: Markup | None = None) -> Markup:
    return tag("path", tip, d=SHAPES[style], transform=f"translate({x} {y})", class_=f"mark {_style(style)}")


def _style(style: int | None) -> str:
    return "others" if style is None else f"style-{style}"


def _levels(series: Mapping[str, Any], axis: str) -> list[float]:
    return [float(mark["at"]) for mark in series["marks"] if mark["axis"] == axis]


def _grid(x: Scale, y: Scale, series: Mapping[str, Any]) -> Iterator[Markup]:
    for value in y.ticks():
        at = round(y.place(value), 1)
        yield tag("path", d=f"M{LEFT} {at}H{RIGHT}", class_="grid")
        yield tag("text", told(value, series["y"]["unit"], 0), x=LEFT - 8, y=at + 4, class_="tick end")
    for value in x.ticks():
        at = round(x.place(value), 1)
        yield tag("path", d=f"M{at} {BOTTOM}v5", class_="axis")
        yield tag("text", told(value, series["x"]["unit"], 0), x=at, y=BOTTOM + 21, class_="tick middle")
    yield tag("path", d=f"M{LEFT} {BOTTOM}H{RIGHT}", class_="axis")
    yield tag("text", series["x"]["label"], x=(LEFT + RIGHT) / 2, y=HEIGHT - 8, class_="label middle")
    yield tag("text", series["y"]["label"], x=4, y=16, class_="label")


def _inked(series: Mapping[str, Any], x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Return places along the lines, close enough that no word fits between two."""
    inked = []
    for line in series["lines"]:
        for piece in _pieces(line["x"], line["y"]):
            places = [(x.place(at), y.place(value)) for at, value in piece]
            inked += places
            for (x0, y0), (x1, y1) in pairwise(places):
                inked += [(x0 + (x1 - x0) * k / CLOSE, y0 + (y1 - y0) * k / CLOSE) for k in range(1, CLOSE)]
    return inked


def _lines(series: Mapping[str, Any], x: Scale, y: Scale) -> Iterator[Markup]:
    """Yield the lines, those that stand out last and so on top."""
    styles = _styles(series)
    for place in sorted(range(len(series["lines"])), key=lambda place: place in styles):
        yield from _line(series["lines"][place], styles.get(place), x, y)


def _line(line: Mapping[str, Any], style: int | None, x: Scale, y: Scale) -> Iterator[Markup]:
    """Yield the pieces of a line, its marks, and arrows where it leaves for the infinite."""
    for piece in _pieces(line["x"], line["y"]):
        places = [(round(x.place(at), 1), round(y.place(value), 1)) for at, value in piece]
        yield tag("path", d="M" + "L".join(f"{a} {b}" for a, b in places), class_=f"line {_style(style)}")
        every = max(1, len(places) // MARKS)
        for rank, ((at, value), (a, b)) in enumerate(zip(piece, places, strict=True)):
            if math.isinf(value):
                yield _arrow(a, b)
            elif style is not None and rank % every == style % every:
                yield _mark(style, a, b, tag("title", f"{line['name']}: {told(at)}, {told(value)}"))


def _pieces(xs: Sequence[float], ys: Sequence[Any]) -> Iterator[Points]:
    """Yield runs of points that were measured."""
    piece: Points = []
    for x, value in zip(xs, ys, strict=True):
        if (y := height(value)) is not None:
            piece.append((float(x), y))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece
