"""What there is to see of a long vector in one read: norm and signed sum of every block."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.glances import glance_code
from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.tasks import name_of

SLAB = 1 << 18
"""Values that PyTorch looks at twice before the cache forgets them."""
WHOLE = 64
"""Values that every processor's registers take at a time, a whole number of times."""

_P, _I, _F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_glance = Compiler(glance_code, None, _P, _P, _I, _F, _P, _P)


def glance(
    vector: Float[Tensor, "d"], signs: Float[Tensor, "block"], factor: float = 1.0
) -> tuple[Float[Tensor, "blocks"], Float[Tensor, "blocks"]]:
    """Return norm and signed sum of every block, in float32; the last one is short, and may be empty.

    Then the vector is multiplied by the factor, in place; in the same read where a block is a multiple of 64.

    >>> vector = torch.tensor([3.0, 4.0, 2.0])
    >>> glance(vector, torch.tensor([1.0, -1.0]), factor=0.5)
    (tensor([5., 2.]), tensor([-1.,  2.]))
    >>> vector
    tensor([1.5000, 2.0000, 1.0000])
    """
    if compiles(vector) and _fits(signs):
        # A hook that runs between products of matrices finds its code in no cache: every operation counts.
        norms, sums = vector.new_empty(2, len(vector) // len(signs) + 1, dtype=torch.float32)
        scales = factor != 1 and vector.dtype == torch.float32
        look = _glance(name_of(vector.dtype), len(signs), scales)
        look(vector.data_ptr(), signs.data_ptr(), len(vector), factor, norms.data_ptr(), sums.data_ptr())
    else:
        norms, sums = _eagerly(vector, signs)
        scales = False
    if factor != 1 and not scales:
        vector.mul_(factor)
    return norms, sums


def glancer(
    like: Tensor, signs: Float[Tensor, "block"], norms: Float[Tensor, "blocks"], sums: Float[Tensor, "blocks"]
) -> Callable[[Tensor], None]:
    """Return what looks at a tensor like this one as at a vector, and leaves what it saw in the room given.

    A call from there on costs a few operations of Python.
    """
    if not (compiles(like) and _fits(signs)):

        def slowly(vector: Tensor) -> None:
            norms[:], sums[:] = glance(vector.reshape(-1), signs)

        return slowly
    look = _glance(name_of(like.dtype), len(signs), False)
    d, form, kept = like.numel(), like.dtype, (signs, norms, sums)
    drawn, *targets = (one.data_ptr() for one in kept)

    def quickly(vector: Tensor, kept: object = kept) -> None:
        if not (vector.is_contiguous() and vector.dtype is form and vector.numel() == d):
            vector = vector.to(form).contiguous()
        look(vector.data_ptr(), drawn, d, 1.0, *targets)

    return quickly


def compiles(vector: Tensor) -> bool:
    """Tell whether a vector of its kind is looked at by machine code."""
    return readable(vector) and available()


def readable(vector: Tensor) -> bool:
    """Tell whether machine code, where there is any, reads a vector of its kind."""
    known = vector.dtype in (torch.float32, torch.bfloat16, torch.float16) and vector.device.type == "cpu"
    return known and vector.is_contiguous()


def _fits(signs: Tensor) -> bool:
    return len(signs) % WHOLE == 0 and signs.dtype == torch.float32 and signs.is_contiguous()


def _eagerly(vector: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same with one operation of PyTorch at a time."""
    whole = len(vector) // len(signs) * len(signs)
    rest = vector[whole:].float()
    norms, sums = [], []
    for slab in vector[:whole].view(-1, len(signs)).split(max(1, SLAB // len(signs))):
        wide = slab.float()
        norms.append(torch.linalg.vector_norm(wide, dim=1))
        sums.append(wide @ signs)
    norms.append(rest.norm()[None])
    sums.append((rest @ signs[: len(rest)])[None])
    return torch.cat(norms), torch.cat(sums)
