"""What a whole run costs, by Google's dp-accounting; and the noise that keeps to a budget.

Neighbouring datasets are those that differ in the content of one sample of one worker ("replace one"): the
relation for which 2 norm / b is the sensitivity. Every number returned is an upper bound.
"""

from __future__ import annotations

import math
from dataclasses import replace

from varangian.core.checks import check_count, check_number
from varangian.errors import ParameterError
from varangian.privacy.mechanism import Privacy
from varangian.privacy.subsampling import library, without_replacement

PRECISION = 1e-4
"""How near to its budget a calibrated privacy comes, relative to its epsilon of a step."""


def spent(
    privacy: Privacy,
    *,
    steps: int,
    batch_size: int | None = None,
    samples: int | None = None,
    delta: float | None = None,
    holders: int = 1,
) -> float:
    """Return the epsilon of a whole run, of ``steps`` steps, at ``delta`` (default: that of the privacy).

    Without ``samples``, nothing is assumed of how batches are drawn, and the number is exact for Gaussian
    noise. With ``batch_size`` and ``samples``, the size of one worker's shard, what chance hides is counted
    as well: a batch is a fixed number of samples, drawn afresh at every step, uniformly and *without
    replacement*, and nobody learns which. ``holders`` counts the workers that draw from the same samples,
    as all do where a split shares the data. Of the bounds that apply, the least.

    Condition   clip="sample"; batch_size <= samples
    Guarantee   the run is (epsilon, delta)-private for datasets that differ in the content of one sample
    Cost        less than a second; the first call imports SciPy
    Raises      ParameterError; MissingExtraError without dp-accounting
    Reference   Balle and Wang, ICML 2018 (exact); Wang et al., AISTATS 2019 (without replacement)

    >>> privacy = Privacy(epsilon=0.2, norm=0.01)
    >>> f"{spent(privacy, steps=1):.3f} {spent(privacy, steps=1000):.2f}"
    '0.140 5.98'
    >>> f"{spent(privacy, steps=1000, batch_size=10, samples=763):.3f}"
    '0.127'
    """
    _refuse_batch_clip(privacy)
    check_count(privacy, "steps", steps, least=1)
    check_count(privacy, "holders", holders, least=1)
    delta = _delta(privacy, delta)
    releases = steps * holders
    exact = float(library().get_epsilon_gaussian(privacy.multiplier / math.sqrt(releases), delta))
    if samples is None:
        return exact
    batch = _batch(privacy, batch_size, samples)
    if batch == samples:
        return exact
    return min(exact, without_replacement(privacy.multiplier, batch, samples, releases, delta))


def calibrate(
    epsilon: float,
    *,
    norm: float,
    steps: int,
    delta: float = 1e-6,
    batch_size: int | None = None,
    samples: int | None = None,
    holders: int = 1,
) -> Privacy:
    """Return the privacy whose noise keeps a whole run within ``epsilon`` at ``delta``, and hardly more.

    The arguments are those of ``spent``, which never tells more than ``epsilon`` of the result.

    Raises      ParameterError; MissingExtraError without dp-accounting

    >>> privacy = calibrate(3.0, norm=0.01, steps=1000)
    >>> f"{privacy.epsilon:.3f} a step, {spent(privacy, steps=1000):.2f} in all"
    '0.109 a step, 3.00 in all'
    """
    privacy = Privacy(epsilon=1.0, norm=norm, delta=delta)
    check_number(privacy, "epsilon", epsilon)

    def fits(log: float) -> bool:
        tried = replace(privacy, epsilon=math.exp(log))
        cost = spent(tried, steps=steps, batch_size=batch_size, samples=samples, holders=holders)
        return cost <= epsilon

    low, high = -1.0, 1.0
    while not fits(low):
        low, high = 2 * low, low
    while fits(high):
        low, high = high, 2 * high
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return replace(privacy, epsilon=math.exp(low))


def _refuse_batch_clip(privacy: Privacy) -> None:
    if privacy.clip != "sample":
        raise ParameterError(
            f"{privacy!r} has no cost that could be told: clipping the mean of a batch bounds no sample, so "
            "nothing is guaranteed. Take clip='sample'."
        )


def _delta(privacy: Privacy, delta: float | None) -> float:
    if delta is None:
        return privacy.delta
    check_number(privacy, "delta", delta)
    if delta >= 1:
        raise ParameterError(f"delta={delta!r} must be below 1: the probability that the guarantee fails.")
    return delta


def _batch(privacy: Privacy, batch_size: int | None, samples: int) -> int:
    check_count(privacy, "samples", samples, least=1)
    if batch_size is None:
        raise ParameterError(
            f"samples={samples} tells what chance hides only together with batch_size; pass both or neither."
        )
    check_count(privacy, "batch_size", batch_size, least=1)
    if batch_size > samples:
        raise ParameterError(
            f"batch_size={batch_size} is more than the {samples} samples of the shard, so the real batch has "
            f"{samples} and the noise is too small for it. Take batch_size <= {samples}."
        )
    return batch_size
