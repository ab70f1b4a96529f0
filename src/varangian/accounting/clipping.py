"""What a rule took from the vectors: by how much it shortened each, and the weight that it left out."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.parties import Parties
from varangian.core.stages import ScalingMixer, Stage


def factors(rule: Stage, norms: Float[Tensor, " n"], parties: Parties | None = None) -> Tensor | None:
    """Return by how much the first stage scales each vector, ``(n,)``; None if it scales none."""
    first: Any = rule.stages()[0]
    if not isinstance(first, ScalingMixer):
        return None
    table = torch.zeros(len(norms) + 1, len(norms) + 1, dtype=torch.float64)
    table[:-1, -1] = norms.double().square()
    scaled: Tensor = first.weights(table, **({} if parties is None else {"parties": parties}))
    return scaled


def clipped_mass(
    rule: Stage, norms: Float[Tensor, " n"], weights: Tensor | None, parties: Parties | None = None
) -> float | None:
    """Return the share of the weight that parties had and that did not count.

    None where a rule decides coordinate by coordinate, and nothing is clipped before.

    >>> from varangian.aggregators import Krum
    >>> clipped_mass(Krum(f=1), torch.ones(5), torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]))
    0.8
    """
    n = len(norms)
    shares = torch.full((n,), 1 / n, dtype=torch.float64) if parties is None else parties.shares.cpu()
    if weights is not None:
        left = (shares - weights.cpu().double()).clamp(min=0)
    else:
        scaled = factors(rule, norms, parties)
        if scaled is None:
            return None
        left = shares * (1 - scaled)
    return round(float(left.sum()), 12)
