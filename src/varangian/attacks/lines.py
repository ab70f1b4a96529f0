"""Attacks on a line: all liars send mean + factor * direction."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.attacks.attack import Attack, Scene, repeat
from varangian.core.checks import check_number
from varangian.core.citations import Reference
from varangian.core.papers import EMPIRE, LITTLE, MANIPULATING
from varangian.errors import ParameterError
from varangian.kernels.distances import pairwise, to_each

DIRECTIONS = ("unit", "std", "sign")


class LineAttack(Attack):
    """All liars send mu + factor * direction, mu being the mean of the honest vectors."""

    @abstractmethod
    def direction(self, scene: Scene, mu: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return the direction."""

    @abstractmethod
    def factor(
        self, scene: Scene, mu: Float[Tensor, "*batch d"], direction: Float[Tensor, "*batch d"]
    ) -> Float[Tensor, "*batch"]:
        """Return how far to go along the direction, a number per problem."""

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Return b times the same vector."""
        scene = scene.bounded()
        mu = scene.mean
        direction = self.direction(scene, mu)
        factor = self.factor(scene, mu, direction)
        return repeat(mu + factor[..., None] * direction, scene.b), None


@dataclass(frozen=True)
class SignFlip(LineAttack):
    """Send -mu.

    >>> SignFlip()(torch.tensor([[1.0], [3.0]]), b=1)
    tensor([[-2.]])
    """

    short_names = ("signflip",)

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return -mu."""
        return -mu

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return 2."""
        return mu.new_full(mu.shape[:-1], 2.0)


@dataclass(frozen=True)
class Scale(LineAttack):
    """Send ``c`` times mu.

    >>> Scale(c=10.0)(torch.tensor([[1.0], [3.0]]), b=1)
    tensor([[20.]])
    """

    c: float = -10.0

    def validate(self) -> None:
        """Refuse a factor that is not a finite number."""
        check_number(self, "c", self.c, above=-float("inf"))

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return mu, or -mu for a c below one."""
        return mu if self.c >= 1 else -mu

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return |c - 1|."""
        return mu.new_full(mu.shape[:-1], abs(self.c - 1))


@dataclass(frozen=True)
class InnerProductManipulation(LineAttack):
    """Send -epsilon mu, small enough to be taken for honest, and opposed to it.

    The default is the grid of the ICLR'21 study, (1 - 1.1) mu.

    >>> InnerProductManipulation(epsilon=0.5)(torch.tensor([[1.0], [3.0]]), b=1)
    tensor([[-1.]])
    """

    epsilon: float = 0.1

    short_names = ("ipm", "empire")
    reference: ClassVar[Reference] = EMPIRE

    def validate(self) -> None:
        """Refuse an epsilon that is not positive."""
        check_number(self, "epsilon", self.epsilon)

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return -mu."""
        return -mu

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return 1 + epsilon."""
        return mu.new_full(mu.shape[:-1], 1 + self.epsilon)


@dataclass(frozen=True)
class ALittleIsEnough(LineAttack):
    """Send mu - z sigma, just inside the honest spread in every coordinate.

    ``z`` defaults to the paper's quantile: with s = floor(n/2 + 1) - b supporters needed,
    z = Phi^-1((n - b - s) / (n - b)). ``sign`` = 1 goes the other way.

    >>> round(little_z(25, 5), 3)
    0.253
    """

    z: float | None = None
    sign: int = -1

    short_names = ("alie", "little")
    reference: ClassVar[Reference] = LITTLE

    def validate(self) -> None:
        """Refuse a sign other than 1 or -1."""
        if self.sign not in (-1, 1):
            raise ParameterError(f"ALittleIsEnough(sign={self.sign!r}): sign must be 1 or -1.")
        if self.z is not None:
            check_number(self, "z", self.z, above=-float("inf"))

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return sigma, signed."""
        return self.sign * scene.deviation

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return z."""
        return mu.new_full(mu.shape[:-1], little_z(scene.n, scene.b) if self.z is None else self.z)


def little_z(n: int, b: int) -> float:
    """Return the paper's z for n vectors of which b are forged.

    Raises ParameterError where the quantile is infinite (the liars need no supporter, or cannot have enough).
    """
    supporters = n // 2 + 1 - b
    share = (n - b - supporters) / (n - b) if n > b else 0.0
    if not 0 < share < 1:
        raise ParameterError(
            f"ALittleIsEnough has no finite default z for n = {n} and b = {b}; pass one, for instance z=1.5."
        )
    return NormalDist().inv_cdf(share)


class _WithinSpread(LineAttack):
    """Go along a perturbation as far as a bound on the distances to the honest vectors allows."""

    along: str

    reference: ClassVar[Reference] = MANIPULATING

    def validate(self) -> None:
        """Refuse an unknown direction."""
        if self.along not in DIRECTIONS:
            name = type(self).__name__
            raise ParameterError(
                f"{name}(along={self.along!r}): along must be one of {', '.join(DIRECTIONS)}."
            )

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return minus mu's direction, minus the deviation, or minus mu's signs."""
        if self.along == "unit":
            norm = mu.norm(dim=-1, keepdim=True)
            return -mu / torch.where(norm > 0, norm, 1.0)
        return -scene.deviation if self.along == "std" else -mu.sign()


@dataclass(frozen=True)
class MinMax(_WithinSpread):
    """Go as far as no honest vector is further from the forgery than the furthest two honest are apart."""

    along: str = "std"

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return the least, over the honest vectors, of the largest roots of a quadratic."""
        bound = pairwise(scene.honest).amax((-2, -1))[..., None]
        apart = to_each(scene.honest, mu[..., None, :])[..., 0]
        length = direction.norm(dim=-1, keepdim=True)
        length = torch.where(length > 0, length, torch.inf)
        along = (scene.honest.double() * direction[..., None, :]).sum(-1)
        slope = (mu * direction).sum(-1)[..., None] - along
        slope = slope / length
        root = (slope.square() + bound - apart).clamp(min=0.0).sqrt() - slope
        return (root.amin(-1) / length[..., 0]).clamp(min=0.0)


@dataclass(frozen=True)
class MinSum(_WithinSpread):
    """Go as far as the summed squared distances to the honest stay within the worst honest vector's."""

    along: str = "std"

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return the root of a quadratic whose linear term vanishes at the mean."""
        bound = pairwise(scene.honest).sum(-1).amax(-1)
        apart = to_each(scene.honest, mu[..., None, :])[..., 0].sum(-1)
        square = scene.honest.shape[-2] * direction.square().sum(-1)
        return ((bound - apart).clamp(min=0.0) / torch.where(square > 0, square, torch.inf)).sqrt()
