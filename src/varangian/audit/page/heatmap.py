"""A heatmap is a table whose cells are coloured: read at a glance, by a screen reader, and on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from varangian.audit.page.markup import Markup, breakable, tag
from varangian.audit.page.numbers import Told, height, number, told

ABSOLUTE = {"share": (0.0, 1.0), "accuracy": (0.0, 1.0), "kappa": (0.01, 100.0)}
"""Units whose shades mean the same in every report; a coefficient is shaded by its powers of ten."""

SHADES = 7
"""From the best number to the worst; what has no bound is the worst, too."""


def coloured(series: Mapping[str, Any]) -> Markup:
    """Return the heatmap of a report's series, the worst of each row set apart at the end."""
    unit = series["unit"]
    shade = _shades(series)
    head = tag(
        "tr",
        tag("th", series["rows_label"], scope="col", class_="corner"),
        [tag("th", breakable(name), scope="col") for name in series["columns"]],
        tag("th", "worst", scope="col", class_="worst"),
    )
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [_cell(value, unit, shade(value)) for value in values],
            _cell(worst, unit, shade(worst), "worst"),
        )
        for name, values, worst in zip(series["rows"], series["values"], series["worst"], strict=True)
    ]
    return tag("table", tag("thead", head), tag("tbody", rows), class_="heatmap", data_csv=True)


def scale(series: Mapping[str, Any]) -> Markup:
    """Return the shades in a row, between the numbers that they stand for."""
    low, high = _range(series)
    best, worst = (high, low) if series["better"] == "high" else (low, high)
    shades = tag(
        "span", [tag("span", class_=f"shade-{k}") for k in range(SHADES)], class_="shades", aria_hidden="true"
    )
    ends = [f"{word} {told(end, series['unit'], 0)}" for word, end in (("better", best), ("worse", worst))]
    return tag("p", ends[0], shades, ends[1], class_="scale")


def _cell(value: Told, unit: str, shade: int | None, extra: str = "") -> Markup:
    kind = "unmeasured" if shade is None else f"shade-{shade}"
    return tag("td", number(value, unit), class_=f"{kind} {extra}".rstrip())


def _range(series: Mapping[str, Any]) -> tuple[float, float]:
    """Return the numbers at the ends of the shades."""
    if series["unit"] in ABSOLUTE:
        return ABSOLUTE[series["unit"]]
    heights = [h for row in series["values"] for value in row if (h := height(value)) is not None]
    finite = [h for h in heights if math.isfinite(h)] or [0.0]
    return min(finite), max(finite)


def _shades(series: Mapping[str, Any]) -> Callable[[Told], int | None]:
    """Return what gives each number its shade."""
    low, high = _range(series)
    bend: Callable[[float], float] = math.log if series["unit"] == "kappa" else float

    def shade(value: Told) -> int | None:
        at = height(value)
        if at is None or math.isinf(at):
            return None if at is None else SHADES - 1
        if low == high:
            return 0
        share = (bend(min(max(at, low), high)) - bend(low)) / (bend(high) - bend(low))
        return round((SHADES - 1) * (1 - share if series["better"] == "high" else share))

    return shade
