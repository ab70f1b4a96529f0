"""PyTorch's own operators: the natural counterpart of each kind of rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.aggregators import Average, Median
from varangian.core.needs import Reads
from varangian.core.stages import CoordinateRule, Stage

Work = Callable[[], object]


class Operator(NamedTuple):
    """A call, and whether what it returns should equal the rule's result."""

    name: str
    work: Work
    whole: bool = False


def operators(rule: Stage, x: Float[Tensor, "n d"]) -> Iterator[Operator]:
    """Yield what one would reach for: the whole rule where there is such a thing, else its costly part.

    For rules on distances the costly part is all distances: exact ones, and the product that others are
    made of by norms less twice the product, which loses the digits of close vectors.
    """
    stages = rule.stages()
    if isinstance(rule, Average):
        yield Operator("torch.mean", lambda: x.mean(0), whole=True)
    elif isinstance(rule, Median):
        yield Operator("torch.median", lambda: x.median(0).values, whole=True)
    elif isinstance(rule, CoordinateRule):
        yield Operator("torch.sort", lambda: x.sort(0).values)
    elif any(stage.reads is Reads.PAIRS for stage in stages):
        yield Operator("torch.cdist", lambda: torch.cdist(x, x))
        yield Operator("x @ x.T", lambda: x @ x.mT)
    else:
        yield Operator("torch.mean", lambda: x.mean(0))
