"""What chance hides: the cost of steps whose batches are drawn without replacement.

The theorem adds up differences of high order, which cancel. What rounding may have taken from them is bounded
and put on top, so that a large order can give a useless number but never one that is too small.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from varangian.errors import MissingExtraError

ORDERS = (1.25, 1.5, 1.75, *range(2, 17), 20, 24, 28, 32, 40, 48, 64, 128, 256)
"""Orders of the Rényi divergence; of the bounds that they give, the least counts."""
LARGEST_EXPONENT = 700.0


def without_replacement(
    multiplier: float, batch_size: int, samples: int, releases: int, delta: float
) -> float:
    """Return the epsilon of several releases of noisy sums of ``batch_size`` of ``samples`` samples.

    ``multiplier`` is the noise's deviation over what replacing one sample of the batch can change.

    Raises      MissingExtraError without dp-accounting
    Reference   Wang et al., AISTATS 2019
    """
    accounting = library()
    step = accounting.SampledWithoutReplacementDpEvent(
        samples, batch_size, accounting.GaussianDpEvent(multiplier)
    )
    least = math.inf
    for order in ORDERS:
        lost = rounding(batch_size / samples, multiplier, math.ceil(order))
        if lost < 1:
            accountant = accounting.rdp.RdpAccountant([order], accounting.NeighboringRelation.REPLACE_ONE)
            accountant.compose(step, releases)
            least = min(least, float(accountant.get_epsilon(delta)) + releases * lost / (order - 1))
    return least


def rounding(q: float, multiplier: float, order: int) -> float:
    """Return how much rounding can have taken from the theorem's sum at an integer order.

    The sum is that over j of C(order, j) q^j times a difference of order j, and rounding takes a few units
    in the last place of the sum of the absolute values that the difference is made of.
    """
    total = 0.0
    for i in range(order + 1):
        exponent = i * (i - 1) / (2 * multiplier**2) + i * math.log(q) + (order - i) * math.log1p(q)
        exponent += math.log(math.comb(order, i))
        if exponent > LARGEST_EXPONENT:
            return math.inf
        total += math.exp(exponent)
    steps = 4 * order * (2 + order * (order - 1) / (2 * multiplier**2))
    return steps * sys.float_info.epsilon * total


def library() -> Any:
    """Return dp-accounting. Raises MissingExtraError without it."""
    try:
        import dp_accounting
    except ImportError as error:
        raise MissingExtraError("Accounting for privacy", "privacy") from error
    return dp_accounting
