"""What one site can do where sites are of very different sizes: the error of each rule, site by site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.aggregators import Average, CenteredClipping, GeometricMedian, Median, TrimmedMean
from varangian.core.chain import chain
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.core.values import Value
from varangian.data import Dataset, load_dataset
from varangian.errors import ParameterError
from varangian.mixers import AdaptiveClipping, Clipping

SIZES = (0.52, 0.18, 0.105, 0.08, 0.06, 0.03, 0.019, 0.006)
"""Shares of the data, as eight hospitals of a consortium hold them."""
STEPS, RATE = 20, 0.5
"""What each site trains in a round: steps of softmax regression on all of its samples, from zero."""

Aggregate = Callable[[Float[Tensor, "n d"]], Float[Tensor, " d"]]


@dataclass(frozen=True)
class SiteErrors(Value):
    """The error of one way to aggregate: with nobody lying, and the worst that each site alone can cause.

    An error is the distance from the update that honest sites would have come to with their data in one
    place, over that update's length.
    """

    name: str
    calm: float
    attacked: tuple[float, ...]

    def worst(self, sizes: Sequence[float], up_to: float) -> float:
        """Return the worst error that a site of at most this share can cause."""
        return max(error for error, size in zip(self.attacked, sizes, strict=True) if size <= up_to)


ATTACKS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda own, others: 1000 * own,
    lambda own, others: -1000 * own,
    lambda own, others: -own,
    lambda own, others: -own / own.norm() * others.norm(dim=1).max(),
)
"""What a site sends, given its own update and the others'."""


def site_errors(
    sizes: Sequence[float] = SIZES, *, mass: float = 0.105, cap: float = 0.3, seed: int = 1
) -> list[SiteErrors]:
    """Return the errors on the digits, dealt at random to sites of these shares.

    ``mass`` is the share that a liar is declared to hold, ``cap`` the largest share in the last line.

    Randomness  the deal, from ``seed``
    Raises      ParameterError for shares that are none
    """
    if min(sizes) <= 0 or abs(sum(sizes) - 1) > 1e-6:
        raise ParameterError(f"sizes = {sizes!r}: shares of the data are positive, and sum to 1.")
    parts = _dealt(load_dataset("digits"), sizes, seed)
    updates = torch.stack([_trained(*part) for part in parts])
    together = _trained(*map(torch.cat, zip(*parts, strict=True)))
    without = [
        _trained(*map(torch.cat, zip(*(parts[:liar] + parts[liar + 1 :]), strict=True)))
        for liar in range(len(parts))
    ]
    weights = torch.tensor([float(len(labels)) for _, labels in parts])
    return [
        SiteErrors(
            name,
            _error(made(updates), together),
            tuple(_worst(made, updates, liar, truth) for liar, truth in enumerate(without)),
        )
        for name, made in _ways(weights, mass, cap, updates).items()
    ]


def _ways(weights: Tensor, mass: float, cap: float, updates: Tensor) -> dict[str, Aggregate]:
    """Return the ways to aggregate by name: those that lose the weights, and those that keep them."""
    usual = float(updates.norm(dim=1).median())

    def kept(*stages: Stage) -> Aggregate:
        return lambda x: chain(*stages)(x, weights=weights, mass=mass)

    def centred(x: Tensor) -> Tensor:
        centre = GeometricMedian(f=1)(x, weights=weights, mass=mass)
        radius = float((x - centre).norm(dim=1).median()) or 1.0
        clip = CenteredClipping(f=1, radius=radius, steps=5)
        result: Tensor = clip(x, weights=weights, mass=mass, state=centre)
        return result

    arc = AdaptiveClipping(f=1)
    return {
        "mean": Average(),
        "trimmed mean": TrimmedMean(f=1),
        "median": Median(f=1),
        "weighted mean": lambda x: Average()(x, weights=weights),
        "norm clip + weighted mean": lambda x: chain(Clipping(radius=usual), Average())(x, weights=weights),
        "ARC + weighted mean": kept(arc, Average(f=1)),
        "weighted trimmed mean": kept(TrimmedMean(f=1)),
        "ARC + weighted trimmed mean": kept(arc, TrimmedMean(f=1)),
        "weighted geometric median": kept(GeometricMedian(f=1)),
        "weighted centred clip": centred,
        f"ARC + weighted trimmed mean, cap {cap:g}": lambda x: chain(arc, TrimmedMean(f=1))(
            x, weights=weights, cap=cap
        ),
    }


def _dealt(data: Dataset, sizes: Sequence[float], seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return each site's inputs, with a constant, and labels."""
    inputs = data.train_inputs.flatten(1).double()
    inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
    order = torch.randperm(len(inputs), generator=Stream(seed).at("sites").generator())
    counts = [max(1, round(size * len(order))) for size in sizes[1:]]
    counts = [len(order) - sum(counts), *counts]
    return [(inputs[part], data.train_labels[part]) for part in order.split(counts)]


def _trained(inputs: Tensor, labels: Tensor) -> Float[Tensor, " d"]:
    """Return what a round of training changes."""
    truth = torch.nn.functional.one_hot(labels, 10).double()
    w = torch.zeros(inputs.shape[1], 10, dtype=torch.float64)
    for _ in range(STEPS):
        w = w - RATE * inputs.T @ (torch.softmax(inputs @ w, dim=1) - truth) / len(labels)
    return w.flatten()


def _worst(made: Aggregate, updates: Tensor, liar: int, truth: Tensor) -> float:
    others = torch.cat([updates[:liar], updates[liar + 1 :]])
    errors = []
    for attack in ATTACKS:
        sent = updates.clone()
        sent[liar] = attack(updates[liar], others)
        errors.append(_error(made(sent), truth))
    return max(errors)


def _error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).norm() / truth.norm())
