"""One round after the other -> how far liars move the rule, and what is kept to tell of the clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.audit.effort import QUICK, Effort
from varangian.audit.ground import Ground
from varangian.audit.measured import Measured, measure
from varangian.audit.recording.rounds import Round
from varangian.audit.search import Found, fixed, search
from varangian.audit.sets import honest_sets
from varangian.core.needs import Pivot
from varangian.core.parties import Parties
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.kernels.heap import hand_back
from varangian.kernels.lanes import each, lanes, spread

THOROUGH = 3
"""Honest sets that are searched thoroughly, of those that a quick look found the worst."""
KEPT, KEPT_OF_ALL = 2**13, 2**18
"""Columns of a round that are kept to compare it with a later one, and of all rounds together."""

Tell = Callable[[Round], None]


@dataclass(frozen=True)
class Job:
    """What is examined: a rule, the n places, b liars, and their weights.

    ``all_recorded`` says that a round holds all n clients, some of whom may be the liars; else it holds the
    n - b honest alone. ``only`` narrows down who may be honest.
    """

    rule: Stage
    n: int
    b: int
    all_recorded: bool
    parties: Parties | None = None
    stream: Stream = field(default_factory=Stream)
    only: tuple[tuple[int, ...], ...] = ()

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """Return who may be honest."""
        if self.only:
            return list(self.only)
        if not self.all_recorded:
            return [tuple(range(self.n - self.b))]
        return honest_sets(self.n, self.b, self.parties, self.stream)

    def ground(self, seen: Measured, honest: tuple[int, ...]) -> Ground:
        """Return where forgeries are judged."""
        return Ground(seen, self.rule, honest, self.b, self.parties, self.stream)


@dataclass(frozen=True, eq=False)
class Outline:
    """What is kept of the vectors of a round.

    Some ``columns``, and how many coordinates each stands for; the variance, and the squared norm of the
    mean, of all who may be honest.
    """

    columns: Float[Tensor, "m s"]
    stretch: float
    spread: float
    length: float

    @classmethod
    def of(cls, vectors: Float[Tensor, "m d"]) -> Outline:
        """Return what is kept of vectors in memory."""
        mean = vectors.double().mean(0)
        spread = (vectors - mean).square().sum(-1).mean()
        return cls(*_thinned(vectors, 1.0, KEPT), float(spread), float(mean.square().sum()))


@dataclass(frozen=True, eq=False)
class Examined:
    """What is kept of a round: the worst found, each fixed attack's ratio, and about the clients.

    ``influence`` is a number per client, ``furthest`` who was furthest from the others' mean.
    """

    name: str
    worst: Found
    fixed: Mapping[str, float]
    outline: Outline
    influence: tuple[float, ...]
    furthest: int


def examine(
    rounds: Sequence[Round], job: Job, effort: Effort | None = None, tell: Tell | None = None
) -> list[Examined]:
    """Return what became of each round; of the vectors themselves, only the worst round's sketch is kept.

    Each lane looks at a round of its own. ``tell`` is told of every round before it is read.

    Raises      DataError for vectors that are not finite, or all one
    """
    made: list[Examined] = []
    sets, kept = job.sets, min(KEPT, -(-KEPT_OF_ALL // len(rounds)))

    def look(one: Round) -> Examined:
        if tell is not None:
            tell(one)
        return _examined(one, job, sets, effort, kept)

    for start in range(0, len(rounds), lanes()):
        made += spread(look, rounds[start : start + lanes()])
        worst = max(made, key=lambda found: found.worst.ratio)
        made = [found if found is worst else _lighter(found) for found in made]
        hand_back()
    return made


def _examined(
    one: Round, job: Job, sets: Sequence[tuple[int, ...]], effort: Effort | None, kept: int
) -> Examined:
    seen = measure(one, job.rule, job.b)
    grounds = [job.ground(seen, honest) for honest in sets]
    if len(grounds) > THOROUGH:
        quick = each(lambda ground: search(ground, QUICK), grounds)
        quick.sort(key=lambda found: -found.ratio)
    else:
        quick = [Found(ground, ground.centre[None], 0.0, "nothing") for ground in grounds]
    found = each(lambda first: search(first.ground, effort, beside=[first]), quick[:THOROUGH])
    worst = max(found, key=lambda one: one.ratio)
    everyone = torch.zeros(seen.k, dtype=torch.float64)
    everyone[: seen.m] = 1 / seen.m if job.parties is None or not job.all_recorded else job.parties.shares
    origin = torch.zeros_like(everyone)
    origin[-1] = 1.0
    return Examined(
        one.name,
        worst,
        {one.name: one.ratio for one in fixed(worst.ground)} if job.b else {},
        Outline(
            *_thinned(seen.sketch[: seen.m], seen.stretch, kept),
            float(0.5 * everyone @ seen.table @ everyone),
            float(-0.5 * (everyone - origin) @ seen.table @ (everyone - origin)),
        ),
        tuple(_influence(worst, job)),
        int(_apart(seen).argmax()),
    )


def _apart(seen: Measured) -> Float[Tensor, " m"]:
    """Return the squared distance of each vector from the mean of the others."""
    own = torch.eye(seen.k, dtype=torch.float64)[: seen.m]
    others = torch.zeros_like(own)
    others[:, : seen.m] = (1 - torch.eye(seen.m, dtype=torch.float64)) / (seen.m - 1)
    return -0.5 * (((own - others) @ seen.table) * (own - others)).sum(-1)


def _influence(worst: Found, job: Job) -> list[float]:
    """Return how far the rule moves, in honest deviations, when a client is replaced by the others' mean.

    On the sketch of what the server receives: of the recorded round if it holds everyone, else of the
    honest vectors and the worst forgery.
    """
    ground = worst.ground
    sketch = ground.seen.sketch[: ground.seen.m]
    if not job.all_recorded and job.b:
        forged = worst.forged if math.isfinite(worst.ratio) else ground.centre[None]
        lies = forged[torch.arange(job.b) % len(forged), :-1] @ ground.seen.sketch
        sketch = torch.cat([sketch, lies])
    options: dict[str, Any] = {"stream": job.stream}
    if job.parties is not None:
        options |= {"weights": job.parties.shares, "mass": job.parties.mass}
    if any(Pivot.GIVEN in stage.pivots for stage in job.rule.stages()):
        options["pivot"] = sketch.mean(0)
    whole = job.rule(sketch, **options)
    scale = math.sqrt(ground.variance / ground.seen.stretch)
    total, moved = sketch.sum(0), []
    for i in range(ground.seen.m):
        without = sketch.clone()
        without[i] = (total - sketch[i]) / (len(sketch) - 1)
        moved.append(float((job.rule(without, **options) - whole).norm()) / scale)
    return moved


def _thinned(columns: Tensor, stretch: float, most: int) -> tuple[Tensor, float]:
    """Return a copy of some columns, and how many coordinates each stands for."""
    every = -(-columns.shape[-1] // most)
    kept = columns[:, ::every].to(torch.float32, copy=True)
    return kept, stretch * columns.shape[-1] / kept.shape[-1]


def _lighter(found: Examined) -> Examined:
    """Return the same without what only the worst round needs."""
    seen = found.worst.ground.seen
    if not seen.sketch.numel():
        return found
    ground = replace(found.worst.ground, seen=replace(seen, sketch=seen.sketch[:, :0].clone()))
    return replace(found, worst=replace(found.worst, ground=ground))
