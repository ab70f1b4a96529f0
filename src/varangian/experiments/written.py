"""Tables as CSV files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from varangian.errors import DataError


def write_csv(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a table as CSV and return its path. Raises DataError for a path that cannot be written."""
    target = Path(path)
    try:
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(value) for value in row] for row in rows)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}.") from None
    return target


def _cell(value: object) -> object:
    """Return what stands in a file: of a float, the digits that mean something.

    >>> _cell(0.1 + 0.2), _cell("krum"), _cell(3)
    (0.3, 'krum', 3)
    """
    return float(f"{value:.12g}") if isinstance(value, float) else value
