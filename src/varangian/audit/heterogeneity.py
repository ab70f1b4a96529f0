"""How unlike the honest are, told apart from noise; and from where on no rule can serve them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from varangian.audit.examination import Outline
from varangian.audit.report import Finding

BREAKDOWN = "Allouah et al., NeurIPS 2023 (recalled)"


def estimate(seen: Sequence[Outline]) -> float | None:
    """Return B^2: what differs between clients and lasts from round to round, over the squared mean.

    Noise does not last: deviations of one round and of another half the recording later have inner products
    that are, on average, those of what stays the same. The mean's own share of noise is taken off its length.
    The constant part of the difference, G^2, is counted as if it were in proportion. Of a single round, noise
    cannot be told apart, and the number is an upper bound. None where the mean is lost in noise.

    Condition   the noise of a client is not correlated over half of the rounds
    Reference   (G, B)-dissimilarity: Karimireddy et al., ICLR 2022
    """
    if len(seen) == 1:
        return seen[0].spread / seen[0].length if seen[0].length > 0 else math.inf
    pairs = list(zip(seen, seen[len(seen) // 2 :], strict=False))
    lasting = max(0.0, sum(_lasting(*pair) for pair in pairs) / len(pairs))

    def length(one: Outline) -> float:
        noise = max(0.0, one.spread - lasting) / max(1, len(one.columns) - 1)
        return max(0.0, one.length - noise)

    usual = sum(math.sqrt(length(one) * length(other)) for one, other in pairs) / len(pairs)
    return lasting / usual if usual > 0 else None


def heterogeneity(seen: Sequence[Outline], n: int, f: int, kappa: float | None) -> Finding:
    """Return whether the honest are alike enough for anybody's rule, and for this one's theorem."""
    found = estimate(seen)
    title, unit = "Heterogeneity of the honest", "B^2"
    if found is None:
        words = "The honest mean is lost in noise in these rounds: record earlier ones, or larger batches."
        return Finding(
            "heterogeneity", title, "warn", None, unit, "lost in noise", words, reference=BREAKDOWN
        )
    limit = (n - 2 * f) / f if f else math.inf
    single = len(seen) == 1
    words = (
        f"What differs between honest clients, and stays so, is {math.sqrt(found):.2g} times as long as "
        f"their mean{', noise included, since one round cannot tell' if single else ''}. "
    )
    words += f"Above B^2 = (n-2f)/f = {limit:.3g} no rule whatsoever can find the mean. " if f else ""
    if kappa:
        promise = "which holds here" if found * kappa < 1 else "which does not hold here"
        words += (
            f"The theorem of this rule promises progress in every round below {1 / kappa:.3g}, {promise}."
        )
    beyond = found > limit
    status = ("warn" if single else "refused") if beyond else "pass"
    change = "Deal the data more evenly, let clients share some, or declare a smaller f." if beyond else ""
    told = f"{found:.3g}{' at most' if single else ''}, the limit is {limit:.3g}" if f else f"{found:.3g}"
    return Finding("heterogeneity", title, status, found, unit, told, words.strip(), limit, change, BREAKDOWN)


def _lasting(one: Outline, other: Outline) -> float:
    a = one.columns.double() - one.columns.double().mean(0)
    b = other.columns.double() - other.columns.double().mean(0)
    return float((a * b).sum()) / len(a) * one.stretch
