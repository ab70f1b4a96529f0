"""Rules that plan on a span of the points: what they are given, and what becomes of what they return."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import varangian as vg
from varangian.core.conditions import Condition
from varangian.core.iterative import IterativeRule
from varangian.core.needs import Pivot
from varangian.core.spans import Span
from varangian.core.stages import Mixer


@dataclass(frozen=True)
class Even(IterativeRule):
    """The mean, by weights for the vectors alone, though the origin is measured."""

    f: int
    pivots: ClassVar = (Pivot.ORIGIN,)

    def condition(self) -> Condition:
        return Condition(1, "n >= 1")

    def solve(self, span: Span, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "runs w"]:
        assert span.table.shape[-1] == len(shares) + 1
        return np.tile(shares, (len(span.table), 1))


@dataclass(frozen=True)
class Spoiler(Mixer):
    """Leaves vectors as they are, and nothing of the table it was given."""

    f: int

    def condition(self) -> Condition:
        return Condition(1, "n >= 1")

    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch k k"]:
        made = torch.eye(distances.shape[-1], dtype=distances.dtype).expand_as(distances) * 1.0
        distances.zero_()
        return made


@pytest.mark.parametrize("lead", [(), (3,), (0,), (2, 2)])
def test_pivots_need_no_weight(lead: tuple[int, ...]) -> None:
    x = torch.randn(*lead, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rule = Even(f=1)
    torch.testing.assert_close(rule(x), x.mean(-2))
    table = torch.cdist(x, x).square()
    assert rule.weights(torch.nn.functional.pad(table, (0, 1, 0, 1))).shape == (*lead, 5)


def test_who_writes_into_a_table_spoils_none_of_another() -> None:
    x = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[6] += 50
    rule = vg.GeometricMedian(f=1)
    torch.testing.assert_close(vg.chain(Spoiler(f=1), rule)(x), rule(x))


@pytest.mark.parametrize(
    "rule",
    [vg.GeometricMedian(f=1), vg.GeometricMedian(f=1, nu=0.1), vg.CenteredClipping(f=1, radius=1.0)],
    ids=str,
)
def test_tables_may_require_gradients(rule: IterativeRule) -> None:
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = torch.cdist(x, x).square()
    assert torch.equal(rule.weights(table.clone().requires_grad_()), rule.weights(table))
