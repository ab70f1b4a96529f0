"""What is told of each client in each round: a row of a table, a line of JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from varangian.core.values import Value

COLUMNS = ("round", "client", "norm", "cosine", "influence", "weight", "claim", "clipped", "why")


@dataclass(frozen=True)
class ClientRecord(Value):
    """One client in one round; it tells no value of an update.

    ``norm`` is that of the update, ``cosine`` that to the aggregate, ``influence`` how far towards the update
    the aggregate lies, from the others, in their standard deviations. ``weight`` is what the update weighed
    in it: None where the rule decides coordinate by coordinate and knows no weights. ``claim`` is how many
    examples the client claimed, None where nobody asked. ``clipped`` tells whether the rule's first stage
    shortened the update, None where it shortens none. A client whose reply was not used is ``rejected``, and
    ``why`` says the reason.
    """

    round: int
    client: int | str
    norm: float | None = None
    cosine: float | None = None
    influence: float | None = None
    weight: float | None = None
    claim: float | None = None
    clipped: bool | None = None
    why: str = ""

    @property
    def rejected(self) -> bool:
        """Tell whether the reply was not used."""
        return bool(self.why)

    def as_json(self) -> str:
        """Return one line of JSON; what is not finite is null.

        >>> ClientRecord(1, 7, why="no reply").as_json()[:42]
        '{"round": 1, "client": 7, "norm": null, "c'
        """
        fields = {**asdict(self), "rejected": self.rejected}
        return json.dumps({name: _plain(value) for name, value in fields.items()}, allow_nan=False)


def as_table(records: Iterable[ClientRecord]) -> str:
    """Return the records as a table for people.

    >>> print(as_table([ClientRecord(1, "ann", 2.0, 0.5, 0.1, 0.25), ClientRecord(1, "bob", why="no reply")]))
    round  client  norm  cosine  influence  weight  claim  clipped  why
    1      ann     2     0.5     0.1        0.25    -      -        -
    1      bob     -     -       -          -       -      -        no reply
    """
    rows = [COLUMNS, *([_cell(getattr(record, name)) for name in COLUMNS] for record in records)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def append_lines(path: str | os.PathLike[str], records: Iterable[ClientRecord]) -> None:
    """Append the records to a file, a line of JSON each."""
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(f"{record.as_json()}\n" for record in records)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
