"""The parts of the page, each from its part of the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from varangian.audit.page.figures import figure, scrolled
from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.numbers import number
from varangian.audit.page.words import VERDICTS, badge, kind

Part = Mapping[str, Any]

TOLD_FIRST = ("breakdown_real", "breakdown_declared", "heatmap", "influence")
"""The figures that a reader should meet first."""


def verdict(report: Part) -> Markup:
    """Return what a reader in a hurry needs: the verdict, in a sentence, and against whom."""
    status, subject = report["verdict"]["status"], report["subject"]
    return tag(
        "section",
        tag("h1", VERDICTS.get(status, status)),
        tag("p", report["verdict"]["summary"], class_="lead"),
        tag(
            "p",
            f"{subject['name']}, audited {report['made'][:10]} in {report['seconds']:.0f} s",
            class_="byline",
        ),
        class_=f"verdict {kind(status)}",
        aria_label="Verdict",
    )


def glance(findings: Sequence[Part]) -> Markup:
    """Return one card for each finding that has a number, which leads to its depth."""
    told = [finding for finding in findings if finding["status"] != "not covered"]
    silent = [finding for finding in findings if finding["status"] == "not covered"]
    cards = [
        tag(
            "li",
            tag(
                "a",
                badge(finding["status"]),
                tag("strong", finding["shown"]),
                tag("span", finding["title"]),
                href=f"#{anchor(finding)}",
                class_=f"card {kind(finding['status'])}",
            ),
        )
        for finding in told
    ]
    note = [tag("p", "Not measured here: ", ", ".join(finding["title"] for finding in silent), ".")]
    return section("At a glance", tag("ul", cards, class_="cards"), note if silent else None)


def threat_model(model: Part) -> Markup:
    """Return the card that says against whom the numbers hold, and what they leave out."""
    halves = [
        _sentences("The attacker knows", model["knows"]),
        _sentences("The attacker can", model["can"]),
        _sentences("Trusted", model["trusted"]),
        _sentences("Assumed", model["assumed"]),
        _sentences("Not covered", model["not_covered"], "not-covered"),
    ]
    return section("Against whom", tag("p", model["parties"]), tag("div", halves, class_="model"))


def pictures(report: Part) -> Markup | None:
    """Return all figures, each with its number."""
    order = pictured(report)
    if not order:
        return None
    shown = [figure(f"figure-{place}", report["series"][name]) for place, name in enumerate(order)]
    return section("In pictures", tag("div", shown, class_="figures"))


def pictured(report: Part) -> list[str]:
    """Return the names of the figures in the order of the page."""
    named = [*TOLD_FIRST, *(name for finding in report["findings"] for name in finding["series"])]
    return list(dict.fromkeys([*(name for name in named if name in report["series"]), *report["series"]]))


def findings(report: Part) -> Markup:
    """Return every finding with what it means, what to change, and the way to its figures."""
    order = pictured(report)
    return section(
        "What was found, one by one",
        tag("div", [_finding(finding, order) for finding in report["findings"]], class_="findings"),
    )


def _finding(finding: Part, order: Sequence[str]) -> Markup:
    places = [order.index(name) for name in finding["series"] if name in order]
    links = [tag("a", f"picture {place + 1}", href=f"#figure-{place}") for place in places]
    limit = finding["limit"]
    held = None if limit is None else [" held against ", number(limit, finding["unit"])]
    return tag(
        "article",
        tag("header", tag("h3", finding["title"]), badge(finding["status"])),
        tag("p", tag("strong", finding["shown"]), held, class_="number"),
        tag("p", finding["meaning"]),
        tag("p", tag("b", "What would help: "), finding["change"]) if finding["change"] else None,
        tag("p", join_words([finding["reference"] or None, *links]), class_="reference")
        if finding["reference"] or links
        else None,
        id=anchor(finding),
        class_=f"finding {kind(finding['status'])}",
    )


def clients(report: Part) -> Markup | None:
    """Return the evidence about every client, those that differ first."""
    if not report["clients"]:
        return None
    ordered = sorted(report["clients"], key=lambda client: not client["differs"])
    weighted = any(client["share"] is not None for client in ordered)
    names = [
        "client",
        *(["weight"] if weighted else []),
        "rounds",
        "influence",
        "stood out",
        "chance",
        "in words",
    ]
    rows = [
        tag(
            "tr",
            tag("th", client["name"], scope="row"),
            tag("td", number(client["share"], "share")) if weighted else None,
            tag("td", number(client["rounds"])),
            tag("td", number(client["influence"])),
            tag("td", number(client["outlying"])),
            tag("td", number(client["chance"])),
            tag("td", client["words"], class_="words"),
            class_="differs" if client["differs"] else None,
        )
        for client in ordered
    ]
    head = tag(
        "tr", [tag("th", name, scope="col", class_="words" if name == "in words" else None) for name in names]
    )
    table = tag("table", tag("thead", head), tag("tbody", rows), data_csv=True, class_="clients")
    note = (
        "Influence is how far the aggregate moves, in honest standard deviations, when a client's vector is "
        "replaced by the mean of the others'. Chance is the probability that a client like all others stands "
        "out as often. Who differs may have unusual data or a broken device: this is evidence, no verdict on "
        "anybody."
    )
    return section(
        "The clients", tag("p", note), tag("figure", scrolled(table, "The clients"), class_="plain")
    )


def worst_attack(worst: Part | None) -> Markup | None:
    """Return what the worst attack was, and how to play it again."""
    if worst is None:
        return None
    return section(
        "The worst attack found",
        tag("p", tag("strong", worst["attack"]), ": ", worst["words"], "."),
        tag(
            "p",
            "It comes to a ",
            worst["quantity"].replace("_", " "),
            " of ",
            number(worst["number"]),
            ". Play it again:",
        ),
        tag("pre", tag("code", f"varangian audit replay {worst['file']}")),
    )


def checks(conditions: Sequence[Part]) -> Markup | None:
    """Return the conditions under which somebody lets the audit fail, and which of them hold."""
    if not conditions:
        return None
    entries = [
        tag(
            "li",
            badge("fail" if check["holds"] else "pass"),
            tag("code", check["text"]),
            " with ",
            number(check["value"]),
        )
        for check in conditions
    ]
    return section(
        "Conditions", tag("p", "The audit fails if one of these holds:"), tag("ul", entries, class_="checks")
    )


def provenance(report: Part) -> Markup:
    """Return what the numbers were made of, so that they can be made again."""
    entries = [*_flat(report["subject"]), *_flat(report["provenance"])]
    listed = [[tag("dt", name), tag("dd", value)] for name, value in entries if name != "specification"]
    specification = report["subject"]["specification"]
    toml = [tag("h3", "The experiment"), tag("pre", tag("code", specification))] if specification else None
    return section("Made of", tag("dl", listed), toml)


def section(title: str, *children: Any, **attributes: Any) -> Markup:
    """Return a part of the page under its title."""
    return tag("section", tag("h2", title), children, **attributes)


def anchor(finding: Part) -> str:
    """Return the name of a finding within the page."""
    return f"finding-{finding['id']}"


def join_words(parts: Sequence[Any]) -> list[Any]:
    """Return what there is, with commas between.

    >>> join_words(["a", None, "b"])
    ['a', ', ', 'b']
    """
    present = [part for part in parts if part is not None]
    return [word for part in present for word in (", ", part)][1:]


def _sentences(title: str, sentences: Sequence[str], extra: str | None = None) -> Markup:
    return tag(
        "div", tag("h3", title), tag("ul", [tag("li", sentence) for sentence in sentences]), class_=extra
    )


def _flat(part: Part) -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}: {key}", str(inner)) for key, inner in value.items())
        elif value is not None:
            yield name, value if isinstance(value, str) else json.dumps(value)
