"""A heatmap is a table whose cells are coloured: read at a glance, by a screen reader, and on paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.numbers import Told, height, number
from varangian.audit.page.scales import DECADES

SHADES = 7
"""From the best number to the worst; what has no bound is the worst, too."""


def coloured(series: Mapping[str, Any]) -> Markup:
    """Return the heatmap of a report's series, the worst of each row set apart at the end."""
    unit = series["unit"]
    shade = _shades(series)
    head = tag(
        "tr",
        tag("th", series["rows_label"], scope="col", class_="corner"),
        [tag("th", tag("span", name), scope="col") for name in series["columns"]],
        tag("th", tag("span", "worst"), scope="col", class_="worst"),
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
    """Return the shades in a row, with what they say."""
    shades = [tag("span", class_=f"shade-{k}") for k in range(SHADES)]
    return tag("p", "better ", tag("span", shades, class_="shades", aria_hidden="true"), " worse", class_="scale")


def _cell(value: Told, unit: str, shade: int | None, extra: str = "") -> Markup:
    kind = "unmeasured" if shade is None else f"shade-{shade}"
    return tag("td", number(value, unit), class_=f"{kind} {extra}".rstrip())


def _shades(series: Mapping[str, Any]) -> Any:
    """Return what gives each number its shade: in proportion, or by decades where they span many."""
    heights = [h for row in series["values"] for value in row if (h := height(value)) is not None]
    finite = [h for h in heights if math.isfinite(h)] or [0.0]
    decades = min(finite) > 0 and math.log10(max(finite) / min(finite)) > DECADES
    low, high = (math.log(f(finite)) if decades else f(finite) for f in (min, max))

    def shade(value: Told) -> int | None:
        at = height(value)
        if at is None:
            return None
        if math.isinf(at):
            return SHADES - 1
        share = ((math.log(at) if decades else at) - low) / (high - low) if high > low else 0.0
        return round((SHADES - 1) * (1 - share if series["better"] == "high" and high > low else share))

    return shade
