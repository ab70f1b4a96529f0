"""The short way for the most common call: a coordinate rule, on one matrix in memory, and nothing else asked.

What a call costs besides reading the vectors is mostly fetching code and data that the vectors of the last call
pushed out of the caches. So what does not depend on the numbers is found out once, and few words are left.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

from varangian.core.guard import admit
from varangian.core.points import Points, Reads
from varangian.core.run import Aggregation, Call
from varangian.kernels.columns import Kernel, is_large, kernel_of, reduce_matrix, repaired
from varangian.kernels.compiled.jit import available
from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.programs import Program
from varangian.kernels.rows import AXES_OF_ONE, WORKING_DTYPES, Segment

if TYPE_CHECKING:
    from varangian.core.stages import Stage


def at_once(stage: Stage, x: Any) -> Aggregation | None:
    """Return the result, or None if this is not such a call.

    Raises ToleranceError.
    """
    if type(x) not in (Tensor, Parameter) or not x.is_cpu or x.ndim != AXES_OF_ONE or not available():
        return None
    n, d = x.shape
    if not n or x.layout is not torch.strided or not x.is_contiguous():
        return None
    try:
        plan = _plan(stage, n, x.dtype, is_large(x.nbytes))
    except TypeError:  # a stage that has no hash
        return None
    if plan is None or d < plan[1].tile:
        return None
    program, kernel = plan
    out = torch.empty(d, dtype=x.dtype)
    lost = reduce_matrix(kernel, x, out)
    if lost is None:
        return None
    nonfinite = torch.zeros(n, dtype=torch.int64)
    for _, start, stop in lost:
        counts = repaired(program, Segment(x.detach()), start, stop, out)
        if counts is not None:
            nonfinite += counts
    return Aggregation(out, None, nonfinite, None, 1)


@lru_cache(maxsize=1024)
def _plan(stage: Stage, n: int, dtype: torch.dtype, large: bool) -> tuple[Program, Kernel] | None:
    """Return what is made of every column of n, and how; None if there is more to it, or it is not compiled."""
    parts = stage.stages()
    if dtype not in WORKING_DTYPES or any(part.reads is not Reads.NOTHING or part.missing for part in parts):
        return None
    if not any(part.robust for part in parts) or any(part.pivots or part.randomised for part in parts):
        return None
    admit(stage, n)
    points = stage.advance(Points(n), Call())
    if points.program is None or points.mix is not None:
        return None
    kernel = kernel_of(points.program, n, name_of(dtype), large)
    return (points.program, kernel) if kernel is not None and kernel.code else None
