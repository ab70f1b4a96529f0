"""One page from a report: styles, scripts and data inside, and no way out to any network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from varangian.audit.page import sections
from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.playground import playground

STYLES = ("base.css", "parts.css", "figures.css", "heatmap.css", "playground.css", "paper.css")
SCRIPTS = (
    "geometry.js",
    "rules.js",
    "cloud.js",
    "dom.js",
    "view.js",
    "rows.js",
    "playground.js",
    "download.js",
)


def render(report: Mapping[str, Any]) -> str:
    """Return a report, as JSON has it, as one HTML page that needs nothing else.

    All text of the report is escaped, and a policy in the page forbids every script and style but its own,
    and all requests.
    """
    style, script = _joined(STYLES), _joined(SCRIPTS)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Audit of {report['subject']['name']}"),
        tag("style", style),
    )
    body = tag(
        "body",
        _banner(),
        tag("main", _parts(report), id="main"),
        _data(report),
        tag("script", script, type="module"),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _parts(report: Mapping[str, Any]) -> list[Markup | None]:
    return [
        sections.verdict(report),
        sections.glance(report["findings"]),
        sections.threat_model(report["threat_model"]),
        sections.pictures(report),
        sections.findings(report),
        playground(report["plane"]),
        sections.clients(report),
        sections.worst_attack(report["worst_attack"]),
        sections.checks(report["checks"]),
        sections.provenance(report),
    ]


def _banner() -> Markup:
    skip = tag("a", "Skip to the verdict", href="#main", class_="skip")
    return tag(
        "header",
        skip,
        tag("p", tag("b", "Varangian"), " audit"),
        tag("div", data_part="tools"),
        class_="banner",
    )


def _data(report: Mapping[str, Any]) -> Markup:
    """Return the report within the page, to the byte, for who received only the page."""
    text = json.dumps(dict(report), indent=2, ensure_ascii=False) + "\n"
    inert = json.dumps(text).replace("<", "\\u003c")
    return tag("script", Markup(inert), type="application/json", id="report")


@cache
def _joined(names: tuple[str, ...]) -> Markup:
    folder = files("varangian.audit.page").joinpath("assets")
    return Markup("\n".join(folder.joinpath(name).read_text("utf-8") for name in names))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
