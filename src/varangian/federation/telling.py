"""What a round tells of the updates that it used."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from varangian.accounting import Geometry
from varangian.accounting.clipping import factors
from varangian.core.parties import Parties
from varangian.core.stages import Stage


def told(
    rule: Stage, parties: Parties | None, geometry: Geometry, weights: Tensor | None
) -> list[dict[str, Any]]:
    """Return what the records tell of the clients whose updates were used."""
    scaled = factors(rule, geometry.norms, parties)
    influence = geometry.influence(geometry.n - (rule.f or 0))
    return [
        {
            "norm": float(geometry.norms[place]),
            "cosine": float(geometry.cosines[place]),
            "influence": float(influence[place]),
            "weight": None if weights is None else float(weights[place]),
            "clipped": None if scaled is None else bool(scaled[place] < 1),
        }
        for place in range(geometry.n)
    ]
