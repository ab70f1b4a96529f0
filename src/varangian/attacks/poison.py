"""Attacks on the liars' own data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from varangian.attacks.attack import DataAttack
from varangian.core.checks import check_number
from varangian.core.randomness import Stream


@dataclass(frozen=True)
class LabelFlip(DataAttack):
    """Train on label C - 1 - y instead of y.

    >>> LabelFlip().poison(torch.zeros(3, 1), torch.tensor([0, 1, 9]), 10, Stream())[1]
    tensor([9, 8, 0])
    """

    short_names = ("labelflip",)

    def poison(
        self,
        inputs: Float[Tensor, "samples ..."],
        labels: Int[Tensor, " samples"],
        classes: int,
        stream: Stream,
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs, and the mirrored labels."""
        return inputs, classes - 1 - labels


@dataclass(frozen=True)
class RandomLabel(DataAttack):
    """Train on labels drawn uniformly, afresh for every batch."""

    randomised = True

    def poison(
        self,
        inputs: Float[Tensor, "samples ..."],
        labels: Int[Tensor, " samples"],
        classes: int,
        stream: Stream,
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs, and random labels."""
        drawn = torch.randint(classes, labels.shape, generator=stream.generator(), device="cpu")
        return inputs, drawn.to(labels.device, labels.dtype)


@dataclass(frozen=True)
class MalformedInput(DataAttack):
    """Train on inputs multiplied by ``factor``, as a broken sensor or preprocessing would send."""

    factor: float = -1e12

    def validate(self) -> None:
        """Refuse a factor that is not a finite number."""
        check_number(self, "factor", self.factor, above=-float("inf"))

    def poison(
        self,
        inputs: Float[Tensor, "samples ..."],
        labels: Int[Tensor, " samples"],
        classes: int,
        stream: Stream,
    ) -> tuple[Tensor, Tensor]:
        """Return the multiplied inputs, and the labels."""
        return inputs * self.factor, labels
