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

from varangian.audit import Axis, Curves, Finding, Line, Report, Subject, ThreatModel
from varangian.audit.page import render
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


def test_the_report_in_the_page_is_the_file_beside_it() -> None:
    finding = Finding("proven", "It", "pass", math.inf, "kappa", "Æ", "It is so.", series=("error",))
    line = Line("mean", (0.0, 1.0), (0.5, math.inf))
    error = Curves("Error", "It grows.", Axis("liars"), Axis("error"), (line,))
    subject = Subject("rule", "a rule alone", "Krum(f=1)", "krum:f=1", 5, 1, 1, None, 0)
    model = ThreatModel("5 parties", (), (), (), (), ("backdoors",))
    report = Report(subject, model, (finding,), {"error": error}, {}, {})
    (inert,) = (text for text in read(report.to_dict()).inside["script"] if text.startswith('"{'))
    assert json.loads(inert) == report.to_json()


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
