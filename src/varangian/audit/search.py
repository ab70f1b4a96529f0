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

from varangian.audit.battery import battery
from varangian.audit.effort import Effort, effort_for
from varangian.audit.ground import Ground

OCTAVES = (-4.0, 7.0)
"""Of the furthest honest vector's distance: how far along a line a forgery is tried."""
FAR, MANY = 1e3, 10.0
"""A factor as far as nobody honest is. If twice that moves the output twice as far again, and by many honest
standard deviations, there is no bound."""
MIXTURES = 400
"""Mixtures of two honest vectors beside which, or among which, liars are split: ties are decided there."""
ALIKE = 1e-3
"""What two ratios differ by, relatively, at least, if they are of two families."""
WORTH = 2e-3
"""What a generation must bring, relatively, not to be idle; ``patience`` many idle ones end the wandering."""
ONWARDS = ", and on from there"


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
    order = gram.diagonal().argsort()
    _widest(axes, "the widest direction", ground, gram, 1)
    for place, name in ((order[-1], "the most distant"), (order[0], "the most central")):
        axes[f"{name}, {seen.round.clients[honest[int(place)]]}"] = ground.rows[int(place)] - centre
    _widest(axes, "the second widest direction", ground, gram, 2)
    reach = float(gram.diagonal().amax().clamp(min=0.0).sqrt())
    made = []
    for name, axis in axes.items():
        length = math.sqrt(max(0.0, float(-0.5 * axis @ base @ axis)))
        if length > 1e-9 * reach:
            direction = axis * (reach / length)
            made += [Line(f"towards {name}", direction), Line(f"against {name}", -direction)]
    return made


def _widest(axes: dict[str, Tensor], name: str, ground: Ground, gram: Tensor, rank: int) -> None:
    """Add a direction in which the honest vectors are spread, if they are."""
    values, vectors = torch.linalg.eigh(gram)
    if len(values) > rank and values[-rank] > 1e-12 * values[-1]:
        axes[name] = vectors[:, -rank] @ (ground.rows - ground.centre)


def fixed(ground: Ground) -> list[Found]:
    """Return what each fixed attack comes to."""
    made = battery(ground)
    ratios = ground.ratios(torch.stack([*made.values()])).tolist()
    return [
        Found(ground, forged, ratio, name) for (name, forged), ratio in zip(made.items(), ratios, strict=True)
    ]


def search(ground: Ground, effort: Effort | None = None, *, beside: Sequence[Found] = ()) -> Found:
    """Return the worst forgery found, which is never better than what stands ``beside``.

    Cost        some hundred plans on tables of n + 1 points; no read of the vectors for rules that plan on
                distances, some hundred reads of the sketch for rules that decide by columns
    Randomness  from the ground's stream
    """
    effort = effort or effort_for(ground)
    lines = lines_of(ground)[: 2 * effort.axes]
    if not ground.b or not lines:
        still = ground.centre[None]
        return Found(ground, still, float(ground.ratios(still[None])[0]), "nobody lies")
    far = _far(ground, lines)
    if far is not None:
        return far
    starts = [*_on_lines(ground, lines, effort), *_copies(ground), *_scattered(ground, lines, effort)]
    starts += [*fixed(ground), *beside]
    if ground.b > 1 and effort.pairs:
        starts += _pairs(ground, starts, effort)
    starts.sort(key=lambda found: -found.ratio)
    return _wander(starts, lines, effort) if effort.generations else starts[0]


def _far(ground: Ground, lines: Sequence[Line]) -> Found | None:
    """Return the forgery from far away that shows that there is no bound, if it does."""
    line = lines[0]
    forged = ground.centre + FAR * torch.tensor([[[1.0]], [[2.0]]], dtype=torch.float64) * line.direction
    once, twice = ground.ratios(forged).tolist()
    if once < MANY or twice < 3 * once:
        return None
    return Found(ground, forged[1], math.inf, f"a line {line.name}, as far as one likes")


def _on_lines(ground: Ground, lines: Sequence[Line], effort: Effort) -> list[Found]:
    """Return the best forgery on each of the best lines."""
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
    top = reached.argmax(1)
    found = zip(
        chosen.tolist(), directions, factors.gather(1, top[:, None]), reached.amax(1).tolist(), strict=True
    )
    return [
        Found(ground, (ground.centre + factor * direction)[None], ratio, f"a line {lines[place].name}")
        for place, direction, factor, ratio in found
    ]


def _reached(ground: Ground, directions: Tensor, factors: Tensor) -> Tensor:
    forged = ground.centre + factors[..., None] * directions[:, None]
    return ground.ratios(forged.flatten(0, 1)[:, None]).view(factors.shape)


def _copies(ground: Ground) -> list[Found]:
    """Return the honest vector whose copies do most harm."""
    copies = ground.rows[:, None]
    reached = ground.ratios(copies)
    top = int(reached.argmax())
    name = f"copies of {ground.seen.round.clients[ground.honest[top]]}"
    return [Found(ground, copies[top], float(reached[top]), name)]


def _scattered(ground: Ground, lines: Sequence[Line], effort: Effort) -> list[Found]:
    """Return the best of what is thrown at random, near and far, in the space of the honest vectors."""
    generator = ground.stream.at("scattered").generator()
    axes = ground.rows - ground.centre
    draws = torch.randn(effort.scattered, len(axes), generator=generator, dtype=torch.float64)
    sparse = torch.rand(draws.shape, generator=generator, dtype=torch.float64) < 3.0 / len(axes)
    thrown = (draws * sparse) @ axes
    lengths = (-0.5 * (thrown @ ground.seen.table) * thrown).sum(-1).clamp(min=0.0).sqrt()
    reach = float((-0.5 * lines[0].direction @ ground.seen.table @ lines[0].direction).sqrt())
    sizes = reach * 2.0 ** torch.linspace(-3, 3, effort.scattered, dtype=torch.float64)
    scale = torch.where(lengths > 1e-9 * reach, sizes / lengths, 0.0)
    forged = (ground.centre + scale[:, None] * thrown)[:, None]
    reached = ground.ratios(forged)
    best = reached.argsort(descending=True)[:2].tolist()
    return [Found(ground, forged[i], float(reached[i]), "a mixture of honest vectors") for i in best]


def _pairs(ground: Ground, starts: Sequence[Found], effort: Effort) -> list[Found]:
    """Return the best of liars who are split between two of the places found, near or far, or honest."""
    generator = ground.stream.at("pairs").generator()
    lone = torch.cat([one.forged for one in starts if len(one.forged) == 1])
    ends = ground.rows[torch.randint(len(ground.rows), (MIXTURES, 2), generator=generator)]
    shares = 3 * torch.rand(MIXTURES, 1, generator=generator, dtype=torch.float64) - 1
    mixtures = ends[:, 0] + shares * (ends[:, 1] - ends[:, 0])
    spots = torch.cat([lone, ground.rows])
    spots = torch.cat([spots.repeat(-(-MIXTURES // len(spots)), 1), mixtures])
    sizes = 2.0 ** torch.randint(-2, 3, (effort.pairs, 2, 1), generator=generator).double()
    chosen = spots[torch.randint(len(spots), (effort.pairs, 2), generator=generator)]
    stretched = torch.rand(effort.pairs, 2, 1, generator=generator) < 0.5
    forged = torch.where(stretched, ground.centre + sizes * (chosen - ground.centre), chosen)
    reached = ground.ratios(forged)
    best = reached.argsort(descending=True).tolist()
    found = [Found(ground, forged[i], float(reached[i]), "two places at once") for i in best]
    return _distinct(found, max(2, effort.families // 2))


def _distinct(found: Sequence[Found], most: int) -> list[Found]:
    """Return the first of what is sorted that reach different ratios: a plateau needs one family."""
    kept: list[Found] = []
    for one in found:
        if len(kept) == most:
            break
        if not kept or one.ratio < kept[-1].ratio * (1 - ALIKE):
            kept.append(one)
    return kept


def _wander(starts: Sequence[Found], lines: Sequence[Line], effort: Effort) -> Found:
    """Return what random steps of growing or shrinking size come to, from each of the best starts by itself.

    Every other time, the liars are split between two vectors.
    """
    ground, families = starts[0].ground, _distinct(starts, effort.families)
    axes = torch.cat([torch.stack([line.direction for line in lines[::2]]), ground.rows - ground.centre])
    generator = ground.stream.at("wander").generator()
    sizes = 10 ** torch.linspace(-2.5, 0.3, effort.children, dtype=torch.float64)[:, None, None]
    scale, idle = 1.0, 0
    for generation in range(effort.generations):
        before = max(family.ratio for family in families)
        children: dict[int, list[tuple[int, Tensor]]] = {}
        for place, family in enumerate(families):
            u = 2 if ground.b > 1 and generation % 2 else len(family.forged)
            forged = family.forged.expand(u, -1)
            draws = torch.randn(len(sizes), u, len(axes) + 1, generator=generator, dtype=torch.float64)
            draws[..., :-1] *= torch.rand(draws[..., :-1].shape, generator=generator) < 3.0 / len(axes)
            moves = scale * sizes * draws
            made = forged + moves[..., :-1] @ axes + moves[..., -1:] * (forged - ground.centre)
            children.setdefault(u, []).append((place, made))
        for several in children.values():
            reached = ground.ratios(torch.cat([made for _, made in several])).view(len(several), -1)
            for (place, made), ratios in zip(several, reached, strict=True):
                top, family = int(ratios.argmax()), families[place]
                if float(ratios[top]) > family.ratio:
                    name = family.name.removesuffix(ONWARDS) + ONWARDS
                    families[place] = Found(ground, made[top], float(ratios[top]), name)
        best = max(family.ratio for family in families)
        scale *= 1.2 if best > before else 0.85
        idle = 0 if best > before * (1 + WORTH) else idle + 1
        if idle == effort.patience:
            break
    return max(families, key=lambda family: family.ratio)
