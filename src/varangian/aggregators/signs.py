"""Majority vote on signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.stages import CoordinateRule
from varangian.kernels.programs import SignSum


@dataclass(frozen=True)
class SignMajority(CoordinateRule):
    """Return, per coordinate, the sign of the sum of the signs: 1, -1, or 0 for a draw.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   every output coordinate is in {-1, 0, 1}
    Cost        one read
    Reference   Bernstein et al., ICLR 2019

    >>> import torch
    >>> SignMajority(f=1)(torch.tensor([[3.0], [0.1], [-9e9]]))
    tensor([1.])
    """

    f: int

    short_names = ("signsgd",)
    guarantee: ClassVar[str] = "each coordinate in {-1, 0, 1}"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = Reference(
        "Jeremy Bernstein, Jiawei Zhao, Kamyar Azizzadenesheli, Anima Anandkumar",
        "signSGD with Majority Vote is Communication Efficient and Fault Tolerant",
        "ICLR",
        2019,
        "https://arxiv.org/abs/1810.05291",
    )

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def program(self, n: int) -> SignSum:
        """Return the sign of the sum of the signs."""
        return SignSum()
