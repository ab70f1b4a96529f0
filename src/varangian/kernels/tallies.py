"""From norms and signed sums of blocks to the few numbers that tell two long vectors apart."""

from __future__ import annotations

import ctypes

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.tallies import EXACT, PRIME, PROJECTIONS, tally_code

BROKEN, NORM, PEAK, PRINT = range(4)
"""Where a tally holds the number of blocks without a finite norm, the norm of all, the largest norm of a
block, and the fingerprint; the projections follow."""
NUMBERS = 4 + PROJECTIONS

_P = ctypes.c_void_p
_tally = Compiler(tally_code, None, _P, _P, _P, ctypes.c_int64, _P)


def tally(
    norms: Float[Tensor, "blocks"], sums: Float[Tensor, "blocks"], signs: Int16[Tensor, "blocks"]
) -> Float[Tensor, "20"]:
    """Return a vector's tally in float64, given what ``glance`` returns; all lie on the processor.

    A projection adds up the sums, negated where the block's word has the projection's bit. The peak is that
    of the blocks whose norm is a number.

    >>> norms, sums = torch.tensor([3.0, 4.0]), torch.tensor([1.0, -2.0])
    >>> tally(norms, sums, torch.tensor([0, 1], dtype=torch.int16))[[0, 1, 2, 4, 5]]
    tensor([ 0.,  5.,  4.,  3., -1.], dtype=torch.float64)
    """
    made = torch.empty(NUMBERS, dtype=torch.float64, device=norms.device)
    if available():
        _tally()(norms.data_ptr(), sums.data_ptr(), signs.data_ptr(), len(norms), made.data_ptr())
    else:
        _eagerly(norms, sums, signs, made)
    return made


def _eagerly(norms: Tensor, sums: Tensor, signs: Tensor, made: Tensor) -> None:
    """Do the same with NumPy."""
    told, seen = norms.numpy(), made.numpy()
    exact = told.astype(np.float64)
    order = np.arange(1, 2 * len(told), 2, dtype=np.uint32) * np.uint32(PRIME)
    seen[BROKEN] = np.count_nonzero(~np.isfinite(told))
    seen[NORM] = np.sqrt(np.square(exact).sum())
    seen[PEAK] = np.fmax.reduce(exact, initial=0.0)
    seen[PRINT] = (told.view(np.uint32) * order).sum(dtype=np.uint64) & np.uint64(EXACT)
    words = signs.numpy().view(np.uint16)[:, None] >> np.arange(PROJECTIONS, dtype=np.uint16)
    seen[PRINT + 1 :] = sums.double().numpy() @ (1.0 - 2.0 * (words & 1))
