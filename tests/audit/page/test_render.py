"""The page without a browser: whole, closed to the network, and deaf to hostile text."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
from typing import Any

import pytest
from audit.page.example import bare, whole
from audit.page.reading import Reading
from hypothesis import given, settings
from hypothesis import strategies as st

from varangian.audit.page import render
from varangian.audit.page.curves import drawing
from varangian.audit.page.heatmap import coloured
from varangian.audit.page.levels import Box
from varangian.audit.page.numbers import told
from varangian.audit.page.scales import Scale
from varangian.audit.report import schema

HOSTILE = """</script></style></title><img src=x onerror=alert(1)>"'`><script>alert(2)</script>&lt;"""
STRUCTURE = {"status", "kind", "unit", "axis", "better", "made", "format", "id", "series"}
"""What the page goes by, which is the audit's own word and nobody else's."""


def read(report: dict[str, Any]) -> Reading:
    return Reading(render(report))


def replaced(value: Any, text: str) -> Any:
    """Return a report in which everybody's words, and the names of what they bring, are another text."""
    if isinstance(value, dict):
        return {
            name: inner if name in STRUCTURE and isinstance(inner, str | list) else replaced(inner, text)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [replaced(inner, text) for inner in value]
    return text if isinstance(value, str) and value != "unbounded" else value


def test_every_part_of_the_report_is_told() -> None:
    report, page = whole(), read(whole())
    model = report["threat_model"]
    sentences = [report["verdict"]["summary"], model["parties"]]
    sentences += [
        line for part in ("trusted", "knows", "can", "assumed", "not_covered") for line in model[part]
    ]
    for finding in report["findings"]:
        sentences += [finding["title"], finding["shown"], finding["meaning"], finding["reference"]]
    for series in report["series"].values():
        sentences += [series["title"], series["meaning"]]
    sentences += [client["words"] for client in report["clients"]] + [report["worst_attack"]["words"]]
    sentences += [check["text"] for check in report["checks"]] + [report["provenance"]["code_sha256"]]
    missing = [sentence for sentence in sentences if sentence not in page.text]
    assert not missing


def test_the_summary_comes_first() -> None:
    text = read(whole()).text
    order = [
        "Passes, with reservations",
        "At a glance",
        "Against whom",
        "Not covered",
        "In pictures",
        "one by one",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize("status", schema()["$defs"]["status"]["enum"])
def test_every_status_has_a_sign_and_a_word(status: str) -> None:
    report = bare()
    report["verdict"]["status"] = status
    report["findings"] = [report["findings"][0] | {"status": status}]
    page = read(report)
    badges = [tag for tag in page.all("span") if (tag.get("class") or "").startswith("badge")]
    assert badges
    assert all(f"is-{status.replace(' ', '-')}" in str(tag["class"]) for tag in badges)


def test_a_rule_alone_makes_a_page() -> None:
    page = read(bare())
    assert "An invented round" in page.text
    assert "In pictures" not in page.text
    assert "The clients" not in page.text


@pytest.mark.parametrize("report", [whole(), bare()], ids=["whole", "bare"])
def test_nothing_leads_out_of_the_page(report: dict[str, Any]) -> None:
    page = read(report)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form")
        assert not attributes.keys() & {"src", "srcset", "action", "style", "ping"}
        assert not [name for name in attributes if name.startswith("on")]
        assert str(attributes.get("href", "#")).startswith("#")
    styles, scripts = "".join(page.inside["style"]), "".join(page.inside["script"])
    assert not [word for word in ("url(", "@import", "@font-face") if word in styles]
    assert not [
        word
        for word in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "eval(", "Function(", "innerHTML")
        if word in scripts
    ]


def test_the_policy_names_the_one_style_and_the_one_script() -> None:
    page = read(whole())
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    code = [text for text in page.inside["script"] if "playground" in text]
    for kind, text in (("style", page.inside["style"]), ("script", code)):
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in str(policy["content"])
    assert "default-src 'none'" in str(policy["content"])
    assert "unsafe" not in str(policy["content"])


def test_hostile_words_change_no_tag() -> None:
    calm, hostile = read(replaced(whole(), "calm")), read(replaced(whole(), HOSTILE))
    assert hostile.shape == calm.shape
    assert HOSTILE.replace("\n", " ") in hostile.text


def test_hostile_names_of_series_are_names() -> None:
    report = whole()
    report["series"] = {f"{HOSTILE}{name}": series for name, series in report["series"].items()}
    report["findings"] = [finding | {"series": list(report["series"])} for finding in report["findings"]]
    assert {name for name, _ in read(report).tags} == {name for name, _ in read(whole()).tags}


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\u202egnp.exe", "a" * 100_000, "\x1b[31m", "\r"])
def test_text_that_is_no_text_is_shown_by_number_or_cut(text: str) -> None:
    report = replaced(whole(), text)
    page = render(report)
    page.encode("utf-8")
    shown = Reading(page)
    assert text not in shown.text
    assert len(shown.text) < 3_000_000


def test_the_report_can_be_taken_out_of_the_page_to_the_byte() -> None:
    report = whole()
    report["subject"]["name"] = "Ærø </script> <!-- \ud800"
    (inert,) = (text for text in Reading(render(report)).inside["script"] if text.startswith('"{'))
    text = json.loads(inert)
    assert text == json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    assert json.loads(text) == report


def test_rendering_leaves_the_report_alone_and_is_the_same_twice() -> None:
    report = whole()
    before = copy.deepcopy(report)
    assert render(report) == render(report)
    assert report == before


def test_every_number_of_a_figure_stands_in_a_table_with_all_its_digits() -> None:
    report = whole()
    values = {str(tag["value"]) for tag in read(report).all("data") if "value" in tag}
    for series in report["series"].values():
        if series["kind"] == "heatmap":
            wanted = [value for row in series["values"] for value in row] + series["worst"]
        else:
            wanted = [value for line in series["lines"] for value in (*line["x"], *line["y"])]
        assert {str(value) for value in wanted if value is not None} <= values


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
