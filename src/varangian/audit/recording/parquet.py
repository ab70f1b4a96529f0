"""Rounds in Parquet: a column per client, a row per coordinate."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from varangian.audit.recording.files import MOST_SWELLING, SMALL
from varangian.errors import DataError, MissingExtraError

FLOATS = ("halffloat", "float", "double")


def columns_of(path: Path) -> tuple[tuple[str, ...], int]:
    """Return the names of the columns, and how many rows there are. Raises DataError, MissingExtraError."""
    with _opened(path) as file:
        told, schema = file.metadata, file.schema_arrow
        for column in schema:
            if str(column.type) not in FLOATS:
                raise DataError(
                    f"{path}: column {column.name!r} is of type {column.type}; a round has a column of "
                    "float16, float32 or float64 for each client, and a row for each coordinate."
                )
        groups = [told.row_group(i) for i in range(told.num_row_groups)]
        sizes = [group.column(i) for group in groups for i in range(told.num_columns)]
        packed = sum(column.total_compressed_size for column in sizes)
        claimed = told.num_rows * told.num_columns * 4
        if claimed > max(SMALL, MOST_SWELLING * packed):
            raise DataError(
                f"{path} would swell from {packed} to {claimed} bytes; no vectors that anybody trained do. "
                "Refused."
            )
        return tuple(schema.names), told.num_rows


def blocks_of(path: Path, step: int) -> Iterator[Tensor]:
    """Yield blocks ``(columns, c)`` of at most ``step`` rows. Raises DataError."""
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=step):
            if any(column.null_count for column in batch.columns):
                raise DataError(f"{path} has cells without a value; a vector has a number in every place.")
            yield torch.stack([_tensor(column) for column in batch.columns])


def _tensor(column: Any) -> Tensor:
    return torch.from_numpy(column.to_numpy(zero_copy_only=False).copy())


class _opened:  # noqa: N801 (a context that reads like a word)
    """A Parquet file, and one error for whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        if find_spec("pyarrow") is None:
            raise MissingExtraError("Reading Parquet", "store")
        self.path = path

    def __enter__(self) -> Any:
        import pyarrow
        import pyarrow.parquet

        self.wrong = (pyarrow.ArrowException, OSError)
        try:
            self.file = pyarrow.parquet.ParquetFile(self.path, pre_buffer=False)
        except self.wrong as error:
            raise self._blamed(error) from None
        return self.file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.file.close()
        if isinstance(error, self.wrong) and not isinstance(error, DataError):
            raise self._blamed(error) from None

    def _blamed(self, error: BaseException) -> DataError:
        return DataError(f"{self.path} is damaged: {str(error).splitlines()[0]}")
