"""The playground's frame: what is dragged, typed and read; the scripts fill it in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.sections import section

WIDTH, HEIGHT = 720, 540

WHOSE = (
    "Round {round} of the audit, seen along the two directions in which its honest vectors differ most; "
    "these show {explained:.0%} of the difference."
)
NOBODY = "An invented round of ten honest vectors in two dimensions."


def playground(plane: Mapping[str, Any] | None) -> Markup:
    """Return the playground, on the audit's own plane if there is one."""
    intro = WHOSE.format(**plane) if plane else NOBODY
    return section(
        "Be the attacker",
        tag(
            "p",
            intro,
            " Drag the liar's vector, or select it and press the arrow keys (with Shift ten times as far). "
            "Every rule answers at once: how far is it from the mean of the honest?",
        ),
        tag("noscript", tag("p", "The playground needs JavaScript; all else on this page does without.")),
        tag("div", _plot(), _controls(), class_="stage"),
        tag(
            "div",
            _rules(),
            class_="scrolled",
            tabindex="0",
            role="region",
            aria_label="What every rule returns",
        ),
        tag(
            "p",
            "The coefficient is the squared distance of a rule's answer from the honest mean, over the mean "
            "squared distance of the honest vectors from it. No rule can promise less than f/(n−2f) = ",
            tag("data", data_part="floor"),
            " with n = ",
            tag("data", data_part="n"),
            ". What is proven holds against every attacker while no more lie than are declared. "
            "CenteredClipping starts from the origin, and AdaptiveClipping measures lengths from it: the "
            "nearer it is to the honest mean, the better for them.",
        ),
        class_="playground",
        data_playground=True,
        data_plane=json.dumps(plane) if plane else None,
    )


def _plot() -> Markup:
    attacker = tag(
        "g",
        tag("circle", r=26, class_="reach"),
        tag("path", d="M-9 -9L9 9M9 -9L-9 9", class_="halo"),
        tag("path", d="M-9 -9L9 9M9 -9L-9 9", class_="cross"),
        data_part="attacker",
        class_="attacker",
        tabindex="0",
        role="button",
        aria_roledescription="draggable point",
        aria_label="The attacker",
    )
    layers = [tag("g", data_part=part, class_=part) for part in ("lines", "honest")]
    return tag(
        "svg",
        tag("rect", width=WIDTH, height=HEIGHT, class_="ground"),
        tag("path", d="M-7 0H7M0 -7V7", data_part="origin", class_="origin"),
        layers,
        _mean("mean"),
        tag("g", data_part="outputs", class_="outputs"),
        attacker,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        data_part="plot",
        role="group",
        aria_label="The honest vectors, the attacker, and what every rule returns",
    )


def _controls() -> Markup:
    fields = [
        _field("Attacker, x", "x", step="any"),
        _field("Attacker, y", "y", step="any"),
        _field("Liars, all sending it", "liars", min=1),
        _field("Declared f", "declared", min=0),
    ]
    keys = [
        _key("an honest vector", tag("g", tag("circle", r=6), class_="honest")),
        _key("their mean", _mean()),
        _key("the attacker", tag("path", d="M-6 -6L6 6M6 -6L-6 6", class_="cross")),
        _key("the origin", tag("path", d="M-7 0H7M0 -7V7", class_="origin")),
    ]
    again = tag("button", "Another cloud", type="button", data_part="again")
    news = tag("p", role="status", aria_live="polite", data_part="told", class_="told")
    return tag("div", fields, again, tag("ul", keys, class_="keys"), news, class_="controls")


def _key(words: str, sign: Markup) -> Markup:
    return tag("li", tag("svg", sign, viewBox="-13 -13 26 26", aria_hidden="true"), words)


def _mean(part: str | None = None) -> Markup:
    return tag("g", tag("path", d="M-11 0H11M0 -11V11"), tag("circle", r=5), data_part=part, class_="mean")


def _field(label: str, part: str, **attributes: Any) -> Markup:
    return tag("label", label, tag("input", type="number", data_part=part, required=True, **attributes))


def _rules() -> Markup:
    names = ("rule", "returns", "coefficient now", "worst so far", "proven", "")
    head = [tag("th", name or tag("span", "find the worst", class_="unseen"), scope="col") for name in names]
    return tag("table", tag("thead", tag("tr", head)), tag("tbody", data_part="rules"), class_="rules")
