"""The pictures of the page: on the paper whatever comes, shaded alike, and with words where there is room."""

from __future__ import annotations

import math
from typing import Any

import pytest
from audit.page.example import whole
from audit.page.reading import Reading
from hypothesis import given, settings
from hypothesis import strategies as st

from varangian.audit.page.curves import drawing
from varangian.audit.page.heatmap import coloured
from varangian.audit.page.levels import Box
from varangian.audit.page.numbers import told
from varangian.audit.page.scales import Scale


def curves(*lines: tuple[list[float], list[Any]], unit: str = "", marks: Any = ()) -> dict[str, Any]:
    axis = {"label": "liars", "unit": unit}
    return {
        "kind": "curves",
        "title": "title",
        "meaning": "meaning",
        "better": "low",
        "x": axis,
        "y": axis,
        "lines": [{"name": f"line {k}", "x": x, "y": y} for k, (x, y) in enumerate(lines)],
        "marks": list(marks),
    }


@pytest.mark.parametrize(
    "series",
    [
        curves(),
        curves(([], [])),
        curves(([1.0], [None])),
        curves(([1.0], [2.0])),
        curves(([0.0, 1.0], [0.0, 0.0])),
        curves(([0.0, 1.0], ["unbounded", "unbounded"])),
        curves(([0.0, 1.0, 2.0], [1e-9, 1e9, "unbounded"]), unit="kappa"),
        curves(([0.0, 1.0], [-5.0, -3.0])),
        curves(([0.0, 0.5], [0.2, 1.0]), unit="share"),
        curves(*[([0.0, 1.0], [float(k), None]) for k in range(30)]),
        curves(([0.0, 1.0], [1.0, 2.0]), marks=[{"axis": "y", "at": 50.0, "label": "far"}]),
        curves(([1.0, 2.0], [1e300, 1e-300]), unit="kappa"),
    ],
)
def test_curves_of_any_kind_stay_on_the_paper(series: dict[str, Any]) -> None:
    page = Reading(drawing(series, "it"))
    for _, attributes in page.tags:
        for name in ("d", "transform", "x", "y"):
            text = str(attributes.get(name, ""))
            assert "nan" not in text
            assert "inf" not in text
    marks = [str(tag["transform"]) for tag in page.all("path") if "transform" in tag]
    for mark in marks:
        x, y = map(float, mark.removeprefix("translate(").removesuffix(")").split())
        assert 0 <= x <= 480
        assert 0 <= y <= 300


def test_what_has_no_bound_is_an_arrow() -> None:
    page = Reading(drawing(curves(([0.0, 1.0], [1.0, "unbounded"])), "it"))
    assert len(page.all("path", **{"class": "unbounded"})) == 1


def test_of_many_lines_those_that_reach_furthest_stand_out() -> None:
    report = whole()
    page = Reading(drawing(report["series"]["influence"], "it"))
    assert len(page.all("path", **{"class": "line others"})) == 14  # 13 clients, one with a gap
    assert any("worker 11: " in words for words in page.words)


def shades(values: list[Any], unit: str, better: str) -> list[str]:
    series = whole()["series"]["attacks"] | {"unit": unit, "better": better, "rows": ["one"]}
    series |= {"columns": [f"attack {k}" for k in range(len(values))], "values": [values], "worst": [None]}
    *cells, _ = Reading(coloured(series)).all("td")
    return [str(cell["class"]) for cell in cells]


@pytest.mark.parametrize(
    ("values", "unit", "better", "told"),
    [
        ([0.0, 3.0, 6.0], "", "low", [0, 3, 6]),
        ([0.0, 3.0, 6.0], "", "high", [6, 3, 0]),
        ([2.0, 2.0], "", "high", [0, 0]),
        ([1.0, "unbounded"], "", "low", [0, 6]),
        ([0.0, 0.5, 1.0], "share", "high", [6, 3, 0]),
        ([0.95, 0.94], "share", "high", [0, 0]),
        ([0.0, 1e-9, 0.01, 1.0, 100.0, 1e40, "unbounded"], "kappa", "low", [0, 0, 0, 3, 6, 6, 6]),
    ],
)
def test_the_worse_the_deeper_is_the_shade(
    values: list[Any], unit: str, better: str, told: list[int]
) -> None:
    assert shades(values, unit, better) == [f"shade-{k}" for k in told]


def test_what_was_not_measured_has_no_shade() -> None:
    assert shades([None, 1.0], "kappa", "low") == ["unmeasured", "shade-3"]


@settings(max_examples=40)
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=8),
    st.sampled_from([1.0, 2.0, math.inf]),
    st.booleans(),
)
def test_a_scale_holds_its_numbers_between_its_ticks(
    values: list[float], decades: float, counts: bool
) -> None:
    scale = Scale.over(values, 0.0, 100.0, decades=decades, counts=counts)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(set(ticks))
    unseen = 1e-8 * (scale.high - scale.low)
    assert scale.low - unseen <= min(values)
    assert max(values) <= scale.high + unseen
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= 100


def test_between_whole_numbers_stands_no_tick() -> None:
    assert Scale.over([0.0, 3.0], 0.0, 1.0, counts=True).ticks() == [0.0, 1.0, 2.0, 3.0]
    assert 0.5 in Scale.over([0.0, 2.5], 0.0, 1.0, counts=True).ticks()
    assert 0.5 in Scale.over([0.0, 3.0], 0.0, 1.0).ticks()


def test_words_at_the_edge_turn_inwards() -> None:
    series = curves(([0.0, 3.0], [1.0, 2.0]), marks=[{"axis": "x", "at": 3.0, "label": "declared f"}])
    (note,) = (tag for tag in Reading(drawing(series, "it")).all("text") if "note" in str(tag["class"]))
    assert note["class"] == "note end"


def test_words_that_meet_are_known_to_meet() -> None:
    assert Box.of("declared", 10, 20, 1).meets(Box.of("calm", 30, 25, 1))
    assert not Box.of("declared", 10, 20, 1).meets(Box.of("calm", 10, 60, 1))


def test_minus_is_a_minus() -> None:
    assert told(-0.5) == "−0.5"
    assert told(-1234.0) == "−1234"
