"""On which terms a rule aggregates updates: which rules can, and how much one client may weigh."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch

from varangian.core.needs import Pivot
from varangian.core.parties import cap_shares
from varangian.core.stages import Stage
from varangian.errors import InputError, ParameterError, WeightsError


def check_rule(rule: Any, cap: float | None) -> None:
    """Refuse what can make no model of updates. Raises ParameterError, WeightsError."""
    if not isinstance(rule, Stage) or rule.stages()[-1].mixes:
        raise ParameterError(f"{rule!r} arrived; a round needs a rule, or a chain that ends in one.")
    if any(Pivot.GIVEN in stage.pivots for stage in rule.stages()):
        raise ParameterError(f"{rule!r} measures against a vector of the server's own, and a round has none.")
    if cap is None:
        return
    if isinstance(cap, bool) or not isinstance(cap, (int, float)) or not 0 < cap <= 1:
        raise ParameterError(f"cap = {cap!r} arrived; the largest share of one client is above 0, at most 1.")
    if not honours_weights(rule):
        raise WeightsError(f"{rule!r} honours no weights, so there is nothing to cap; leave cap= out.")


def honours_weights(rule: Stage) -> bool:
    """Tell whether every stage of a rule honours weights of the parties."""
    return all(stage.weighted for stage in rule.stages())


def default_cap(n: int, f: int) -> float:
    """Return twice an equal share, or less where f clients with so much would hold half.

    >>> default_cap(10, 1), default_cap(9, 4)
    (0.2, 0.11805555555555555)
    """
    return min(1.0, 2 / n, (1 / n + 1 / (2 * f)) / 2 if f else 1.0)


def claim(value: Any) -> float:
    """Return how many examples a client claims. Raises InputError for what can be no count."""
    if isinstance(value, bool) or not isinstance(value, (Real, np.number)):
        raise InputError(f"it claims no number of examples, but a {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number) or number < 0:
        raise InputError(f"it claims {number:g} examples")
    return number


def capped(claims: Sequence[Any], cap: float | None, f: int) -> list[float]:
    """Return the share of each client by what it claims, none above the cap; equal ones if a claim is none.

    >>> capped([1, 1, 1, 1e12], cap=0.4, f=1)
    [0.2, 0.2, 0.2, 0.4]
    """
    equal = [1 / len(claims)] * len(claims)
    try:
        counted = [claim(one) for one in claims]
        holders = sum(number > 0 for number in counted)
        limit = max(default_cap(holders, f) if cap is None else cap, 1 / holders)
    except (InputError, ZeroDivisionError):
        return equal
    largest = max(counted)
    shares = torch.tensor([number / largest for number in counted], dtype=torch.float64)
    return [round(share, 12) for share in cap_shares(shares / shares.sum(), limit).tolist()]
