"""The theorem as a test: how far a rule can be pushed from the mean of a subset, against its kappa."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.needs import Pivot
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.testing.promises import demand, promise
from varangian.testing.subject import Subject, Trial

ROUNDING = 1e-13
"""Relative to the vectors of a subset, a distance to its mean that may be rounding."""
MOST_SUBSETS = 5_000
SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class Worst:
    """The largest ratio found, and the input (n, d) that reaches it."""

    ratio: float
    x: Tensor


def subsets(n: int, size: int) -> Float[Tensor, "c n"]:
    """Return every subset of this size as a row of ones and zeros."""
    rows = torch.zeros(0, n, dtype=torch.float64)
    chosen = list(itertools.combinations(range(n), size))
    if chosen:
        rows = torch.zeros(len(chosen), n, dtype=torch.float64).scatter_(1, torch.tensor(chosen), 1.0)
    return rows


def ratios(
    output: Float[Tensor, "*batch d"], x: Float[Tensor, "*batch n d"], f: int
) -> Float[Tensor, "*batch"]:
    """Return the largest, over subsets H of n - f, of |output - mean_H|^2 / mean_H |x_i - mean_H|^2.

    Both are taken around the output, so that no digit is lost; what is rounding counts as zero.
    """
    members = subsets(x.shape[-2], x.shape[-2] - f)
    shares = (members / members.sum(-1, keepdim=True)).to(x.device)
    y = x.double() - output.double()[..., None, :]
    means = shares @ y
    moved = means.square().sum(-1)
    spread = torch.zeros_like(moved)
    for i in range(x.shape[-2]):
        spread += shares[:, i] * (y[..., i, None, :] - means).square().sum(-1)
    size = (shares @ x.double().square().sum(-1)[..., None])[..., 0]
    floor = ROUNDING**2 * size
    ratio = torch.where(moved <= floor, 0.0, moved / torch.where(spread > 0, spread, 1e-300))
    return ratio.amax(-1)


def hostile_starts(n: int, d: int, f: int, count: int, stream: Stream) -> Float[Tensor, "r n d"]:
    """Return inputs that strain a rule: clusters, one honest vector apart, liars near or far, ties."""
    generator = stream.generator()
    x = torch.randn(count, n, d, generator=generator, dtype=torch.float64)
    scale = 10 ** torch.empty(count, 1, 1, dtype=torch.float64).uniform_(-2, 2, generator=generator)
    spot = torch.randn(count, 1, d, generator=generator, dtype=torch.float64) * scale
    for r in range(count):
        style = r % 7
        if style == 1:
            x[r, : n - f] *= 0.05
        if style in (1, 2, 3) and f:
            x[r, n - f :] = spot[r] + 0.01 * (style == 3) * x[r, n - f :]
        if style == 3:
            x[r, : n - f] = 0.0
            x[r, 0] = 1.5 * spot[r]
        if style == 4 and n > 1:
            split = int(torch.randint(1, n, (1,), generator=generator))
            x[r] = 0.02 * x[r]
            x[r, split:] += spot[r]
        if style == 5:
            x[r] = x[r].round()
        if style == 6 and f:
            x[r, n - f :] *= 10 ** torch.empty((), dtype=torch.float64).uniform_(4, 16, generator=generator)
    return x


def worst_ratio(
    stage: Stage, n: int, *, d: int = 2, starts: int = 48, steps: int = 60, seed: int = 0, batch: bool = True
) -> Worst:
    """Search for the input that pushes a rule furthest from the mean of some n - f of its vectors.

    Random hostile starts, each climbed by random moves of one vector, of all liars, or of everything, at
    shrinking and growing scales.
    """
    f = stage.f or 0
    stream = Stream(seed).at("worst", n=n, d=d)
    x = hostile_starts(n, d, f, starts, stream.at("starts"))
    best = _ratios_of(stage, x, f, batch)
    generator = stream.at("steps").generator()
    for step in range(steps):
        size = 10 ** torch.empty(starts, 1, 1, dtype=torch.float64).uniform_(-4, 0.5, generator=generator)
        reach = x.abs().amax(dim=(-1, -2), keepdim=True).clamp(min=1e-6)
        move = torch.randn(starts, n, d, generator=generator, dtype=torch.float64)
        who = torch.rand(starts, n, 1, generator=generator, dtype=torch.float64)
        chosen = (who >= who.amax(1, keepdim=True)) if step % 3 else (who > 0.5)
        trial = x + size * reach * move * chosen
        if step % 5 == 4:
            trial = _line_move(x, generator)
        found = _ratios_of(stage, trial, f, batch)
        better = found > best
        x = torch.where(better[:, None, None], trial, x)
        best = torch.where(better, found, best)
    winner = int(best.argmax())
    return Worst(float(best[winner]), x[winner])


def _line_move(x: Tensor, generator: torch.Generator) -> Tensor:
    """Slide one vector of each input along the line to another, or copy it there."""
    count, n, _ = x.shape
    rows = torch.arange(count)
    mover = torch.randint(0, n, (count,), generator=generator)
    target = torch.randint(0, n, (count,), generator=generator)
    step = torch.empty(count, 1, dtype=torch.float64).uniform_(-0.5, 1.5, generator=generator)
    step = torch.where(step > 1.2, 1.0, step)
    moved = x.clone()
    moved[rows, mover] += step * (x[rows, target] - x[rows, mover])
    return moved


def _ratios_of(stage: Stage, x: Tensor, f: int, batch: bool) -> Tensor:
    output = stage(x) if batch else torch.stack([stage(problem) for problem in x])
    return ratios(output, x, f)


@promise("No input exceeds the declared coefficient: |F(x) - mean_H|^2 <= kappa mean_H |x_i - mean_H|^2.")
def theorem(subject: Subject) -> None:
    """Check kappa on hostile inputs over every subset, where one is declared and the subsets are few."""
    stage, n, f = subject.stage, subject.least, subject.faults
    if subject.mixes or Pivot.GIVEN in subject.pivots or stage.kappa(n) is None:
        return
    for count in (n, subject.count):
        kappa = stage.kappa(count)
        if kappa is None or _subsets_of(count, f) > MOST_SUBSETS:
            continue
        worst = worst_ratio(stage, count, starts=24, steps=10)
        exceeded = worst.ratio > kappa * (1 + SLACK)
        demand(
            not exceeded, f"a ratio of {worst.ratio} where kappa({count}) = {kappa}.", subject, Trial(worst.x)
        )


def _subsets_of(n: int, f: int) -> int:
    count = 1
    for i in range(f):
        count = count * (n - i) // (i + 1)
    return count
