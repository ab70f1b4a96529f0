"""What is measured: a rule on n vectors of d numbers, a share of which lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.guard import admit
from varangian.core.needs import Pivot
from varangian.core.run import Aggregation
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.specification import parse_rule

RULES = (
    "median",
    "trmean",
    "meamed",
    "phocas",
    "krum",
    "multikrum",
    "nnm+trmean",
    "geomed",
    "caf",
    "mda",
    "bulyan",
    "cc:radius=1",
    "aksel:keep=n-f",
)
"""What is measured unless somebody says otherwise."""
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
SPREAD = 0.2
"""Vectors are up to so much noisier than each other, so that rounding decides nobody's rank."""

COPIES = 4
COPIES_OF_HALVES = 6
"""PyTorch sorts float16 and bfloat16 in more room."""


@dataclass(frozen=True)
class Case:
    """A rule as it was spelled, and the size of what it is given."""

    text: str
    n: int
    d: int
    dtype: str

    @property
    def f(self) -> int:
        """Return how many lie: just under a fifth."""
        return (self.n - 1) // 5

    @property
    def declared(self) -> int:
        """Return the f that the rule declares; of one that declares none, how many lie."""
        f = self.rule.f
        return self.f if f is None else f

    @property
    def rule(self) -> Stage:
        """Return the rule, which declares that many unless its spelling says otherwise."""
        rule = parse_rule(self.text, self.f)
        if not isinstance(rule, Stage):
            raise ParameterError(
                f"{self.text}: a mixture is drawn anew at every step; name its rules one by one."
            )
        return rule

    def work(self, x: Float[Tensor, "n d"]) -> Callable[[], Aggregation]:
        """Return the call that is measured; a rule that needs a vector of one's own is given the first."""
        rule = self.rule
        trusts = any(Pivot.GIVEN in stage.pivots for stage in rule.stages())
        return partial(rule.aggregate, x, pivot=x[0] if trusts else None)

    @property
    def bytes(self) -> int:
        """Return the size of the vectors."""
        return self.n * self.d * DTYPES[self.dtype].itemsize


def cases(rules: Sequence[str], ns: Sequence[int], ds: Sequence[int], dtypes: Sequence[str]) -> list[Case]:
    """Return every combination, those of one size together. Raises VarangianError for an impossible one."""
    wanted = [Case(rule, n, d, dtype) for dtype in dtypes for d in ds for n in ns for rule in rules]
    for case in wanted:
        admit(case.rule, case.n)
        _check_room(case)
    return list(dict.fromkeys(wanted))


@lru_cache(maxsize=1)
def vectors(n: int, d: int, dtype: str) -> Float[Tensor, "n d"]:
    """Return normal vectors of about unit length, some noisier than others; f are moved by a deviation."""
    generator = torch.Generator().manual_seed(n)
    x = torch.empty(n, d, dtype=torch.float32).normal_(generator=generator)
    order = torch.randperm(n, generator=generator)
    x *= (1 + SPREAD * order / n)[:, None]
    x[order >= n - (n - 1) // 5] += 1
    return x.mul_(d**-0.5).to(DTYPES[dtype])


def _check_room(case: Case) -> None:
    """Refuse vectors that memory cannot hold a few copies of, which others make."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    copies = COPIES_OF_HALVES if DTYPES[case.dtype].itemsize == torch.half.itemsize else COPIES
    if copies * case.bytes > memory:
        raise ParameterError(
            f"n = {case.n} vectors of d = {case.d} are {case.bytes / 2**30:.1f} GiB, and measuring takes "
            f"{copies} times that; this machine has {memory / 2**30:.1f} GiB. Lower --n or --d."
        )
