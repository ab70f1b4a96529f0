"""Can this rule tell honest vectors from lies under so much noise? To be asked before training.

The noise alone gives the honest vectors a total variance of d s^2, and clipping gives their mean a norm of at
most ``norm``. So their ratio of deviation to norm is at least

    sqrt(d) s / norm = sqrt(8 d) / (C b),   C = epsilon / sqrt(ln(1.25 / delta)),

whatever the model and the data, and a rule's theorem needs it to stay below the rule's variance bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from varangian.core.checks import check_count, check_number
from varangian.core.guard import admit
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.privacy.mechanism import Privacy


@dataclass(frozen=True)
class Verdict:
    """Whether a rule's theorem can hold under the noise, and what would make it hold.

    ``ratio`` is the least possible deviation of what the honest send, over the norm of its mean; ``bound``
    the largest that the rule is proven to withstand, None where nothing is proven; ``smallest_batch`` the
    batch from which on the noise alone does not rule it out.
    """

    holds: bool
    ratio: float
    bound: float | None
    smallest_batch: int | None
    message: str

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        return self.message


def feasible(
    rule: Stage, privacy: Privacy, *, n: int, d: int, batch_size: int, momentum: float = 0.0
) -> Verdict:
    """Return whether the theorem of a rule can hold for n workers with private gradients of d coordinates.

    A no is final: no data and no model makes the theorem apply. A yes says that the noise alone does not
    stand in the way; the variance of the samples comes on top. ``momentum`` is that *of the workers*, which
    averages noise over steps: the ratio then is sqrt((1 - mu) / (1 + mu)) of what it would be.

    A rule without a variance bound is judged by its kappa, if it has one: the error of the aggregate is at
    most sqrt(kappa) deviations, and must stay below the norm.

    Raises      ParameterError; ToleranceError if n is too small for the rule
    Reference   Guerraoui et al., PODC 2021 (the conditions; recalled), derived here from the variance bounds

    >>> from varangian.aggregators import MinimumDiameterAveraging
    >>> print(feasible(MinimumDiameterAveraging(f=5), Privacy(0.2, 0.01), n=11, d=69, batch_size=50))
    MinimumDiameterAveraging(f=5) proves nothing here: with d = 69 and b = 50 the noise alone deviates by 8.8
    times the largest gradient, and the rule is proven up to 0.424. A batch of at least 1038 would do.
    """
    check_count(privacy, "n", n, least=1)
    check_count(privacy, "d", d, least=1)
    check_number(privacy, "momentum", momentum, least=0.0)
    if momentum >= 1:
        raise ParameterError(f"feasible(momentum={momentum!r}): momentum must be below 1.")
    admit(rule, n)
    ratio = math.sqrt(d) * privacy.deviation(batch_size) / privacy.norm
    ratio *= math.sqrt((1 - momentum) / (1 + momentum))
    bound = _bound(rule, n, d)
    with_noise = (
        f"with d = {d} and b = {batch_size} the noise alone deviates by {ratio:.2g} times the largest"
    )
    with_noise += " gradient" if not momentum else f" gradient (workers' momentum {momentum:g} counted)"
    if bound is None:
        words = f"{rule!r} proves nothing against liars, with noise or without; {with_noise}."
        return Verdict(False, ratio, None, None, words + " Take a rule with a variance bound or a kappa.")
    smallest = max(1, math.ceil(ratio * batch_size / bound * (1 - 1e-12)))
    if bound == math.inf:
        return Verdict(True, ratio, bound, 1, f"{rule!r} declares no liar to tell apart; {with_noise}.")
    if ratio <= bound:
        words = f"The noise does not stand in the way of {rule!r}: {with_noise}, and the rule is proven up to"
        return Verdict(True, ratio, bound, smallest, f"{words} {bound:.3g}.")
    words = f"{rule!r} proves nothing here: {with_noise}, and the rule is proven up to {bound:.3g}."
    return Verdict(False, ratio, bound, smallest, f"{words} A batch of at least {smallest} would do.")


def _bound(rule: Stage, n: int, d: int) -> float | None:
    bound = rule.variance_bound(n, d)
    if bound is not None:
        return bound
    kappa = rule.kappa(n)
    if kappa is None:
        return None
    return math.inf if kappa == 0 else 1 / math.sqrt(kappa)
