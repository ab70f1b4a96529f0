"""Mimic: all liars copy one honest worker, so that its data counts too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from varangian.attacks.attack import Attack, Scene, repeat
from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.papers import BUCKETING
from varangian.kernels.products import top_of
from varangian.kernels.rows import sound


@dataclass(frozen=True, eq=False)
class Spread:
    """The direction in which the honest vectors spread, how often it was refined, and who is copied."""

    direction: Float[Tensor, "*batch d"]
    rounds: int
    target: Int[Tensor, "*batch"]


@dataclass(frozen=True)
class Mimic(Attack):
    """Copy the honest worker with the largest projection on the top direction of the honest spread.

    The direction starts as the first round's top direction and takes one step of power iteration a round,
    averaged over the rounds, for ``warmup`` of them; then the worker copied stays the same.
    """

    warmup: int = 50

    memory = Spread
    reference: ClassVar[Reference] = BUCKETING

    def validate(self) -> None:
        """Refuse a warm-up of less than one round."""
        check_count(self, "warmup", self.warmup, least=1)

    def vectors(self, scene: Scene) -> tuple[Tensor, Spread]:
        """Return b copies of the target, and the direction so far."""
        spread: Spread | None = scene.state
        if spread is None or spread.rounds < self.warmup:
            spread = refined(scene.honest, spread)
        index = spread.target[..., None, None].expand(*scene.honest.shape[:-2], 1, scene.honest.shape[-1])
        return repeat(scene.honest.gather(-2, index)[..., 0, :], scene.b), spread


def refined(honest: Float[Tensor, "*batch h d"], before: Spread | None) -> Spread:
    """Return the spread after one more round."""
    centred, _ = sound(honest.double() - honest.mean(-2, keepdim=True, dtype=torch.float64))
    if before is None:
        products = centred @ centred.mT
        _, top = top_of(products)
        direction, rounds = (top[..., None, :] @ centred)[..., 0, :], 1
    else:
        rounds = before.rounds + 1
        step = ((centred @ before.direction[..., None]).mT @ centred)[..., 0, :]
        direction = before.direction * (1 - 1 / rounds) + _unit(step) / rounds
    direction = _unit(direction)
    projections = (centred @ direction[..., None])[..., 0].abs()
    return Spread(direction, rounds, projections.argmax(-1))


def _unit(vector: Tensor) -> Tensor:
    norm = vector.norm(dim=-1, keepdim=True)
    return vector / torch.where(norm > 0, norm, 1.0)
