"""What was measured, as plain values: for files and for tables."""

from __future__ import annotations

import math
from typing import Any

from varangian.experiments.bench.measure import FLOOR, OURS, Measured
from varangian.experiments.bench.starts import Start
from varangian.experiments.bench.timing import Times


def as_record(found: Measured, start: Start | None) -> dict[str, Any]:
    """Return a case and all that was measured of it; times in seconds, medians over rounds.

    ``times_floor`` and ``times_ours`` are medians of the ratios within a round.
    """
    case, ours, floor = found.case, found.times.get(OURS), found.times.get(FLOOR)
    return {
        "rule": repr(case.rule),
        "written": case.text,
        "n": case.n,
        "f": case.declared,
        "d": case.d,
        "dtype": case.dtype,
        "bytes": case.bytes,
        "reads": found.reads,
        "first_call": start and start.first,
        "first_call_from_disk": start and start.kept,
        "read_floor_by": found.way,
        "candidates": {
            name: {
                "wall": times.wall,
                "cpu": times.cpu,
                "rounds": len(times.rounds),
                **_ratios("times_floor", times, floor),
                **_ratios("times_ours", times, ours),
                **(
                    {"apart": _finite(found.apart[name]), "same": found.same(name)}
                    if name in found.apart
                    else {}
                ),
            }
            for name, times in found.times.items()
        },
        "notes": found.notes,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ratios(name: str, times: Times, base: Times | None) -> dict[str, float]:
    if base is None:
        return {}
    wall, cpu = times.over(base)
    return {f"{name}_wall": wall, f"{name}_cpu": cpu}
