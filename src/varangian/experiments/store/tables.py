"""Metrics as Parquet, and back."""

from __future__ import annotations

import math
from typing import Any

from varangian.errors import MissingExtraError
from varangian.metrics import Table

RUN = "run"
"""The column that names the run, so that the files of a store can be read as one table."""


def require_pyarrow() -> Any:
    """Return the package. Raises MissingExtraError."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("A store of runs", "store") from error
    return pyarrow


def to_parquet(table: Table, run: str, experiment: str) -> bytes:
    """Return a table as a Parquet file: whose it is, then the columns; what was not measured is null.

    The experiment stands in the file's own notes, so that the file alone tells what it is.
    """
    arrow = require_pyarrow()
    steps = len(next(iter(table.values()), []))
    columns = {RUN: arrow.array([run] * steps, arrow.dictionary(arrow.int32(), arrow.string()))}
    for name, values in table.items():
        # None is null, which averages skip; a query would make NaN of everything that meets a NaN.
        present = [None if math.isnan(value) else value for value in values]
        columns[name] = arrow.array(present, arrow.int64() if name == "step" else arrow.float64())
    page = arrow.BufferOutputStream()
    made = arrow.table(columns).replace_schema_metadata({"varangian.experiment": experiment})
    arrow.parquet.write_table(made, page, compression="zstd")
    return bytes(page.getvalue())


def from_parquet(content: bytes) -> Table:
    """Return the table of a Parquet file. Raises what pyarrow raises for what is none."""
    arrow = require_pyarrow()
    # A buffer of Arrow's own: of a Python file its threads let go too late, when the interpreter has ended.
    read = arrow.parquet.ParquetFile(arrow.BufferReader(content)).read(use_threads=False)
    columns = {
        name: [math.nan if value is None else float(value) for value in read[name].to_pylist()]
        for name in read.column_names
        if name != RUN
    }
    table = Table()
    for row in zip(*columns.values(), strict=True):
        table.append(dict(zip(columns, row, strict=True)))
    return table
