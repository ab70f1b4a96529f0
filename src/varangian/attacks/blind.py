"""Attacks that look at nothing but the shape: constants and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from varangian.attacks.attack import Attack, Scene, Sight
from varangian.core.checks import check_number
from varangian.core.citations import Reference
from varangian.core.papers import KRUM
from varangian.errors import ParameterError
from varangian.kernels.rows import LARGEST

KINDS = ("nan", "+inf", "-inf", "mix")


@dataclass(frozen=True)
class NonFinite(Attack):
    """Send NaN, +inf or -inf in every coordinate, or a mix of the three coordinate by coordinate.

    >>> NonFinite()(torch.zeros(2, 3), b=1)
    tensor([[nan, nan, nan]])
    """

    kind: str = "nan"

    sees = Sight.NOTHING
    short_names = ("nan",)

    def validate(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in KINDS:
            raise ParameterError(f"NonFinite(kind={self.kind!r}): kind must be one of {', '.join(KINDS)}.")

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Return b vectors without a finite value."""
        shape = (*scene.honest.shape[:-2], scene.b, scene.honest.shape[-1])
        values = torch.tensor([math.nan, math.inf, -math.inf], device=scene.honest.device)
        if self.kind == "mix":
            return values[torch.arange(shape[-1], device=values.device) % len(values)].expand(shape), None
        return values[KINDS.index(self.kind)].expand(shape), None


@dataclass(frozen=True)
class Zero(Attack):
    """Send zeros.

    >>> Zero()(torch.ones(2, 3), b=1)
    tensor([[0., 0., 0.]])
    """

    sees = Sight.NOTHING

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Return b vectors of zeros."""
        return torch.zeros_like(scene.honest[..., :1, :]).expand(*scene.honest.shape[:-2], scene.b, -1), None


@dataclass(frozen=True)
class Gaussian(Attack):
    """Send centred Gaussian noise of standard deviation ``std`` per coordinate, fresh for every liar."""

    std: float = 200.0

    sees = Sight.NOTHING
    randomised = True
    reference: ClassVar[Reference] = KRUM

    def validate(self) -> None:
        """Refuse a deviation that is not positive."""
        check_number(self, "std", self.std)

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Return b vectors of noise."""
        return noise(scene) * self.std, None


@dataclass(frozen=True)
class Random(Attack):
    """Send a random direction, as long as ``scale`` times the mean honest norm; fresh for every liar."""

    scale: float = 1.0

    randomised = True

    def validate(self) -> None:
        """Refuse a scale that is not positive."""
        check_number(self, "scale", self.scale)

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Return b vectors of equal length and random direction."""
        directions = noise(scene)
        length = scene.honest.double().norm(dim=-1).clamp(max=LARGEST).mean(-1)[..., None, None]
        return self.scale * length * directions / directions.norm(dim=-1, keepdim=True), None


def noise(scene: Scene) -> Tensor:
    """Return standard Gaussian noise of the forged vectors' shape, in float64."""
    shape = (*scene.honest.shape[:-2], scene.b, scene.honest.shape[-1])
    drawn = torch.randn(shape[-2:], generator=scene.stream.generator(), dtype=torch.float64, device="cpu")
    return drawn.to(scene.honest.device).expand(shape)
