"""Weights of the parties: shares that sum to one, capped, with the mass that liars may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.leaves import as_tensor
from varangian.errors import WeightsError

HALF = 0.5
NO_NUMBER = (TypeError, ValueError, RuntimeError)
"""What those raise that cannot be read as a number: objects, texts, and arrays of many."""


@dataclass(frozen=True, eq=False)
class Parties:
    """Each party's share of the total weight, and the largest total share that Byzantine ones may hold.

    ``mass`` is the twin of f: with equal shares it is f / n.
    """

    shares: Float[Tensor, " n"]
    mass: float


def weigh(weights: Any, n: int, f: int, *, cap: float | None = None, mass: float | None = None) -> Parties:
    """Turn claimed weights into shares, none above ``cap``.

    ``mass`` defaults to the share of the f largest parties, the worst that f liars can hold.

    Raises WeightsError for weights that are negative, not finite, all zero or not n of them, for a cap
    that n shares cannot respect, for a mass of one half or more, which no rule survives, and for what is
    no number.
    """
    shares = _read(weights, n)
    if cap is not None:
        shares = cap_shares(shares, cap)
    if mass is None:
        mass = float(shares.sort(descending=True).values[:f].sum())
        holders = f"the {f} largest parties hold {mass:.1%} of the weight"
    else:
        mass = _bound("mass", mass)
        holders = f"mass = {mass} arrived"
    if not 0 <= mass < HALF:
        raise WeightsError(
            f"Liars must hold less than half of the weight, but {holders}. "
            "Cap the shares (cap=0.2, say), declare a smaller f, or pass the mass that liars may really hold."
        )
    return Parties(shares, mass)


def cap_shares(shares: Float[Tensor, " n"], cap: float) -> Float[Tensor, " n"]:
    """Cut every share to at most ``cap`` and scale the others up, so that they still sum to one.

    Raises WeightsError for a cap that they cannot respect.

    >>> cap_shares(torch.tensor([0.5, 0.3, 0.1, 0.1], dtype=torch.float64), 0.35)
    tensor([0.3500, 0.3500, 0.1500, 0.1500], dtype=torch.float64)
    """
    cap, holders = _bound("cap", cap), int((shares > 0).sum())
    if not 0 < cap <= 1 or cap * holders < 1 - 1e-12:
        raise WeightsError(
            f"cap = {cap} cannot be respected by {holders} parties of positive weight; "
            f"choose it between {1 / holders:.4g} and 1."
        )
    capped = torch.zeros_like(shares, dtype=torch.bool)
    result = shares
    while bool((over := result > cap * (1 + 1e-12)).any()):
        capped |= over
        free = torch.where(capped, 0.0, shares)
        total = free.sum()
        left = 1 - cap * int(capped.sum())
        result = torch.where(capped, cap, free * (left / total if total > 0 else 0.0))
    return result


def _read(weights: Any, n: int) -> Tensor:
    dtype = getattr(weights, "dtype", None)
    if dtype is not None and "complex" in str(dtype):
        raise WeightsError(f"Weights of dtype {dtype} arrived; pass {n} real numbers.")
    if isinstance(weights, np.ma.MaskedArray):
        raise WeightsError(f"A masked array arrived as weights; pass {n} numbers, weights.filled(0) say.")
    try:
        if dtype is None:
            weights = torch.tensor([_number(weight) for weight in weights], dtype=torch.float64, device="cpu")
        claimed = as_tensor(weights)
    except NO_NUMBER:
        raise WeightsError(f"Weights arrived that are no list of {n} numbers: {weights!r}.") from None
    claimed = claimed.to("cpu", torch.float64)
    if tuple(claimed.shape) != (n,):
        raise WeightsError(
            f"Weights of shape {tuple(claimed.shape)} arrived for {n} vectors; pass {n} numbers."
        )
    if not claimed.isfinite().all():
        worst = int((~claimed.isfinite()).nonzero()[0])
        raise WeightsError(f"Weight {worst} is not finite as a float64; pass {n} finite numbers.")
    if (claimed < 0).any():
        worst = int(claimed.argmin())
        raise WeightsError(f"Weight {worst} is {float(claimed[worst]):g}; weights cannot be negative.")
    total = (claimed / claimed.max().clamp(min=torch.finfo(torch.float64).tiny)).sum()
    if total == 0:
        raise WeightsError("All weights are zero; at least one party must count.")
    scaled = claimed / claimed.max()
    return scaled / scaled.sum()


def _bound(name: str, value: Any) -> float:
    try:
        return _number(value)
    except NO_NUMBER:
        raise WeightsError(f"{name} = {value!r} arrived; pass a number between 0 and 1.") from None


def _number(value: Any) -> float:
    """Read a number, or an array of one, but no text; what no float64 can hold is infinite."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, (str, bytes, bytearray)) or isinstance(value, np.ma.MaskedArray):
        raise TypeError
    try:
        return float(plain)
    except OverflowError:
        return math.inf
