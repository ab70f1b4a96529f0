"""A figure of the page: the picture, its words, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.audit.page import curves, heatmap
from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.numbers import is_share, number

WIDE = 4
"""A table of more columns than this is too wide for paper."""


def figure(anchor: str, series: Mapping[str, Any]) -> Markup:
    """Return a series of a report as a figure that can be seen, read, and taken away as CSV."""
    title = tag("h3", series["title"], id=anchor)
    words = tag("figcaption", title, tag("p", series["meaning"]))
    body: list[Markup | None]
    if series["kind"] == "heatmap":
        body = [scrolled(heatmap.coloured(series), series["title"]), heatmap.scale(series)]
    else:
        body = [
            curves.drawing(series, anchor),
            curves.legend(series),
            tag("details", tag("summary", "The numbers"), scrolled(_table(series), series["title"])),
        ]
    return tag("figure", words, body, aria_labelledby=anchor, class_=_kind(series))


def _table(series: Mapping[str, Any]) -> Markup:
    """Return the points of all lines, one a column."""
    lines = series["lines"]
    across = sorted({x for line in lines for x in line["x"]})
    found = [dict(zip(line["x"], line["y"], strict=True)) for line in lines]
    head = [tag("th", _axis(series["x"]), scope="col")]
    head += [tag("th", line["name"], scope="col") for line in lines]
    rows = [
        tag(
            "tr",
            tag("th", number(x, series["x"]["unit"]), scope="row"),
            [tag("td", number(values.get(x), series["y"]["unit"])) for values in found],
        )
        for x in across
    ]
    caption = tag("caption", _axis(series["y"]))
    wide = "wide" if len(lines) > WIDE else None
    return tag(
        "table", caption, tag("thead", tag("tr", head)), tag("tbody", rows), data_csv=True, class_=wide
    )


def _axis(axis: Mapping[str, Any]) -> str:
    return (
        str(axis["label"])
        if axis["unit"] == "" or is_share(axis["unit"])
        else f"{axis['label']} ({axis['unit']})"
    )


def scrolled(table: Markup, title: str) -> Markup:
    """Return a table that scrolls by itself where it is too wide, by keyboard too."""
    return tag(
        "div", table, class_="scrolled", tabindex="0", role="region", aria_label=f"{title}, as a table"
    )


def _kind(series: Mapping[str, Any]) -> str:
    return "heat" if series["kind"] == "heatmap" else "plain"
