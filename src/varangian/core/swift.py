"""The short way for the most common call: a coordinate rule, on vectors in memory, and nothing else asked.

What a call costs besides reading the vectors is mostly fetching code and data that the last call's vectors
pushed out of the caches. So what does not depend on the numbers is found out once, and few words are left.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, strided
from torch._C import _len_torch_dispatch_stack as count_modes
from torch._C._functorch import peek_interpreter_stack
from torch.nn import Parameter

from varangian.core.guard import admit
from varangian.core.needs import Reads
from varangian.core.points import Points
from varangian.core.run import Aggregation, Call
from varangian.kernels.columns import Network, is_large, kernel_of, reduce_one, repaired
from varangian.kernels.compiled.jit import available
from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.memory import fresh
from varangian.kernels.programs import Program
from varangian.kernels.rows import AXES_OF_ONE, WORKING_DTYPES, Segment

if TYPE_CHECKING:
    from varangian.core.stages import Stage

TENSORS = (Tensor, Parameter)
"""What is certain to lie in memory as it says: a subclass may be anything."""

USUAL = {np.dtype(kind) for kind in ("float16", "float32", "float64")}
"""What NumPy and PyTorch both know."""


def at_once(stage: Stage, x: Any) -> Aggregation | None:
    """Return the result, or None if this is not such a call.

    Raises ToleranceError.
    """
    if type(x) is np.ndarray:
        usual = x.dtype in USUAL and x.flags.writeable and x.flags.c_contiguous
        made = at_once(stage, torch.from_numpy(x)) if usual else None
        return made and replace(made, value=made.value.numpy())
    if isinstance(x, list):
        x = tuple(x)  # whoever empties the list meanwhile leaves the vectors here
    vectors = x if isinstance(x, tuple) else (x,)
    if not vectors or not available() or count_modes() or peek_interpreter_stack() is not None:
        return None  # what traces looks at every operation, and so does what is inside of torch.func
    first, axes = vectors[0], 1 if vectors is x else AXES_OF_ONE
    try:
        if type(first) not in TENSORS or first.ndim != axes:
            return None
        dtype, shape = first.dtype, first.shape
        if not all(_alike(one, dtype, shape) for one in vectors):
            return None
    except RuntimeError:  # some kinds, nested ones for instance, have no shape
        return None
    n, d, size = len(vectors) if axes == 1 else first.shape[0], first.shape[-1], len(vectors) * first.nbytes
    try:
        plan = _plan(stage, n, first.dtype, is_large(size)) if n else None
    except TypeError:  # a stage that has no hash
        return None
    if plan is None or d < plan[1].tile:
        return None
    program, kernel = plan
    out = fresh(first, d)
    lost = reduce_one(kernel, x, out)
    if lost is None:
        return None
    nonfinite = torch.zeros(n, dtype=torch.int64, device="cpu")
    for _, start, stop in lost:
        segment = Segment(tuple(one.detach() for one in vectors))
        counts = repaired(program, segment, start, stop, out)
        if counts is not None:
            nonfinite += counts
    return Aggregation(out, None, nonfinite, None, 1)


def _alike(one: Any, dtype: torch.dtype, shape: torch.Size) -> bool:
    """Tell whether a tensor lies in this process's memory as it is, in one piece, and is like the first."""
    return (
        type(one) in TENSORS
        and one.is_cpu
        and one.dtype is dtype
        and one.shape == shape
        and one.layout is strided
        and one.is_contiguous()
        and not one.is_neg()
    )


@lru_cache(maxsize=1024)
def _plan(stage: Stage, n: int, dtype: torch.dtype, large: bool) -> tuple[Program, Network] | None:
    """Return what is made of a column of n, and how; None if there is more to it, or it is not compiled."""
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
    return (points.program, kernel) if isinstance(kernel, Network) else None
