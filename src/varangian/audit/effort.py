"""How hard to look for the worst forgery: as hard as an audit has time for.

Where vectors are few, or short, tables are small and much is tried; where a real aggregation is long and
its rounds are many, a search may cost no more than a few of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from varangian.audit.ground import Ground
from varangian.core.iterative import IterativeRule
from varangian.core.stages import CoordinateRule


@dataclass(frozen=True)
class Effort:
    """How hard to look.

    Axes of attack, factors on a line, rounds of refinement of how many lines, what is thrown at random,
    pairs of places among which liars are split, and how many families wander for how many generations of how
    many children.
    """

    axes: int = 8
    factors: int = 9
    rounds: int = 3
    best: int = 4
    scattered: int = 96
    pairs: int = 6000
    families: int = 16
    children: int = 30
    generations: int = 80
    patience: int = 20


FEW = 8
"""Honest vectors up to which much is tried: tables are small, and the worst sits in sharp corners."""
SOME, SHORT = 16, 64
"""Honest vectors up to which much is tried if they are as short as this: aggregations are cheap."""
BRIEF = Effort(
    axes=6,
    factors=5,
    rounds=2,
    best=2,
    scattered=8,
    pairs=0,
    families=2,
    children=6,
    generations=3,
)
"""What is worth its time where there are more: less than twenty aggregations of a long vector."""
QUICK = Effort(axes=6, factors=6, rounds=1, best=2, scattered=8, pairs=0, generations=0)
"""Enough to tell which honest set is worth a thorough look."""


def effort_for(ground: Ground) -> Effort:
    """Return how hard to look: a rule that weighs smoothly has no corners to find."""
    smooth = any(isinstance(stage, IterativeRule) for stage in ground.rule.stages())
    h, sketched = len(ground.honest), ground.seen.sketch.shape[-1]
    if h > (SOME if sketched <= SHORT else FEW):
        return replace(BRIEF, generations=1) if smooth else BRIEF
    columns = isinstance(ground.rule.stages()[-1], CoordinateRule) and sketched > FEW
    if smooth:
        return Effort(pairs=200, families=3, children=16, generations=40, patience=8)
    if columns:
        return Effort(scattered=48, pairs=48, families=3, children=10, generations=12, patience=4)
    return Effort() if sketched <= SHORT else Effort(pairs=2000, families=8)
