"""HTML from values: whatever is text is escaped where it enters, so that nothing hostile becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

LONGEST = 5000
"""No text of a report is longer on the page."""

VOID = {"br", "input", "link", "meta", "wbr"}
PIECE = re.compile(r".{1,16}?(?:(?<=[:+])|(?<=[a-z]-)|$)|.{16}", re.DOTALL)
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, halves of pairs, what takes no room, and what turns the direction of text around."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element; children are markup, text to escape, numbers, None, or iterables of these.

    An attribute that is None or False is left out, and one that is True stands alone; ``class_`` is class,
    and other underscores are hyphens.

    >>> tag("p", "1 < 2", tag("br"), class_="sum", hidden=True)
    '<p class="sum" hidden>1 &lt; 2<br></p>'
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opening if name in VOID else f"{opening}{join(children)}</{name}>")


def join(children: Any) -> Markup:
    """Return children in a row, as ``tag`` takes them.

    >>> join(["a & b", None, ["c", 4]])
    'a &amp; bc4'
    """
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, Iterable) and not isinstance(children, str):
        return Markup("".join(join(child) for child in children))
    return Markup(escape(visible(str(children))))


def breakable(name: str) -> list[str | Markup]:
    """Return a name that may break between its parts, and anywhere if it is all one part.

    >>> breakable("min-max:along=unit")
    ['min-', '<wbr>', 'max:', '<wbr>', 'along=unit']
    """
    pieces: list[str] = PIECE.findall(name)
    return [part for piece in pieces for part in (tag("wbr"), piece)][1:]


def visible(text: str) -> str:
    r"""Return the text with what cannot be seen shown by number, and no longer than is reasonable.

    >>> visible("site\u202e-1")
    'site\\u202e-1'
    """
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return _numbered(short)


def _numbered(text: str) -> str:
    return HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(_numbered(str(value)))}"'
