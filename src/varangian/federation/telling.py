"""What a round tells of the updates that it used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from varangian.core.parties import Parties
from varangian.core.stages import ScalingMixer, Stage


def told(
    rule: Stage,
    parties: Parties | None,
    vectors: list[list[NDArray[Any]]],
    aggregate: list[NDArray[Any]],
    weights: Tensor | None,
) -> list[dict[str, Any]]:
    """Return what the records tell of the clients whose updates were used."""
    length = np.sqrt(product(aggregate, aggregate))
    norms = [float(np.sqrt(product(vector, vector))) for vector in vectors]
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = [
            float(product(vector, aggregate) / (np.float64(norm) * length))
            for vector, norm in zip(vectors, norms, strict=True)
        ]
    factors = _factors(rule, parties, norms)
    return [
        {
            "norm": norms[place],
            "cosine": cosines[place],
            "weight": None if weights is None else float(weights[place]),
            "clipped": None if factors is None else bool(factors[place] < 1),
        }
        for place in range(len(vectors))
    ]


def _factors(rule: Stage, parties: Parties | None, norms: list[float]) -> Tensor | None:
    """Return by how much the first stage scales each vector, if it scales."""
    first: Any = rule.stages()[0]
    if not isinstance(first, ScalingMixer):
        return None
    table = torch.zeros(len(norms) + 1, len(norms) + 1, dtype=torch.float64)
    table[:-1, -1] = torch.tensor(norms, dtype=torch.float64).square()
    factors: Tensor = first.weights(table, **({} if parties is None else {"parties": parties}))
    return factors


def product(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> np.float64:
    """Return the inner product of two lists of arrays, in 64 bits."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.float64(
            sum(
                np.vdot(a.astype(np.float64, copy=False), b.astype(np.float64, copy=False))
                for a, b in zip(one, other, strict=True)
            )
        )
