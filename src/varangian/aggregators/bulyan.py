"""Bulyan and Multi-Bulyan: select by Krum again and again, then average around the median."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.aggregators.krum import krum_scores, krum_variance_bound
from varangian.aggregators.mean_around import MeanAroundMedian
from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import BULYAN, MULTI_BULYAN
from varangian.core.selection import lowest, mean_over
from varangian.core.stages import Composite, Mixer, Stage


class _Selection(Mixer):
    """The first half of Bulyan: theta outputs, the best vector left out after each."""

    f: int
    cost: ClassVar[str] = "one read, O(n^3 log n)"

    def condition(self) -> Condition:
        """Return n >= 4f + 3."""
        return Condition(4 * self.f + 3, "n >= 4f + 3")

    @abstractmethod
    def outputs(self, n: int) -> int:
        """Return theta."""


@dataclass(frozen=True)
class BulyanSelection(_Selection):
    """Select theta vectors: the winner of Krum among those left, and again without it.

    Shape       (*batch, n, d) -> (*batch, theta, d)
    Condition   n >= 4f + 3 and theta <= n - 2f - 2 (the default)
    Reference   El-Mhamdi et al., ICML 2018
    """

    f: int
    theta: int | None = None

    reference: ClassVar[Reference] = BULYAN

    def validate(self) -> None:
        """Refuse fewer than 2f + 1 selections, which the second half could not trim."""
        if self.theta is not None:
            check_count(self, "theta", self.theta, least=2 * self.f + 1)

    def condition(self) -> Condition:
        """Return n >= 4f + 3, and enough vectors for theta Krums."""
        if self.theta is not None and self.theta > 2 * self.f + 1:
            return Condition(self.theta + 2 * self.f + 2, "n >= theta + 2f + 2")
        return super().condition()

    def outputs(self, n: int) -> int:
        """Return theta."""
        return self.theta or n - 2 * self.f - 2

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch m n"]:
        """Return one selected vector a row; scores are computed afresh on those left."""
        n = distances.shape[-1]
        alive = torch.ones_like(distances[..., 0], dtype=torch.bool)
        selected = []
        for left in range(n, n - self.outputs(n), -1):
            among = distances.masked_fill(~(alive[..., None, :] & alive[..., :, None]), torch.inf)
            scores = krum_scores(among, left - self.f - 2).masked_fill(~alive, torch.inf)
            best = lowest(scores, 1)
            selected.append(best.double())
            alive = alive & ~best
        return torch.stack(selected, dim=-2)


@dataclass(frozen=True)
class MultiBulyanSelection(_Selection):
    """Output, k = 0, 1, ..., the mean of the (n - f - 2) - k best vectors left, then drop the best.

    A score is the sum over those of a vector's n - f - 2 nearest (among all) that are still there.
    ``as_released`` sums unsquared distances and never prunes, as the Python code of the ICLR'21 study.

    Shape       (*batch, n, d) -> (*batch, n - 2f - 2, d)
    Condition   n >= 4f + 3
    Reference   El-Mhamdi et al., SRDS 2020
    """

    f: int
    as_released: bool = False

    reference: ClassVar[Reference] = MULTI_BULYAN

    def outputs(self, n: int) -> int:
        """Return n - 2f - 2."""
        return n - 2 * self.f - 2

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch m n"]:
        """Return the mean of the best vectors left, a row per selection."""
        n = distances.shape[-1]
        costs = distances.sqrt() if self.as_released else distances
        neighbours = _neighbours(distances, n - self.f - 2)
        alive = torch.ones_like(distances[..., 0], dtype=torch.bool)
        outputs = []
        for k in range(self.outputs(n)):
            counted = neighbours if self.as_released else neighbours & alive[..., None, :]
            scores = torch.where(counted, costs, 0.0).sort(dim=-1).values.sum(-1)
            scores = scores.masked_fill(~alive, torch.inf)
            outputs.append(mean_over(lowest(scores, n - self.f - 2 - k)))
            alive = alive & ~lowest(scores, 1)
        return torch.stack(outputs, dim=-2)


def _neighbours(distances: Tensor, count: int) -> Bool[Tensor, "*batch n n"]:
    others = distances.clone()
    others.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    return lowest(others, count)


@dataclass(frozen=True)
class Bulyan(Composite):
    """Select theta vectors by repeated Krum; per coordinate, average the theta - 2f nearest their median.

    ``theta`` defaults to n - 2f - 2, because the last Krum needs 2f + 3 vectors. ``as_released`` is what the
    ICLR'21 code ran under this name: Multi-Bulyan with unsquared distances, no pruning, lower median. With
    f = 0 the last Krum has one neighbour, so two vectors tie and their order decides.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 4f + 3
    Guarantee   variance bound 1 / sqrt(2 eta); each coordinate within O(1/sqrt(d)) of an honest one
    Cost        one read for the distances, one for the columns; O(n^3 log n)
    Reference   El-Mhamdi et al., ICML 2018

    >>> Bulyan(f=1)(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [9e9]]))
    tensor([2.])
    """

    f: int
    theta: int | None = None
    as_released: bool = False

    guarantee: ClassVar[str] = "variance bound, and close to honest values in every coordinate"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = BULYAN

    def validate(self) -> None:
        """Refuse a theta that leaves nothing to average."""
        BulyanSelection(self.f, self.theta)

    def condition(self) -> Condition:
        """Return n >= 4f + 3, and enough vectors for theta."""
        return BulyanSelection(self.f, self.theta).condition()

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(2 eta)."""
        return krum_variance_bound(n, self.f)

    def stages(self) -> tuple[Stage, ...]:
        """Return the selection and the mean around the median."""
        first: Stage = BulyanSelection(self.f, self.theta)
        if self.as_released:
            first = MultiBulyanSelection(self.f, as_released=True)
        return first, MeanAroundMedian(self.f, drop=2 * self.f, as_released=self.as_released)


@dataclass(frozen=True)
class MultiBulyan(Composite):
    """Bulyan over means of good vectors instead of single ones, so that fewer gradients are wasted.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 4f + 3
    Guarantee   variance bound 1 / sqrt(2 eta)
    Cost        one read for the distances, one for the columns; O(n^3 log n)
    Reference   El-Mhamdi et al., SRDS 2020

    >>> MultiBulyan(f=1)(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [9e9]]))
    tensor([2.5000])
    """

    f: int

    guarantee: ClassVar[str] = "variance bound"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = MULTI_BULYAN

    def condition(self) -> Condition:
        """Return n >= 4f + 3."""
        return Condition(4 * self.f + 3, "n >= 4f + 3")

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(2 eta)."""
        return krum_variance_bound(n, self.f)

    def stages(self) -> tuple[Stage, ...]:
        """Return the selection and the mean around the median."""
        return MultiBulyanSelection(self.f), MeanAroundMedian(self.f, drop=2 * self.f)
