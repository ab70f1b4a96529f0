"""What one step came to, as a value; and what makes a party suspected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from varangian.core.values import Value

Party = int | str


@dataclass(frozen=True)
class Suspicion(Value):
    """What gave a party away in a step; ``size`` is in spreads, and infinite where no chance is involved."""

    step: int
    party: Party
    sign: str
    size: float = math.inf

    def __str__(self) -> str:
        size = "" if math.isinf(self.size) else f" ({self.size:.1f} spreads)"
        return f"{self.party}, step {self.step}: {self.sign}{size}"


@dataclass(frozen=True)
class Account(Value):
    """What one step came to.

    ``coefficient`` is the largest squared distance of the aggregate from the mean of n - f vectors, over
    their variance; ``exact`` says that no set of n - f was left out, and ``proven`` what the rule's theorem
    allows, if it says so. ``core_coefficient`` is that of the core, the n - f vectors that lie closest
    together.
    ``variance_to_norm`` is the core's, too, and ``holds`` whether the rule's condition on it does.
    ``clipped`` is the share of the weight that the rule took from those who had it, None where it decides
    coordinate by coordinate. ``influence`` is how far towards each party the aggregate lies, from the others,
    in standard deviations of the core. ``suspicions`` are this step's.
    """

    step: int
    n: int
    coefficient: float
    exact: bool
    proven: float | None
    core_coefficient: float
    variance_to_norm: float
    holds: bool | None
    clipped: float | None
    influence: Mapping[Party, float]
    suspicions: tuple[Suspicion, ...] = field(default=())
