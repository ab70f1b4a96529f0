"""Column programs to test, and their answers from the definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate

import torch

from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed
from varangian.kernels.rows import WORKING_DTYPES

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


def right(program: Program, values: torch.Tensor, got: torch.Tensor) -> bool:
    """Tell whether a program's results for ``(n, c)`` are as exact as working precision can be, by columns.

    That is eps (|result| + (log2 k + 4) spread), for the k values that a mean is taken of, and how far they
    and the centre lie apart. Which values are nearest may be decided with the same error. What is narrower
    than working precision is rounded once more.
    """
    working, last = torch.finfo(WORKING_DTYPES[values.dtype]), torch.finfo(got.dtype)
    for column, number in zip(values.double().T.tolist(), got.double().tolist(), strict=True):
        error = min(
            abs(Fraction(number) - mean)
            - Fraction(working.eps) * (abs(mean) + (Fraction(math.log2(k)) + 4) * spread)
            - Fraction(last.eps) * abs(mean) * (last.bits < working.bits)
            for mean, spread, k in _answers(program, list(map(Fraction, sorted(column))), working.eps)
        )
        if error > Fraction(last.smallest_normal) * Fraction(last.eps):
            return False
    return True


def _answers(
    program: Program, ordered: list[Fraction], eps: float
) -> Iterator[tuple[Fraction, Fraction, int]]:
    """Yield the results that are right with an error: of how many values, and how far they lie apart."""
    n = len(ordered)
    match program:
        case Middle(lower):
            low, high = ordered[(n - 1) // 2], ordered[(n - 1) // 2 if lower else n // 2]
            yield (low + high) / 2, high - low, 1 + (high > low)
        case Trimmed(trim):
            kept = ordered[trim : n - trim]
            yield sum(kept, Fraction()) / len(kept), kept[-1] - kept[0], len(kept)
        case Nearest(drop, around):
            ((centre, apart, _),) = _answers(around, ordered, eps)
            keep = n - drop
            error = Fraction(eps) * (Fraction(math.log2(n)) + 4)
            gaps = [abs(value - centre) for value in ordered]
            before, after = list(accumulate(gaps, min)), list(accumulate(reversed(gaps), min))
            for low, high in ((low, low + keep) for low in range(drop + 1)):
                far = max(centre - ordered[low], ordered[high - 1] - centre)
                near = min([*before[:low][-1:], *after[: n - high][-1:]], default=far)
                if far <= near + error * (far + near + apart):
                    ends = (ordered[low], ordered[high - 1], centre)
                    spread = max(ends) - min(ends) + apart
                    yield sum(ordered[low:high], Fraction()) / keep, spread, keep
        case SignSum():
            majority = sum((value > 0) - (value < 0) for value in ordered)
            yield Fraction((majority > 0) - (majority < 0)), Fraction(), 1
        case _:
            raise NotImplementedError(program)


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Return numbers no two of which are as near to a third, as far as a dtype allows."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def grid(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Return few different whole numbers: ties everywhere, and sums without rounding."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
