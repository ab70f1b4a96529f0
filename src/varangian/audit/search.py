"""Look for the forgery that moves a rule furthest, where a candidate costs no more than a small matrix.

Along each of some lines through the honest mean, a factor is tried on a grid and then refined; what came
out best wanders on at random, alone or as two vectors among which the liars are split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.audit.ground import Ground

OCTAVES = (-4.0, 7.0)
"""Of the furthest honest vector's distance: how far along a line a forgery is tried."""
FAR, MANY = 1e4, 100.0
"""A factor as far as nobody honest is. If twice that moves the output twice as far again, and by many honest
standard deviations, there is no bound."""


@dataclass(frozen=True)
class Effort:
    """How hard to look: factors on a line, rounds of refinement, lines refined, and how long to wander."""

    factors: int = 9
    rounds: int = 3
    best: int = 4
    wanderers: int = 24
    generations: int = 6


QUICK = Effort(factors=8, rounds=1, best=2, wanderers=0, generations=0)
"""Enough to tell which honest set is worth a thorough look."""


@dataclass(frozen=True, eq=False)
class Line:
    """A direction from the honest mean, as long as the furthest honest vector is away; and its name."""

    name: str
    direction: Float[Tensor, " k"]


@dataclass(frozen=True, eq=False)
class Found:
    """A forgery, who is honest, and the ratio that it reaches: infinite where there is no bound."""

    ground: Ground
    forged: Float[Tensor, "u k"]
    ratio: float
    name: str


def lines_of(ground: Ground) -> list[Line]:
    """Return the lines that are searched: both ways along each axis of attack.

    The axes are the mean itself (sign flips, inner products), the deviation and its signs (a little is
    enough, min-max), the near edges, the two widest directions of the honest vectors, and the honest
    vectors that are nearest to and furthest from the mean.
    """
    seen, centre, base = ground.seen, ground.centre, ground.seen.table
    unit = torch.eye(seen.k, dtype=torch.float64)
    axes = {
        "away from the mean": unit[seen.place("origin")] - centre,
        "the deviation": centre - unit[seen.place("deviation")],
        "the signs": centre - unit[seen.place("signs")],
        "the near edges": unit[seen.place("sides")] - centre,
    }
    honest = list(ground.honest)
    apart = (ground.rows - centre) @ base
    gram = -0.5 * apart @ (ground.rows - centre).mT
    values, vectors = torch.linalg.eigh(gram)
    for rank, name in ((1, "the widest direction"), (2, "the second widest direction")):
        if len(honest) > rank and values[-rank] > 1e-12 * values[-1]:
            axes[name] = vectors[:, -rank] @ (ground.rows - centre)
    order = gram.diagonal().argsort()
    for place, name in ((order[0], "the most central"), (order[-1], "the most distant")):
        axes[f"{name}, {seen.round.clients[honest[int(place)]]}"] = ground.rows[int(place)] - centre
    reach = float(gram.diagonal().amax().clamp(min=0.0).sqrt())
    made = []
    for name, axis in axes.items():
        length = math.sqrt(max(0.0, float(-0.5 * axis @ base @ axis)))
        if length > 1e-9 * reach:
            direction = axis * (reach / length)
            made += [Line(f"towards {name}", direction), Line(f"against {name}", -direction)]
    return made


def search(ground: Ground, effort: Effort | None = None, *, beside: Sequence[Found] = ()) -> Found:
    """Return the worst forgery found, which is never better than what stands ``beside``.

    Cost        some hundred plans on tables of n + 1 points; no read of the vectors for rules that plan on
                distances, some hundred reads of the sketch for rules that decide by columns
    Randomness  from the ground's stream
    """
    effort = effort or Effort()
    lines = lines_of(ground)
    if not ground.b or not lines:
        still = ground.centre[None]
        return Found(ground, still, float(ground.ratios(still[None])[0]), "nobody lies")
    far = _far(ground, lines)
    if far is not None:
        return far
    forged, ratio, place = _on_lines(ground, lines, effort)
    best = Found(ground, forged[None], ratio, f"a line {lines[place].name}")
    copies = ground.rows[:, None]
    reached = ground.ratios(copies)
    top = int(reached.argmax())
    if float(reached[top]) > best.ratio:
        name = ground.seen.round.clients[ground.honest[top]]
        best = Found(ground, copies[top], float(reached[top]), f"copies of {name}")
    best = max([best, *beside], key=lambda found: found.ratio)
    return _wander(best, lines, effort) if effort.generations else best


def _far(ground: Ground, lines: Sequence[Line]) -> Found | None:
    """Return the forgery from far away that shows that there is no bound, if it does."""
    line = lines[0]
    forged = ground.centre + FAR * torch.tensor([[[1.0]], [[2.0]]], dtype=torch.float64) * line.direction
    once, twice = ground.ratios(forged).tolist()
    if once < MANY or twice < 3 * once:
        return None
    return Found(ground, forged[1], math.inf, f"a line {line.name}, as far as one likes")


def _on_lines(ground: Ground, lines: Sequence[Line], effort: Effort) -> tuple[Tensor, float, int]:
    """Return the best forgery on the lines, its ratio, and which line it is on."""
    directions = torch.stack([line.direction for line in lines])
    factors = 2.0 ** torch.linspace(*OCTAVES, effort.factors, dtype=torch.float64)
    factors = factors.expand(len(lines), -1)
    reached = _reached(ground, directions, factors)
    chosen = reached.amax(1).argsort(descending=True)[: effort.best]
    directions, factors, reached = directions[chosen], factors[chosen], reached[chosen]
    steps = torch.linspace(0, 1, effort.factors + 2, dtype=torch.float64)[1:-1]
    for _ in range(effort.rounds):
        top = reached.argmax(1, keepdim=True)
        low = factors.gather(1, (top - 1).clamp(min=0))
        high = factors.gather(1, (top + 1).clamp(max=factors.shape[1] - 1))
        between = low + (high - low) * steps
        factors = torch.cat([factors, between], dim=1)
        reached = torch.cat([reached, _reached(ground, directions, between)], dim=1)
        order = factors.argsort(dim=1)
        factors, reached = factors.gather(1, order), reached.gather(1, order)
    row, column = divmod(int(reached.argmax()), reached.shape[1])
    forged = ground.centre + factors[row, column] * directions[row]
    return forged, float(reached[row, column]), int(chosen[row])


def _reached(ground: Ground, directions: Tensor, factors: Tensor) -> Tensor:
    forged = ground.centre + factors[..., None] * directions[:, None]
    return ground.ratios(forged.flatten(0, 1)[:, None]).view(factors.shape)


def _wander(best: Found, lines: Sequence[Line], effort: Effort) -> Found:
    """Return what random steps of growing and shrinking size come to, for one vector, and for two."""
    ground = best.ground
    axes = torch.stack([line.direction for line in lines[::2]])
    axes = torch.cat([axes, ground.rows - ground.centre])
    generator = ground.stream.at("wander").generator()
    forged, ratio, scale = best.forged, best.ratio, 0.3
    for generation in range(effort.generations):
        split = ground.b > 1 and generation % 2 == 1
        parents = forged.expand(2, -1) if split and len(forged) == 1 else forged
        draws = torch.randn(
            effort.wanderers, len(parents), len(axes), generator=generator, dtype=torch.float64
        )
        sparse = torch.rand(draws.shape, generator=generator, dtype=torch.float64) < 2.0 / len(axes)
        sizes = scale * 10 ** torch.linspace(-1.5, 0.5, effort.wanderers, dtype=torch.float64)
        steps = (draws * sparse * sizes[:, None, None]) @ axes
        drift = (parents - ground.centre) * (0.5 * sizes[:, None, None] * draws[..., :1])
        candidates = parents + steps + drift
        reached = ground.ratios(candidates)
        top = int(reached.argmax())
        if float(reached[top]) > ratio:
            forged, ratio = candidates[top], float(reached[top])
            scale *= 1.3
        else:
            scale *= 0.6
    if ratio == best.ratio:
        return best
    return Found(ground, forged, ratio, f"{best.name}, and on from there")
