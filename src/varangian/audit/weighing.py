"""What the clients claim to weigh -> shares that a rule can honour, or the reason why none can."""

from __future__ import annotations

from collections.abc import Sequence

from varangian.core.parties import Parties, cap_shares, weigh
from varangian.core.stages import Stage
from varangian.errors import WeightsError


class MajorityError(WeightsError):
    """A party, or the liars together, hold half of the weight."""

    def __init__(self, words: str, shares: tuple[float, ...]) -> None:
        super().__init__(words)
        self.shares = shares


def weighed(
    rule: Stage, claimed: Sequence[float] | None, n: int, b: int, cap: float | None, mass: float | None
) -> Parties | None:
    """Return the parties' weights. Raises WeightsError; MajorityError where no rule can help."""
    if claimed is None:
        if cap is not None or mass is not None:
            raise WeightsError("cap and mass bound the weights of the parties; give weights as well.")
        return None
    for part in rule.stages():
        if not part.weighted:
            raise WeightsError(
                f"{part!r} cannot honour weights. Rules that can: Average, TrimmedMean, GeometricMedian, "
                "CenteredClipping, and Clipping or AdaptiveClipping in front of them."
            )
    shares = weigh(claimed, n, 0).shares
    if cap is not None:
        shares = cap_shares(shares, cap)
    try:
        return weigh(claimed, n, b, cap=cap, mass=mass)
    except WeightsError as error:
        raise MajorityError(str(error), tuple(shares.tolist())) from None
