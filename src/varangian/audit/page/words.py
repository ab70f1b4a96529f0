"""What a status is called on the page, and the sign beside the word: never colour alone."""

from __future__ import annotations

from varangian.audit.page.markup import Markup, tag

SIGNS = {
    "pass": ("passes", "M-5 0L-1.5 4L5 -4"),
    "warn": ("take care", "M0 -5.5V1.5M0 4.5V5"),
    "fail": ("fails", "M-4 -4L4 4M4 -4L-4 4"),
    "refused": ("no pass possible", "M-5 0H5"),
    "not covered": ("not covered", "M-3 -3A3.2 3.2 0 1 1 0.5 1V2M0.5 4.8V5.2"),
}
VERDICTS = {
    "pass": "Passes",
    "warn": "Passes, with reservations",
    "fail": "Does not pass",
    "refused": "No pass can be given",
    "not covered": "Nothing was measured",
}


def kind(status: str) -> str:
    """Return the class of elements that show a status; one that is unknown is not covered."""
    return f"is-{(status if status in SIGNS else 'not covered').replace(' ', '-')}"


def badge(status: str) -> Markup:
    """Return the sign and the word for a status."""
    word, path = SIGNS.get(status, SIGNS["not covered"])
    sign = tag(
        "svg",
        tag("circle", r=9, class_="disc"),
        tag("path", d=path, class_="sign"),
        viewBox="-10 -10 20 20",
        aria_hidden="true",
    )
    return tag("span", sign, word, class_=f"badge {kind(status)}")
