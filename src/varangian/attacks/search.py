"""Attacks that look for their own strength against the rule itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from varangian.attacks.attack import Scene, Sight
from varangian.attacks.lines import ALittleIsEnough, LineAttack
from varangian.attacks.sightline import Sightline, best_on
from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.papers import BULYAN, MANIPULATING
from varangian.errors import ParameterError

DOUBLINGS = 60
BISECTIONS = 20
OCTAVES = (-4, 7)
FAR = (1e3,)
TRIED, LOST = 5, 0.02
"""How many candidates are aggregated for real, and what share of its promise the first may lose unnoticed."""


@dataclass(frozen=True)
class Optimal(LineAttack):
    """Go along another attack's line as far as moves the rule's output furthest from the honest mean.

    White box. The candidates are the other attack's own factor and ``candidates`` from 1/16 to 128 times
    the honest spread, then 1000 times; ``rounds`` of as many refine between the best one's
    neighbours, and all but the last between those of the second best peak too. What wins is aggregated for
    real beside the other attack, as it is sent: rounded to the vectors' dtype, and finite in it unless the
    other attack is not. Where rounding costs it what it promised, the next best are tried, ``TRIED`` in all.
    So it is never weaker than the other attack.

    Cost        O(n^2) a candidate for geometric chains, one aggregation a candidate where columns decide
    Reference   Shejwalkar and Houmansadr, NDSS 2021

    >>> from varangian.aggregators import TrimmedMean
    >>> honest = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> TrimmedMean(f=1)(torch.cat([honest, Optimal()(honest, b=1, rule=TrimmedMean(f=1))]))
    tensor([1.])
    """

    attack: LineAttack = field(default_factory=ALittleIsEnough)
    candidates: int = 10
    rounds: int = 2

    sees = Sight.RULE
    reference: ClassVar[Reference] = MANIPULATING

    def validate(self) -> None:
        """Refuse an attack without a line, fewer than three candidates, or negative rounds."""
        if not isinstance(self.attack, LineAttack):
            raise ParameterError(
                f"Optimal(attack={self.attack!r}) needs an attack on a line: ALittleIsEnough, "
                "InnerProductManipulation, SignFlip, Scale, MinMax or MinSum."
            )
        check_count(self, "candidates", self.candidates, least=3)
        check_count(self, "rounds", self.rounds, least=0)

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return the other attack's direction."""
        return self.attack.direction(scene, mu)

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return the factor that does the most harm."""
        line = Sightline(scene, scene.target(self), mu, direction)
        unit = line.reach()
        octaves = 2.0 ** torch.linspace(*OCTAVES, self.candidates, dtype=torch.float64, device=mu.device)
        spread = torch.cat([octaves, octaves.new_tensor(FAR)])
        factors = line.within(unit * spread.reshape(-1, *[1] * unit.ndim))
        try:
            own = self.attack.factor(scene, mu, direction)
        except ParameterError:  # the other attack has no default here; the search needs none
            return _best_as_sent(line, factors, self.rounds)[0]
        best, most = _best_as_sent(line, torch.cat([line.within(own)[None], factors]), self.rounds)
        return torch.where(line.deviation(own) > most, own, best)


def _best_as_sent(line: Sightline, factors: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """Return the first of the best candidates that keeps its promise as sent, or the best as sent."""
    found, promised = best_on(line.deviations, factors, rounds, TRIED)
    best, most = found[0], line.deviation(found[0])
    for factor in found[1:]:
        missed = most < (1 - LOST) * promised[0]
        if not bool(missed.any()):
            break
        moved = line.deviation(factor)
        better = missed & (moved > most)
        best, most = torch.where(better, factor, best), torch.where(better, moved, most)
    return best, most


@dataclass(frozen=True)
class HiddenVulnerability(LineAttack):
    """Go along one coordinate (all of them for None) as far as the rule still selects the forgery.

    In high dimension that is far: the distance to the others hardly shows one coordinate. White box, by
    exponential growth and bisection, then back until a real aggregation selects what is sent. Against rules
    that leave out nobody, and so select nothing, as far as pays most.

    Reference   El-Mhamdi et al., ICML 2018
    """

    coordinate: int | None = 0

    sees = Sight.RULE
    short_names = ("bulyan-attack",)
    reference: ClassVar[Reference] = BULYAN

    def validate(self) -> None:
        """Refuse a negative coordinate."""
        if self.coordinate is not None:
            check_count(self, "coordinate", self.coordinate, least=0)

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        """Return the coordinate's unit vector, or all ones."""
        if self.coordinate is None:
            return torch.ones_like(mu)
        if self.coordinate >= mu.shape[-1]:
            raise ParameterError(f"{self!r}: the vectors have only {mu.shape[-1]} coordinates.")
        direction = torch.zeros_like(mu)
        direction[..., self.coordinate] = 1.0
        return direction

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        """Return the largest factor at which a forgery is still selected."""
        line = Sightline(scene, scene.target(self), mu, direction)
        paying = Optimal(_Given(direction))
        reach = line.within(line.reach())
        selects = line.leaves_out(reach)
        if not bool(selects.any()):
            return paying.factor(scene, mu, direction)
        furthest = self._furthest(line, reach)
        if bool(selects.all()):
            return furthest
        return torch.where(selects, furthest, paying.factor(scene, mu, direction))

    def _furthest(self, line: Sightline, high: Tensor) -> Tensor:
        """Return the largest factor that is selected as it is sent."""
        growing = line.selected(high)
        low = torch.where(growing, high, 0.0)
        for _ in range(DOUBLINGS):
            if not bool(growing.any()):
                break
            low = torch.where(growing, high, low)
            high = line.within(torch.where(growing, 2 * high, high))
            growing = growing & (high > low) & line.selected(high)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            taken = line.selected(middle)
            low, high = torch.where(taken, middle, low), torch.where(taken, high, middle)
        held = line.selected_as_sent(low)
        back = max(line.scene.eps, 2.0**-BISECTIONS)
        while back < 1 and not bool(held.all()):
            low = torch.where(held, low, (1 - back) * low)
            held = held | line.selected_as_sent(low)
            back *= 2
        return torch.where(held, low, 0.0)


@dataclass(frozen=True, eq=False)
class _Given(LineAttack):
    """A line that someone else chose."""

    line: Tensor

    def direction(self, scene: Scene, mu: Tensor) -> Tensor:
        return self.line

    def factor(self, scene: Scene, mu: Tensor, direction: Tensor) -> Tensor:
        return mu.new_ones(mu.shape[:-1])
