"""The definition: one server, its workers one after the other, in the order the signal flows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from varangian.accounting import Accountant
from varangian.attacks import Sight
from varangian.core.moments import Moments
from varangian.core.needs import Pivot
from varangian.engines.result import Result
from varangian.engines.threads import threads_for
from varangian.engines.world import World
from varangian.metrics import Table, Trail, measure
from varangian.optim import rate_at
from varangian.specification import Experiment


@dataclass(frozen=True)
class Progress:
    """Where a run stands: steps done, of how many, the seconds so far, and the last row of metrics."""

    step: int
    steps: int
    seconds: float
    row: dict[str, float]

    @property
    def remaining(self) -> float:
        """Return the estimate of the seconds left."""
        return self.seconds / self.step * (self.steps - self.step)


@dataclass(frozen=True, eq=False)
class State:
    """All that one step hands to the next.

    ``memory`` holds the momentum: a row per worker that computes (and last the server's own, where the rule
    trusts it), or the server's one row.
    """

    theta: Tensor
    memory: Tensor
    trail: Trail
    rule: Any = None
    attack: Any = None


def train(
    spec: Experiment,
    watch: Callable[[Progress], None] | None = None,
    accountant: Accountant | None = None,
) -> Result:
    """Run an experiment; ``watch`` is told after every step, and the ``accountant`` before it is made.

    Randomness  from the experiment's seed alone: the same experiment gives the same parameters
    Raises      DataError for missing data; what the rule, the attack or the accountant raises
    """
    world = World.of(spec)
    begun = time.perf_counter()
    with threads_for(world.flat.d):
        table, theta = _steps(world, begun, watch, accountant)
    return Result(spec, table, theta, time.perf_counter() - begun)


def _steps(
    world: World, begun: float, watch: Callable[[Progress], None] | None, accountant: Accountant | None
) -> tuple[Table, Tensor]:
    spec, first = world.spec, world.flat.get()
    rows = len(world.computing) if spec.momentum_at == "worker" else 1
    state = State(first, first.new_zeros(rows, len(first)), Trail.start(first))
    table = Table()
    for step in range(spec.steps):
        state, row = advance(world, state, step, accountant)
        row["distance"] = float((state.theta - first).norm())
        if step + 1 == spec.steps or (step + 1) % spec.evaluate_every == 0:
            row["accuracy"] = world.accuracy(state.theta)
        table.append(row)
        if watch is not None:
            watch(Progress(step + 1, spec.steps, time.perf_counter() - begun, row))
    return table, state.theta


def advance(
    world: World, state: State, step: int, accountant: Accountant | None = None
) -> tuple[State, dict[str, float]]:
    """Return the state after one step, and what was measured on the way."""
    spec, momentum = world.spec, world.spec.heavy_ball
    rate = rate_at(spec.learning_rate, step)
    sampled, losses = _sample(world, state, step, rate)
    memory = state.memory
    sent = momentum.sent(memory, sampled)
    if momentum.place == "worker":
        memory = sent
    trusted = momentum.received(memory[0], sent[-1:])[0] if spec.trusts else None
    if trusted is not None:  # a model that diverged gives the server nothing to trust
        trusted = trusted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    workers = sent[:-1] if spec.trusts else sent
    server = _server(world, state, trusted, step)
    forged, attack_state = _forge(world, state, workers, server, step)
    arrived = torch.cat([workers, forged]) if len(forged) else workers
    rule = spec.rule_at(step)
    received = momentum.received(memory[0], arrived)
    outcome = rule.aggregate(received, **server)
    if accountant is not None:
        accountant.step(received, outcome)
    direction = momentum.applied(memory[0], outcome.value)
    if momentum.place != "worker":
        memory = direction[None]
    applied = direction + spec.weight_decay * state.theta if spec.weight_decay else direction
    honest = slice(spec.honest)
    told, lies = Moments.of(sampled[honest]), Moments.of(forged) if len(forged) else None
    trail, straight = state.trail.onward(told.mean, spec.momentum)
    row = measure(told, Moments.of(workers[honest]), lies, outcome.value) | straight
    bound = rule.variance_bound(spec.workers, world.flat.d)
    if bound is not None:
        row["condition_holds"] = (row["variance_to_norm"] <= bound).double()
    after = State(state.theta - rate * applied, memory, trail, outcome.state, attack_state)
    return after, {
        "step": step + 1,
        "learning_rate": rate,
        "points": (step + 1) * world.points,
        "loss": sum(losses[honest]) / spec.honest,
        **{name: float(value) for name, value in row.items()},
        "nonfinite_rows": float(outcome.suspects.sum()),
        "applied_norm": float(applied.norm()),
    }


def _sample(world: World, state: State, step: int, rate: float) -> tuple[Tensor, list[float]]:
    """Return what everyone who computes has sampled, a row each, and their losses."""
    ahead = world.spec.heavy_ball.lookahead(state.memory, rate)
    starts = (state.theta + ahead).expand(len(world.computing), -1)
    pairs = [
        displacement(world, theta, worker, step, rate)
        for worker, theta in zip(world.computing, starts, strict=True)
    ]
    return torch.stack([gradient for gradient, _ in pairs]), [loss for _, loss in pairs]


def displacement(world: World, theta: Tensor, worker: int, step: int, rate: float) -> tuple[Tensor, float]:
    """Return the sum of a worker's gradients over its local steps, and its first loss."""
    total, loss = world.gradient(theta, worker, step, 0)
    for local in range(1, world.spec.local_steps):
        total = total + world.gradient(theta - rate * total, worker, step, local)[0]
    return total, loss


def _server(world: World, state: State, trusted: Tensor | None, step: int) -> dict[str, Any]:
    """Return what the server hands to the rule beside the vectors."""
    rule = world.spec.rule_at(step)
    needed = any(Pivot.GIVEN in stage.pivots for stage in rule.stages())
    stream = world.stream.at("rule", step=step)
    return {"state": state.rule, "pivot": trusted if needed else None, "stream": stream}


def _forge(world: World, state: State, sent: Tensor, server: dict[str, Any], step: int) -> tuple[Tensor, Any]:
    """Return what the liars send instead: forged from the honest vectors as they are sent."""
    spec = world.spec
    if spec.follows:
        return sent[:0], state.attack
    assert spec.attack is not None
    momentum, memory = spec.heavy_ball, state.memory[0]
    # Who sees the rule sees what the server hands to it, and works its way back.
    ahead = spec.attack.sees is Sight.RULE and momentum.place == "server" and momentum.dampening < 1
    forgery = spec.attack.forge(
        momentum.received(memory, sent) if ahead else sent,
        spec.byzantine,
        rule=spec.rule_at(step),
        stream=world.stream.at("attack", step=step),
        state=state.attack,
        options=server,
    )
    return momentum.unreceived(memory, forgery.value) if ahead else forgery.value, forgery.state
