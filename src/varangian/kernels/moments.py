"""Mean and spread of vectors per column, in one pass; and the same while momentum gathers them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.moments import gather_code, moments_code
from varangian.kernels.compiled.tasks import addresses, name_of
from varangian.kernels.lanes import each
from varangian.kernels.memory import fresh

PART = 2**20
"""Numbers that are worth a lane."""

_P, _I, _D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_moments = Compiler(moments_code, None, _P, _I, _I, _I, _P, _P, _P)
_gather = Compiler(gather_code, None, _P, _P, _P, _I, _D, _D, _I, _I, _P, _P, _P, _P)


def moments(
    vectors: Float[Tensor, "*batch k d"], *, summed: bool = False, wide: bool = False
) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch e"]]:
    """Return the mean of k vectors, at least one, and their squared deviations: per column, or of all.

    In the dtype of the vectors; if ``wide``, computed and told in float64.
    """
    if not _compiles(vectors):
        return _eager(vectors.double() if wide else vectors, summed=summed)
    *batch, k, d = vectors.shape
    dtype = torch.float64 if wide else vectors.dtype
    mean = fresh(vectors, *batch, d, dtype=dtype)
    squares = fresh(vectors, *batch, 1 if summed else d, dtype=dtype)
    kernel = _moments(name_of(vectors.dtype), summed, wide)
    means, spreads, tables = mean.view(-1, d), squares.view(-1, squares.shape[-1]), addresses(vectors)
    parts = [(run, *part) for run in range(len(tables)) for part in _parts(k, d)]

    def work(part: tuple[int, int, int]) -> float:
        run, start, stop = part
        total, to = ctypes.c_double(0.0), (means[run].data_ptr(), spreads[run].data_ptr())
        kernel(tables[run].ctypes.data, k, start, stop, *to, ctypes.addressof(total))
        return total.value

    totals = [work(part) for part in parts] if len(parts) == 1 else each(work, parts)
    if summed:
        sums = torch.tensor(totals, dtype=torch.float64, device=squares.device)
        squares.copy_(sums.view(*batch, -1).sum(-1, keepdim=True))
    return mean, squares


def gather(
    rows: Float[Tensor, "k d"],
    factors: Float[Tensor, " k"] | None,
    sent: Float[Tensor, "k d"],
    momentum: tuple[float, float] | None,
    told: Float[Tensor, "3 d"],
) -> float:
    """Write what is sent: the rows times their factors, or what momentum makes of that and of what was sent.

    ``momentum`` is what of the old is kept, and what of the new is added. ``told`` becomes the mean of what
    was sampled, and the mean and the squared deviations of what is sent. Return the sum of the squared
    deviations of what was sampled.
    """
    if not (_compiles(rows) and _compiles(sent) and _compiles(told)):
        return _gather_eagerly(rows, factors, sent, momentum, told)
    k, d = rows.shape
    mean, sent_mean, squares = told
    kernel = _gather(name_of(rows.dtype), momentum is not None)
    scale = rows.new_ones(k) if factors is None else factors.to(rows).contiguous()
    mu, new = momentum or (0.0, 1.0)
    tables = [addresses(rows)[0], addresses(sent)[0]]
    given = (tables[0].ctypes.data, scale.data_ptr(), tables[1].ctypes.data, k, mu, new)

    def work(part: tuple[int, int]) -> float:
        total = ctypes.c_double(0.0)
        to = (mean.data_ptr(), ctypes.addressof(total), sent_mean.data_ptr(), squares.data_ptr())
        kernel(*given, *part, *to)
        return total.value

    parts = list(_parts(k, d))
    totals = [work(part) for part in parts] if len(parts) == 1 else each(work, parts)
    return sum(totals)


def _compiles(vectors: Tensor) -> bool:
    """Tell whether there is anything to read, and compiled code may read it where it lies."""
    known = vectors.dtype in (torch.float32, torch.float64) and vectors.device.type == "cpu"
    beside = vectors.stride(-1) == 1 or vectors.shape[-1] < 2
    return known and beside and vectors.numel() > 0 and available()


def _parts(k: int, d: int) -> Iterator[tuple[int, int]]:
    """Yield the columns of each part; an even number of parts, which depends on nothing but k and d."""
    count = -(-k * d // PART)
    step = max(1, -(-d // (count + count % 2 if count > 1 else 1)))
    yield from ((start, min(start + step, d)) for start in range(0, d, step))


def _eager(vectors: Tensor, *, summed: bool) -> tuple[Tensor, Tensor]:
    """Do the same with one operation of PyTorch at a time."""
    first, *others = vectors.unbind(-2)
    total = torch.zeros_like(first, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for vector in others:
        gap = (vector - first).double()
        total += gap
        squares += gap * gap
    share = total / vectors.shape[-2]
    squares = squares - total * share
    squares = torch.where(squares < 0, 0.0, squares)
    if summed:
        squares = squares.sum(-1, keepdim=True)
    return (first.double() + share).to(vectors.dtype), squares.to(vectors.dtype)


def _gather_eagerly(
    rows: Tensor, factors: Tensor | None, sent: Tensor, momentum: tuple[float, float] | None, told: Tensor
) -> float:
    sampled = rows if factors is None else rows * factors.to(rows)[:, None]
    if momentum is None:
        sent.copy_(sampled)
    else:
        mu, new = momentum
        sent.copy_(new * sampled + mu * sent)
    mean, squares = _eager(sampled, summed=True)
    told.copy_(torch.stack([mean, *_eager(sent, summed=False)]))
    return float(squares)
