"""Column programs to test, and their answers from the definitions, exact."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def every(n: int) -> Iterator[Program]:
    """Yield every program that there is over n values."""
    yield from (Middle(), Middle(lower=True), SignSum())
    yield from (Trimmed(trim) for trim in range((n + 1) // 2))
    for drop in range(n):
        yield from (Nearest(drop, Middle()), Nearest(drop, Middle(lower=True)))
        yield from (Nearest(drop, Trimmed(trim)) for trim in range((n + 1) // 2))


def some(n: int) -> list[Program]:
    """Return a few programs of every kind, the extremes among them."""
    most = (n - 1) // 2
    return list(
        dict.fromkeys(
            [
                Middle(),
                Middle(lower=True),
                SignSum(),
                Trimmed(0),
                Trimmed(most // 2),
                Trimmed(most),
                Nearest(0, Middle()),
                Nearest(most // 2, Trimmed(most // 2)),
                Nearest(most, Middle(lower=True)),
                Nearest(min(n - 1, n // 2 + 1), Middle()),
                Nearest(n - 1, Trimmed(0)),
            ]
        )
    )


def truth(program: Program, values: torch.Tensor) -> NDArray[np.float64]:
    """Return a program's result for ``(n, c)`` as its definition says it, in exact numbers, by columns."""
    columns = [[Fraction(value) for value in column] for column in values.double().T.tolist()]
    return np.array([float(_of_column(program, column)) for column in columns])


def _of_column(program: Program, column: list[Fraction]) -> Fraction:
    ordered, n = sorted(column), len(column)
    match program:
        case Middle(lower):
            low, high = ordered[(n - 1) // 2], ordered[n // 2]
            return low if lower else (low + high) / 2
        case Trimmed(trim):
            return sum(ordered[trim : n - trim], Fraction()) / (n - 2 * trim)
        case Nearest(drop, around):
            centre = _of_column(around, column)
            kept = sorted(ordered, key=lambda v: (abs(v - centre), v))[: n - drop]
            return sum(kept, Fraction()) / (n - drop)
        case SignSum():
            majority = sum((value > 0) - (value < 0) for value in column)
            return Fraction((majority > 0) - (majority < 0))
    raise NotImplementedError(program)


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Return numbers no two of which are as near to a third, as far as a dtype allows."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def grid(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Return few different whole numbers: ties everywhere, and sums without rounding."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
