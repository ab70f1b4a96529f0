"""Flower's messages -> arrays, claims and metrics; whatever is wrong with one becomes a reason."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from statistics import median
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.typing import NDArray

from varangian.errors import InputError
from varangian.federation.admission import printable

log = logging.getLogger("flwr")


def arrays_of(message: Any, model: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the arrays of a reply by name. Raises InputError, which says what is wrong."""
    records = list(_content(message).array_records.values())
    if len(records) != 1:
        raise InputError(f"it holds {len(records)} ArrayRecords, not one")
    (record,) = records
    if set(record) != set(model):
        return dict(record)  # refused for its names, so that nothing of it is read
    return {name: _read(name, array, model[name]) for name, array in record.items()}


def metrics_of(message: Any) -> dict[str, Any]:
    """Return the metrics of a reply: those of its one MetricRecord, or none."""
    records = list(_content(message).metric_records.values())
    return dict(records[0]) if len(records) == 1 else {}


def model_of(record: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays of the server's own record."""
    return {name: array.numpy() for name, array in record.items()}


def record_of(model: dict[str, NDArray[Any]]) -> Any:
    """Return a model as Flower's record, to be sent."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in model.items()})


def shared(metrics: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the metrics that all clients report, finite and of one kind, and nothing else.

    >>> shared([{"loss": 1.0, "extra": 3}, {"loss": 2.0}])
    [{'loss': 1.0}, {'loss': 2.0}]
    """
    kinds = [{name: _kind(value) for name, value in one.items()} for one in metrics]
    first = kinds[0] if kinds else {}
    names = [name for name, kind in first.items() if kind and all(one.get(name) == kind for one in kinds)]
    return [{name: one[name] for name in names} for one in metrics]


def combined(
    found: Mapping[int, dict[str, Any]],
    shares: Mapping[Any, float],
    function: Callable[[list[RecordDict], str], Any],
    key: str,
) -> Any:
    """Aggregate what all clients report, with their shares as examples; a function that fails ends no run."""
    records = [
        RecordDict({"metrics": MetricRecord({**one, key: shares[node] * len(found)})})
        for node, one in zip(found, shared(list(found.values())), strict=True)
    ]
    if not records:
        return None
    try:
        return function(records, key)
    except Exception:
        log.exception("The metrics could not be aggregated.")
        return None


def medians(records: list[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Return the median over clients of every metric but the claimed examples."""
    held = [next(iter(record.metric_records.values())) for record in records]
    names = [name for name in (held[0] if held else {}) if name != weighted_by_key]
    return MetricRecord({name: _middle([one[name] for one in held]) for name in names})


def _content(message: Any) -> Any:
    if message.has_error():
        raise InputError(f"error: {printable(message.error.reason or message.error.code)}")
    return message.content


def _read(name: str, array: Any, base: NDArray[Any]) -> NDArray[Any]:
    """Decode one array, after a look at its header, so that nobody makes the server allocate."""
    try:
        shape = _shape(array.data)
        decoded = array.numpy() if shape == base.shape else None
    except Exception as error:
        raise InputError(f"entry {printable(name)} cannot be read: {printable(error)}") from None
    if decoded is None:
        raise InputError(
            f"entry {printable(name)} has shape {printable(shape)}, the model's has {base.shape}"
        )
    return np.asarray(decoded)


def _shape(data: bytes) -> tuple[int, ...]:
    file = BytesIO(data)
    version = read_magic(file)
    header = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}[version]
    shape: tuple[int, ...] = header(file)[0]
    return shape


def _kind(value: Any) -> str:
    """Return what must agree for metrics to be aggregated; empty for what cannot be."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in values):
        return ""
    return f"list of {len(values)}" if isinstance(value, list) else "number"


def _middle(values: list[Any]) -> Any:
    if isinstance(values[0], list):
        return [float(median(column)) for column in zip(*values, strict=True)]
    return float(median(values))
