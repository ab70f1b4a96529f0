"""How far an aggregate really was from the mean of honest vectors, whoever they are, over their spread."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.selection import lowest

EXACT = 3000
"""So many sets are tried one by one; of more, only those that exchanges lead to."""
STARTS = 16


def coefficient(
    between: Float[Tensor, "n n"], to_aggregate: Float[Tensor, " n"], keep: int
) -> tuple[float, bool]:
    """Return the largest |a - mean_H|^2 / mean over H of |x_i - mean_H|^2, and whether no set was left out.

    Over sets H of ``keep`` vectors, given the squared distances between the vectors and to the aggregate a.
    It is the quantity that kappa bounds. Where there are more than 3000 sets, it is the largest that
    exchanging one vector at a time leads to from tight sets: a lower bound.

    Cost        O(C(n, keep) n^2), or O(16 n^2) an exchange; no read of a vector

    >>> x = torch.tensor([0.0, 1.0, 2.0, 9.0], dtype=torch.float64)
    >>> coefficient((x[:, None] - x).square(), (x - 3).square(), 3)  # the mean, against the three
    (6.0, True)
    """
    n = len(between)
    if not to_aggregate.isfinite().all():
        return math.inf, True
    between, to_aggregate = between.double(), to_aggregate.double()
    if math.comb(n, keep) <= EXACT:
        return _best(_ratios(_sets(n, keep), between, to_aggregate, keep)), True
    reach = between.sort(dim=-1).values[:, :keep].sum(-1)
    starts = torch.stack([lowest(between[i], keep) for i in reach.argsort()[:STARTS]])
    return _best(_climbed(starts.double(), between, to_aggregate, keep)), False


def of_set(between: Float[Tensor, "n n"], to_aggregate: Float[Tensor, " n"], chosen: Tensor) -> float:
    """Return the same of one set H, given as marks ``(n,)``."""
    if not to_aggregate.isfinite().all():
        return math.inf
    sets = chosen.double()[None]
    return _best(_ratios(sets, between.double(), to_aggregate.double(), int(chosen.sum())))


def _ratios(sets: Tensor, between: Tensor, to_aggregate: Tensor, keep: int) -> Tensor:
    """Return the mean squared distance to the aggregate over that to the mean, for each set."""
    pairs = ((sets @ between) * sets).sum(-1) / 2
    return _over(keep * (sets @ to_aggregate), pairs)


def _climbed(sets: Tensor, between: Tensor, to_aggregate: Tensor, keep: int) -> Tensor:
    """Exchange one vector of each set after the other as long as that helps; return the ratios."""
    lines = torch.arange(len(sets))
    found = _ratios(sets, between, to_aggregate, keep)
    for _ in range(2 * len(between)):
        sums = sets @ between
        pairs = (sums * sets).sum(-1) / 2
        aims = sets @ to_aggregate
        after = pairs[:, None, None] - sums[:, :, None] + sums[:, None, :] - between
        aim = aims[:, None, None] - to_aggregate[:, None] + to_aggregate
        allowed = (sets[:, :, None] > 0) & (sets[:, None, :] == 0)
        ratios = torch.where(allowed, _over(keep * aim, after.clamp(min=0)), -1.0).flatten(1)
        best, where = ratios.max(-1)
        better = best > found * (1 + 1e-12)
        if not better.any():
            break
        gone, come = where // len(between), where % len(between)
        sets = sets.clone()
        sets[lines[better], gone[better]] = 0
        sets[lines[better], come[better]] = 1
        found = torch.where(better, best, found)
    return _ratios(sets, between, to_aggregate, keep)


def _over(aim: Tensor, pairs: Tensor) -> Tensor:
    """Divide; vectors that agree leave an aggregate nowhere else to be."""
    return torch.where(pairs > 0, aim / pairs, torch.where(aim > 0, torch.inf, 1.0))


def _best(ratios: Tensor) -> float:
    return max(0.0, float(ratios.max()) - 1)


@lru_cache(maxsize=16)
def _sets(n: int, keep: int) -> Tensor:
    """Return all sets of ``keep`` of n, a row of zeros and ones each."""
    chosen = torch.tensor(list(combinations(range(n), keep)), dtype=torch.int64).view(-1, keep)
    return torch.zeros(len(chosen), n, dtype=torch.float64).scatter(1, chosen, 1.0)
