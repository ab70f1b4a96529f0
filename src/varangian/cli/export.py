"""Runs as JSON: what was asked, and all that was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import varangian
from varangian.engines import Result
from varangian.errors import DataError
from varangian.specification import Experiment


def as_json(spec: Experiment, results: Mapping[str, Result]) -> dict[str, Any]:
    """Return the version, the experiment, and the runs; a number that is not finite is None."""
    return {
        "version": varangian.__version__,
        "experiment": {field.name: _plain(getattr(spec, field.name)) for field in fields(spec)},
        "runs": [{"label": label, **_run(result)} for label, result in results.items()],
    }


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write a value to a file. Raises DataError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None


def _run(result: Result) -> dict[str, Any]:
    return {
        "rule": _plain(result.experiment.rule),
        "attack": _plain(result.experiment.attack),
        "accuracy": _finite(result.accuracy),
        "seconds": round(result.seconds, 3),
        "diverged": result.diverged,
        "metrics": {name: [_finite(value) for value in column] for name, column in result.metrics.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value) if isinstance(value, Path) else repr(value)
