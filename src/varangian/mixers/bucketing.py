"""Bucketing: average random groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.needs import Reads
from varangian.core.papers import BUCKETING
from varangian.core.randomness import Stream, as_stream
from varangian.core.stages import Mixer


@dataclass(frozen=True)
class Bucketing(Mixer):
    """Shuffle the vectors and average groups of ``s``; the last group may be smaller.

    A liar spoils its whole group, so f stays f while n becomes ceil(n / s): the next stage's condition is
    checked on the groups.

    Shape       (*batch, n, d) -> (*batch, ceil(n / s), d)
    Condition   n >= f + 1
    Cost        no read of its own
    Randomness  the shuffle, from the call's stream: give a new stream at every step
    Reference   Karimireddy et al., ICLR 2022

    >>> Bucketing(f=0, s=2)(torch.tensor([[1.0], [1.0], [1.0]]))
    tensor([[1.],
            [1.]])
    """

    f: int
    s: int = 2

    reads = Reads.NOTHING
    randomised = True
    ordered = True
    cost: ClassVar[str] = "no read"
    reference: ClassVar[Reference] = BUCKETING

    def validate(self) -> None:
        """Refuse groups of less than one."""
        check_count(self, "s", self.s, least=1)

    def condition(self) -> Condition:
        """Return n >= f + 1."""
        return Condition(self.f + 1, "n >= f + 1")

    def outputs(self, n: int) -> int:
        """Return ceil(n / s)."""
        return -(-n // self.s)

    def permutation(self, n: int, stream: Stream) -> Tensor:
        """Return the order in which the vectors fill the groups."""
        return torch.randperm(n, generator=stream.generator(), device="cpu")

    def weights(
        self, distances: Float[Tensor, "*batch n n"], stream: Stream | None = None
    ) -> Float[Tensor, "*batch m n"]:
        """Return equal weights over each group."""
        n = distances.shape[-1]
        groups = self.permutation(n, as_stream(stream)).split(self.s)
        mix = torch.zeros(len(groups), n, dtype=torch.float64, device="cpu")
        for row, members in zip(mix, groups, strict=True):
            row[members] = 1 / len(members)
        return mix.to(distances.device).expand(*distances.shape[:-2], -1, -1)
