"""Replicate and take the median: how many copies it takes, by the tail of the binomial."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from varangian.core.values import Value
from varangian.errors import ParameterError

MOST = 100_001
"""More copies than this are no answer."""


@dataclass(frozen=True)
class Certificate(Value):
    """So many ``replicas``, each wrong with a probability of ``failure`` at most: the median, ``certified``.

    Wrong is any output that is further from the truth than one cares about. The median of the copies' outputs
    is then right unless half of the copies, or more, are wrong.

    >>> print(certify(1 / 3, replicas=20))
    20 replicas that fail 33.3 % of the time each: their median fails at most 9.19 % of the time
    """

    failure: float
    replicas: int
    certified: float

    def __str__(self) -> str:
        each, all_of_them = (f"{100 * share:.3g} %" for share in (self.failure, self.certified))
        return (
            f"{self.replicas} replicas that fail {each} of the time each: "
            f"their median fails at most {all_of_them} of the time"
        )


def tail(count: int, n: int, probability: float) -> float:
    """Return the probability that at least ``count`` of n independent events happen.

    >>> round(tail(10, 20, 1 / 3), 4)
    0.0919
    """
    if count <= 0:
        return 1.0
    if probability <= 0 or count > n:
        return 0.0
    if probability >= 1:
        return 1.0
    yes, no = math.log(probability), math.log1p(-probability)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * yes + (n - k) * no
        for k in range(count, n + 1)
    ]
    most = max(logs)
    return min(1.0, math.exp(most) * math.fsum(math.exp(log - most) for log in logs))


def certify(failure: float, replicas: int) -> Certificate:
    """Return how often the median of replicas is wrong at most.

    Raises      ParameterError
    """
    _check_share("certify", "failure", failure)
    if isinstance(replicas, bool) or replicas < 1:
        raise ParameterError(f"certify(replicas={replicas!r}): it takes at least 1.")
    return Certificate(failure, replicas, tail(math.ceil(replicas / 2), replicas, failure))


def replicas_for(failure: float, target: float) -> Certificate:
    """Return the certificate of the fewest replicas whose median fails at most as often as the target.

    It is an odd number: one more copy than an odd number of them helps nobody.

    Raises      ParameterError where no number does, as copies fail half of the time

    >>> replicas_for(1 / 3, 1e-5).replicas
    155
    """
    _check_share("replicas_for", "failure", failure)
    if not 0 < target < 1:
        raise ParameterError(f"replicas_for(target={target!r}): a share between 0 and 1 is needed.")
    if failure >= 0.5:
        raise ParameterError(
            f"Copies that fail {100 * failure:.3g} % of the time cannot outvote each other; the median needs "
            "less than half. Ask for a larger error, or make each copy more robust."
        )
    low, high = 0, 1  # replicas 2 low + 1 and 2 high + 1
    while certify(failure, 2 * high + 1).certified > target:
        low, high = high, 2 * high
        if high > MOST:
            raise ParameterError(f"More than {MOST} replicas are needed; ask for a larger target.")
    if certify(failure, 1).certified <= target:
        return certify(failure, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if certify(failure, 2 * middle + 1).certified <= target else (middle, high)
    return certify(failure, 2 * high + 1)


def at_most(failures: int, of: int, doubt: float = 1e-3) -> float:
    """Return the share that a true rate does not exceed, but for a doubt, given so many failures seen.

    Clopper and Pearson's bound: the rate at which so few failures would be seen with that probability.

    Raises      ParameterError

    >>> round(at_most(0, 100, 0.05), 4)
    0.0295
    """
    if not 0 <= failures <= of or not of:
        raise ParameterError(f"at_most({failures}, {of}): failures are counted among at least one trial.")
    _check_share("at_most", "doubt", doubt)
    if failures == of:
        return 1.0
    low, high = failures / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        seldom = 1 - tail(failures + 1, of, middle) <= doubt
        low, high = (low, middle) if seldom else (middle, high)
    return high


def certify_measured(
    errors: Float[Tensor, " draws"], epsilon: float, target: float, doubt: float = 1e-3
) -> Certificate:
    """Return the certificate of the fewest replicas that are within epsilon but for a target share.

    ``errors`` are those of one copy in independent draws of its faults; the rate at which it fails is at
    most what ``at_most`` makes of them.

    Raises      ParameterError
    """
    return replicas_for(at_most(int((~(errors <= epsilon)).sum()), len(errors), doubt), target)


def _check_share(owner: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ParameterError(f"{owner}({name}={value!r}): a share lies between 0 and 1.")
