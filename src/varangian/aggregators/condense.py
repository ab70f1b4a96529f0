"""Condense: the median of some coordinates, one vector's value of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from varangian.core.checks import check_number
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import MOMENTUM
from varangian.core.points import Points
from varangian.core.randomness import Stream
from varangian.core.run import Call
from varangian.core.stages import CoordinateRule
from varangian.kernels.programs import Middle
from varangian.kernels.rows import within

WORDS = 2**16
"""Numbers that two bytes tell apart, four of which are drawn at a time."""


@dataclass(frozen=True)
class Condense(CoordinateRule):
    """Return the median where a Bernoulli(p) mask says so, the first vector's coordinate elsewhere.

    Weak: if the first vector lies, it decides a share 1 - p of the coordinates. Kept for completeness.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 2
    Guarantee   none
    Cost        one read
    Randomness  the mask, from the call's stream
    Reference   El-Mhamdi et al., ICLR 2021

    >>> Condense(f=1, p=1.0)(torch.tensor([[1.0], [2.0], [3.0], [9e9]]))
    tensor([2.5000])
    """

    f: int
    p: float = 0.9

    randomised = True
    ordered = True
    guarantee: ClassVar[str] = "none: the first vector decides a share 1 - p"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = MOMENTUM

    def validate(self) -> None:
        """Refuse a probability outside (0, 1]."""
        check_number(self, "p", self.p, most=1.0)

    def condition(self) -> Condition:
        """Return n >= 2f + 2."""
        return Condition(2 * self.f + 2, "n >= 2f + 2")

    def mask(self, d: int, stream: Stream) -> Bool[Tensor, " d"]:
        """Return where the median is taken.

        Two random bytes tell, unless they are the first two of p: then the rest of p is drawn for.
        """
        generator = stream.numpy()
        drawn = generator.bit_generator.random_raw(-(-d // 4)).astype("<u8", copy=False).view("<u2")[:d]
        whole, rest = divmod(self.p * WORDS, 1.0)
        mask = drawn < int(whole)
        if rest:
            ties = np.flatnonzero(drawn == int(whole))
            mask[ties] = generator.random(len(ties)) < rest
        return torch.from_numpy(mask)

    def program(self, n: int) -> Middle:
        """Return the median of every column."""
        return Middle()

    def advance(self, points: Points, call: Call) -> Points:
        """Return the one point of masked columns."""
        firsts = torch.from_numpy(np.flatnonzero(~self.mask(points.d, call.stream).numpy()))

        def columns(values: Tensor, place: slice) -> Tensor:
            result, here = self.columns(values), within(firsts, place.start, place.stop).to(values.device)
            first = values[..., 0, :].index_select(-1, here)
            return result.index_copy(-1, here, first.to(result.dtype))

        program = self.program(points.m) if self._program_is_last_word() else None
        return points.reduced(columns, program, firsts)
